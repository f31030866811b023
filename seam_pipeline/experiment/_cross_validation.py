"""Fig. 3: do policies and reward models keep their quality on the other segments' test splits?"""

from pydantic import Field

from ._base import Settings


class CrossValidation(Settings):
    """Fig. 3: do policies and reward models keep their quality on the other segments' test splits?"""

    ranks: int = Field(5, ge=1, description="The first so many ranks of both ladders.")
    seeds: tuple[int, ...] = Field(
        (0, 1, 2), min_length=1, description="Seeds of training."
    )
