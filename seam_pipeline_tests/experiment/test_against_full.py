"""Filter rates and augmentation: what they run by default, and what is refused."""

from typing import Any

import pytest
import yaml

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import (
    Experiment,
    augmentation_methods,
    filter_method,
    load_experiment,
    parse_experiment,
    seeds_of_finding,
)


def text(arms: list[dict[str, Any]] | None = None, llm: bool = True, **findings: Any) -> str:
    plain = load_experiment("smoke").model_dump(mode="json")
    plain["findings"] = findings
    plain["rl"]["arms"] = arms or [
        {"methods": ["full", "seam_adv", "seam_gpt"], "cells": [[1, 1]], "seeds": [3, 1]},
        {"methods": ["full"], "cells": "diagonal", "seeds": [0]},
    ]
    if not llm:
        plain["candidates"]["llm"] = None
    return yaml.safe_dump(plain)


def parsed(**findings: Any) -> Experiment:
    return parse_experiment(text(**findings), "here")


def test_defaults_follow_the_arms() -> None:
    e = parsed(filter_rates={}, augmentation={})
    rates, augmentation = e.findings.filter_rates, e.findings.augmentation
    assert rates is not None
    assert augmentation is not None
    assert rates.rates == (0.1, 0.2, 0.3, 0.4, 0.6, 0.8)
    assert filter_method(e, rates) == "seam_adv"
    assert seeds_of_finding(e, rates) == {(1, 1): (0, 1, 3)}
    assert augmentation_methods(e, augmentation) == ("seam_adv", "seam_gpt", "random", "full_aug")
    two = parsed(augmentation={"cells": [[1, 1], [2, 2]], "seeds": [0]}).findings.augmentation
    assert two is not None
    assert seeds_of_finding(e, two) == {(1, 1): (0,), (2, 2): (0,)}


@pytest.mark.parametrize(
    ("findings", "sentence"),
    [
        ({"filter_rates": {"rates": [0.0]}}, "0 is no whole percent between 0 and 1"),
        ({"filter_rates": {"rates": [0.125]}}, "0.125 is no whole percent"),
        ({"filter_rates": {"rates": [0.4, 0.2]}}, "once, in rising order"),
        ({"filter_rates": {"method": "random"}}, "method: Input should be 'seam_gpt'"),
        ({"filter_rates": {"seeds": [2]}}, r"seeds: 2 is not among the seeds \[0, 1, 3\] of full on \[1, 1\]"),
        ({"filter_rates": {"cells": [[1, 2]]}}, r"\[1, 2\] is compared with full, which no arm"),
        ({"augmentation": {"cells": [[2, 1]]}}, r"\[2, 1\] has two ranks"),
        ({"augmentation": {"low": 0.9, "high": 0.8}}, "low must be below high"),
    ],
)
def test_what_cannot_be_is_refused(findings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SeamError, match=sentence):
        parsed(**findings)


def test_a_method_without_its_candidates_is_refused() -> None:
    arms = [{"methods": ["full", "random"], "cells": [[1, 1]]}]
    with pytest.raises(SeamError, match="name a SEAM method, since no arm"):
        parse_experiment(text(arms, filter_rates={}), "here")
    with pytest.raises(SeamError, match=r"filter_rates.method: seam_gpt needs candidates.llm, which is null"):
        parse_experiment(text(arms, llm=False, filter_rates={"method": "seam_gpt"}), "here")
    with pytest.raises(SeamError, match=r"augmentation.methods: seam_gpt needs candidates.llm, which is null"):
        parse_experiment(text(arms, llm=False, augmentation={"methods": ["seam_gpt"]}), "here")
