"""One pair of models and one set of prompts from candidates to a report: `seam audit`; and `seam compare`.

Nothing is imported here; `audit.run` does the work, `audit.compare` sets several results side by side.
"""
