"""Section 8: online RLHF as a series of offline cycles, SEAM at the start of each."""

from pydantic import Field

from ._base import Settings


class Cycles(Settings):
    """Section 8: online RLHF as a series of offline cycles, SEAM at the start of each."""

    cycles: int = Field(3, ge=2, description="Segments of the RL instructions; one cycle each.")
