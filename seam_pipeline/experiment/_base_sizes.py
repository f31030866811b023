"""Tab. 2: match rate and both qualities as the base model grows."""

from pydantic import Field

from ._base import Settings
from ._models import BaseModelSettings


class BaseSizes(Settings):
    """Tab. 2: match rate and both qualities as the base model grows."""

    bases: dict[str, BaseModelSettings] = Field(min_length=1, description="Further base models by name.")
