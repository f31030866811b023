"""Findings that need trainings of their own; each is left out unless it is asked for."""

from pydantic import Field

from ._augmentation import Augmentation
from ._base import Settings
from ._base_sizes import BaseSizes
from ._cross_validation import CrossValidation
from ._cycles import Cycles
from ._filter_rates import FilterRates
from ._preference import Preference


class Findings(Settings):
    """Figures and tables beyond the arms of `rl`; null leaves one out."""

    cross_validation: CrossValidation | None = Field(None, description="Fig. 3.")
    preference: Preference | None = Field(None, description="Fig. 4, and the preference of Fig. 5.")
    filter_rates: FilterRates | None = Field(None, description="Fig. 8.")
    augmentation: Augmentation | None = Field(None, description="Fig. 7.")
    base_sizes: BaseSizes | None = Field(None, description="Tab. 2.")
    cycles: Cycles | None = Field(None, description="Section 8.")
