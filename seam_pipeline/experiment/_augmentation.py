"""Fig. 7: both models trained again with samples like the instructions of lowest SEAM."""

from typing import Literal

from pydantic import Field, model_validator

from ._base import Settings

AugmentationMethod = Literal["seam_gpt", "seam_contrast", "seam_adv", "random", "full_aug"]


class Augmentation(Settings):
    """Fig. 7: both models trained again with samples like the instructions of lowest SEAM.

    They are compared with the arms' `full`: RL of the models as they are.
    """

    samples: int = Field(5, ge=1, description="Samples per instruction, for the policy and for the reward model.")
    methods: tuple[AugmentationMethod, ...] | None = Field(
        None,
        min_length=1,
        description="Which instructions get samples: the lowest by a SEAM method, as many at `random`, or all of them "
        "(`full_aug`); null: the arms' SEAM methods, random and full_aug.",
    )
    pairs: Literal["own", "contrast"] = Field(
        "own",
        description="The reward model's samples: an instruction's own answer over that of a similar one (`own`), or "
        "the similar one's own answer over this one's (`contrast`).",
    )
    rate: float | None = Field(
        None, gt=0, lt=1, description="Share of the RL train instructions that gets samples; null: `selection.rate`."
    )
    low: float | None = Field(
        None, ge=-1, le=1, description="Least cosine of a similar instruction; null: that of `candidates.contrast`."
    )
    high: float | None = Field(None, ge=-1, le=1, description="Highest cosine; null: that of `candidates.contrast`.")
    cells: tuple[tuple[int, int], ...] = Field(
        ((1, 1),), min_length=1, description="[rank, rank] pairs: a reward model starts from the policy of its rank."
    )
    seeds: tuple[int, ...] | None = Field(
        None, min_length=1, description="Seeds of RL, which `full` must have there too; null: those of `full`."
    )

    @model_validator(mode="after")
    def _possible(self) -> "Augmentation":
        for pm, rm in self.cells:
            if pm != rm:
                raise ValueError(f"cells: [{pm}, {rm}] has two ranks; a reward model starts from its own rank's policy")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("low must be below high")
        return self
