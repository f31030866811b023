"""Fig. 8: RL after leaving out smaller and larger shares of the instructions."""

from pydantic import Field

from ._base import Settings


class FilterRates(Settings):
    """Fig. 8: RL after leaving out smaller and larger shares of the instructions."""

    rates: tuple[float, ...] = Field((0.1, 0.2, 0.3, 0.4, 0.6, 0.8), min_length=1, description="Shares left out.")
