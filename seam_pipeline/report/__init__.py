"""Figures and the self-contained HTML page (`report.page.render`)."""
