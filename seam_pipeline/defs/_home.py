"""Where the store and Dagster's instance live."""

import os
from importlib.resources import files
from pathlib import Path

from ..errors import SeamError
from ..experiment import Experiment
from ..store import Store

INSTANCE = files("seam_pipeline.defs") / "instance.yaml"
"""What a fresh home's dagster.yaml says; the repository's own is the same."""


def home() -> Path:
    """`SEAM_HOME`, else the nearest folder upwards that holds a dagster.yaml, else the current folder."""
    given = os.environ.get("SEAM_HOME")
    if given:
        return Path(given).absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dagster.yaml").is_file():
            return folder
    return here


def dagster_home() -> Path:
    """`DAGSTER_HOME`, else `home()`; a dagster.yaml is written where there is none."""
    folder = Path(os.environ.get("DAGSTER_HOME") or home()).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "dagster.yaml").is_file():
            (folder / "dagster.yaml").write_text(INSTANCE.read_text("utf-8"), "utf-8")
    except OSError as error:
        raise SeamError(
            f"{folder} cannot hold Dagster's records ({error.strerror}); set SEAM_HOME to another folder."
        ) from error
    _check_yaml(folder / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(folder)
    return folder


def _check_yaml(file: Path) -> None:
    import yaml

    try:
        yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise SeamError(f"{file} is not valid YAML ({' '.join(str(error).split())}); correct it.") from error


def open_store(experiment: Experiment) -> Store:
    """The experiment's store: below `SEAM_STORE` (path or fsspec URL), else below `data/artifacts` of the home.

    Raises SeamError for a SEAM_STORE that is itself the store of an experiment.
    """
    local = home() / "data" / "artifacts"
    root = os.environ.get("SEAM_STORE")
    if root and "://" in root:
        if not root.partition("://")[2]:
            raise SeamError(f"SEAM_STORE: {root} names no bucket; give one, as in s3://bucket/folder.")
        url = f"{root.rstrip('/')}/{experiment.name}"
        return Store(url, mirror=local / "mirror" / experiment.name, experiment=experiment.name)
    place = Path(root) if root else local
    if (place / "posts" / "all" / "record.json").is_file():
        raise SeamError(f"SEAM_STORE: {place} is the store of one experiment; give the folder above it.")
    return Store(str(place / experiment.name), experiment=experiment.name)
