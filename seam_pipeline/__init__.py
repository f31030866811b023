"""seam_pipeline: where a reward model misjudges what its policy model would write."""

__version__ = "0.1.0"
