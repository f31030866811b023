"""The strict, frozen pydantic base of every settings class."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Immutable; an unknown key, or a number that is not finite, is an error; every field has a description."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)
