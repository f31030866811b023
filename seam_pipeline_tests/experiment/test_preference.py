from typing import Any

import pytest
from pydantic import ValidationError

from seam_pipeline.experiment import Experiment, load_experiment

FILES = {"data": {"source": "files", "paths": ["x"]}, "judge": {"kind": "reference"}}


def smoke(preference: dict[str, Any] | None, methods: tuple[str, ...] = ("full",), **more: Any) -> Experiment:
    plain = load_experiment("smoke").model_dump(mode="json")
    plain["findings"] = {"preference": preference}
    plain["rl"]["arms"] = [{"methods": methods, "cells": [[1, 1]], "seeds": [0]}]
    plain["candidates"]["llm"] = None
    return Experiment.model_validate(plain | more)


@pytest.mark.parametrize(
    ("preference", "more", "sentence"),
    [
        ({"policies": [1, 5]}, {}, r"policies \[1, 5\] and reward 1 must be ranks of the ladders \(2 policies"),
        ({"policies": [1, 2], "reward": 3}, {}, "reward 3 must be"),
        ({"policies": [2, 2]}, {}, "two different ranks"),
        ({"policies": [0, 1]}, {}, "two different ranks"),
        ({"policies": [1, 2], "source": "annotations"}, {}, "belong together"),
        ({"policies": [1, 2], "annotations": "x.csv"}, {}, "belong together"),
        ({"policies": [1, 2], "source": "gold"}, FILES, "gold exists only on the testbed; use judge or annotations"),
        (
            None,
            {"methods": ("full", "matched")},
            "matched keeps what a preference agrees with; set findings.preference",
        ),
        (None, {"methods": ("matched_random",)}, "matched_random keeps what"),
        ({"policies": [1, 2]}, {"selection": {"compare": ["matched"]}}, "selection.compare: matched has no score"),
    ],
)
def test_what_cannot_be_is_refused(preference: dict[str, Any] | None, more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        smoke(preference, **more)


def test_on_files_the_judge_is_the_default() -> None:
    found = smoke({"policies": [1, 2]}, methods=("full", "matched"), **FILES).findings.preference
    assert found is not None
    assert found.source == "judge"
