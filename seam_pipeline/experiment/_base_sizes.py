"""Tab. 2: match rate and both qualities as the base model grows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import Field, StringConstraints, ValidationError

from ._base import Settings
from ._models import BaseModelSettings

if TYPE_CHECKING:
    from .schema import Experiment

S = TypeVar("S", bound=Settings)
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$")]


class FurtherBase(BaseModelSettings):
    """A further base; what its trainings do otherwise than the experiment's."""

    sft: dict[str, Any] = Field({}, description="Keys of `policy.sft` with another value for this base.")
    reward: dict[str, Any] = Field({}, description="Keys of `reward.training` with another value for this base.")


class BaseSizes(Settings):
    """Tab. 2: match rate and both qualities as the base model grows."""

    bases: dict[Name, FurtherBase] = Field(min_length=1, description="Further base models by name.")


def on_base(experiment: "Experiment", name: str) -> "Experiment":
    """The same experiment on a further base of `findings.base_sizes`.

    Raises ValueError for a key or value that its trainings don't have.
    """
    sizes = experiment.findings.base_sizes
    assert sizes is not None
    other, where = sizes.bases[name], f"findings.base_sizes.bases.{name}"
    base = BaseModelSettings.model_validate(other.model_dump(exclude={"sft", "reward"}))
    sft = _changed(experiment.policy.sft, other.sft, f"{where}.sft")
    training = _changed(experiment.reward.training, other.reward, f"{where}.reward")
    policy = experiment.policy.model_copy(update={"sft": sft})
    reward = experiment.reward.model_copy(update={"training": training})
    return experiment.model_copy(update={"base": base, "policy": policy, "reward": reward})


def check_base_sizes(experiment: "Experiment") -> None:
    """Raises ValueError for what the bases need and the experiment lacks."""
    if experiment.findings.base_sizes is None:
        return
    preference = experiment.findings.preference
    if preference is None:
        raise ValueError("findings.base_sizes: a match rate per base needs findings.preference; set it too")
    if preference.source == "annotations":
        raise ValueError(
            "findings.base_sizes: people have not compared the answers of further bases; "
            "set findings.preference.source to judge or gold"
        )
    for name in experiment.findings.base_sizes.bases:
        on_base(experiment, name)


def _changed(settings: S, changes: Mapping[str, Any], where: str) -> S:
    try:
        return type(settings).model_validate(_merged(settings.model_dump(), changes))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = "there is no such key" if first["type"] == "extra_forbidden" else first["msg"]
        raise ValueError(f"{'.'.join((where, *map(str, first['loc'])))}: {message}") from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = _merged(found[key], value) if both else value
    return found
