"""What a run would take: tokens, time, disk, LLM calls; estimated without a GPU or a network."""

from ._lines import expected_seconds, plan_lines

__all__ = ["expected_seconds", "plan_lines"]
