"""Dagster's entry point: the assets of the experiment named by SEAM_EXPERIMENT (the testbed by default)."""

from .defs._definitions import build_definitions
from .defs._home import open_store
from .defs._study import Study
from .defs.graph import build_study
from .errors import SeamError
from .experiment import load_experiment

_study = build_study(load_experiment())


def _reread() -> Study:
    """The study as the experiment file says now. Raises SeamError where it has other assets or ranks."""
    experiment = load_experiment()
    if experiment == _study.experiment:
        return _study
    study = build_study(experiment)
    if study.shape != _study.shape:
        raise SeamError("The experiment file now asks for other assets or ranks: reload the definitions in Dagster.")
    return study


defs = build_definitions(_study, open_store(_study.experiment), _reread)
