"""What `seam run` would refuse sooner or later, told from the experiment file and the store before anything is made."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..errors import SeamError
from ..experiment import BaseModelSettings, LLMEndpoint, TestbedData
from ..llm.key import address
from ._stale import Reads
from ._study import Study

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def check(study: Study, store: Reads) -> None:
    """Raises SeamError with the first refusal."""
    for sentence in refusals(study, store):
        raise SeamError(sentence)


def refusals(study: Study, store: Reads) -> Iterator[str]:
    """The sentences of all checks that fail; nothing is loaded, computed or written."""
    for look in (_resources, _schedule, _testbed, _models, _templates, _addresses, _accelerate, partial(_store, store)):
        try:
            look(study)
        except SeamError as error:
            yield str(error)


def bases_of(study: Study) -> dict[str, BaseModelSettings]:
    """The experiment's base models by where they are set."""
    sizes = study.experiment.findings.base_sizes
    further = sizes.bases if sizes else {}
    return {"base": study.experiment.base} | {f"findings.base_sizes.bases.{n}": b for n, b in further.items()}


def endpoints_of(study: Study) -> dict[str, LLMEndpoint]:
    """The servers that are asked, by where they are set."""
    llm, judge = study.experiment.candidates.llm, study.experiment.judge
    found = {
        "candidates.llm": llm.endpoint if llm and llm.generator == "openai" else None,
        "judge": judge.endpoint if judge.kind == "openai" else None,
    }
    return {where: endpoint for where, endpoint in found.items() if endpoint is not None}


def _resources(study: Study) -> None:
    if study.experiment.compute.resources:
        from ._executors import check_resources

        check_resources(study)


def _schedule(study: Study) -> None:
    if study.experiment.compute.schedule is not None:
        from ._schedules import check_schedule

        check_schedule(study.experiment.compute)


def _testbed(study: Study) -> None:
    data = study.experiment.data
    if isinstance(data, TestbedData):
        from ..testbed import World

        World(data)


def _models(study: Study) -> None:
    for where, base in bases_of(study).items():
        if base.path is None:
            continue
        folder = Path(base.path)
        if folder.is_dir() and not (folder / "config.json").is_file():
            raise SeamError(f"{where}.path: {folder} has no config.json; name the folder of a model.")
        if not folder.is_dir() and not _HUB_ID.fullmatch(base.path):
            raise SeamError(f"{where}.path: {folder} is no folder here and no hub id; correct the path.")


def _templates(study: Study) -> None:
    e = study.experiment
    if e.candidates.llm is not None and e.candidates.llm.generator == "openai":
        from ..candidates.llm import read_template

        read_template(e.candidates.llm)
    if e.judge.kind == "openai":
        from ..judging.openai import read_template as single

        single(e.judge.template)
    preference = e.findings.preference
    if preference is not None and preference.source == "judge" and e.judge.kind == "openai":
        from ..judging.pairwise import read_template as pairwise

        pairwise(preference.template)


def _addresses(study: Study) -> None:
    for where, endpoint in endpoints_of(study).items():
        try:
            address(endpoint)
        except SeamError as error:
            raise SeamError(f"{where}: {error}") from error


def _accelerate(study: Study) -> None:
    compute = study.experiment.compute
    if compute.launcher == "accelerate" and compute.accelerate_config is not None:
        from ._launch import accelerate_config

        accelerate_config(compute.accelerate_config)


def _store(store: Reads, study: Study) -> None:
    """A store of another experiment or a newer format, or a record cut short."""
    for node in study.order:
        for partition in study.wanted(node):
            store.record(node.name, partition.key)
