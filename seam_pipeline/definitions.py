"""Dagster's entry point: the assets of the experiment named by SEAM_EXPERIMENT (the testbed by default)."""

from .defs._definitions import build_definitions
from .defs._home import open_store
from .defs.graph import build_study
from .experiment import load_experiment

_study = build_study(load_experiment())

defs = build_definitions(_study, open_store(_study.experiment))
