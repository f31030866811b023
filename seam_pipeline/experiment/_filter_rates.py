"""Fig. 8: RL after leaving out smaller and larger shares of the instructions."""

from typing import Literal

from pydantic import Field, model_validator

from ._base import Settings


class FilterRates(Settings):
    """Fig. 8: RL after leaving out smaller and larger shares of the instructions; none left out is the arms' `full`."""

    rates: tuple[float, ...] = Field(
        (0.1, 0.2, 0.3, 0.4, 0.6, 0.8), min_length=1, description="Shares left out, as whole percents."
    )
    method: Literal["seam_gpt", "seam_contrast", "seam_adv"] | None = Field(
        None, description="Which SEAM method leaves out; null: the first one of the arms."
    )
    random: bool = Field(
        True, description="The same shares by chance too, to tell fewer instructions from better ones."
    )
    cells: tuple[tuple[int, int], ...] = Field(((1, 1),), min_length=1, description="[policy rank, reward rank] pairs.")
    seeds: tuple[int, ...] | None = Field(
        None, min_length=1, description="Seeds of RL, which `full` must have there too; null: those of `full`."
    )

    @model_validator(mode="after")
    def _possible(self) -> "FilterRates":
        for rate in self.rates:
            if not 0 < rate < 1 or abs(100 * rate - round(100 * rate)) > 1e-9:
                raise ValueError(f"rates: {rate:g} is no whole percent between 0 and 1 (0 is the arms' full)")
        if list(self.rates) != sorted(set(self.rates)):
            raise ValueError("rates: give each rate once, in rising order")
        return self
