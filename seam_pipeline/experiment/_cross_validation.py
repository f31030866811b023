"""Fig. 3: do policies and reward models keep their quality on the other segments' test splits?"""

from pydantic import Field, model_validator

from ._base import Settings


class CrossValidation(Settings):
    """Fig. 3: do policies and reward models keep their quality on the other segments' test splits?"""

    ranks: int = Field(5, ge=1, description="The first so many ranks of both ladders.")
    seeds: tuple[int, ...] = Field(
        (0, 1, 2),
        min_length=1,
        description="Seeds of training; that of the experiment is its own models, each other one trains both anew.",
    )
    pairs: int | None = Field(
        None, ge=1, description="Test pairs per segment (the first by hash); all when absent. Questions: `evaluation`."
    )

    @model_validator(mode="after")
    def _once(self) -> "CrossValidation":
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError("seeds: give each seed once, from 0 up")
        return self
