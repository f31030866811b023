"""Fig. 7: both models trained again with samples like the instructions of lowest SEAM."""

from pydantic import Field

from ._base import Settings


class Augmentation(Settings):
    """Fig. 7: both models trained again with samples like the instructions of lowest SEAM."""

    samples: int = Field(5, ge=1, description="Samples per instruction, for the policy and for the reward model.")
