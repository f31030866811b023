from pathlib import Path

import pytest

from seam_pipeline.defs._choice import choose, parts
from seam_pipeline.defs._study import Study
from seam_pipeline.errors import SeamError

from .toy import toy_study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    (tmp_path / "source.txt").write_text("1")
    return toy_study(tmp_path)


def chosen(study: Study, select: str | None, *partitions: str) -> set[str]:
    choice = choose(study, select, partitions)
    return {f"{n.name} {p.key}" for n in study.order for p in parts(study, choice, n)}


def test_a_rank_a_cell_and_a_range(study: Study) -> None:
    assert chosen(study, "policy", "pm02") == {"policy pm02"}
    assert chosen(study, "policy", "pm1..pm2") == chosen(study, "policy", "pm01..02") == {"policy pm01", "policy pm02"}
    assert chosen(study, "policy reward", "pm01,rm02") == {"policy pm01", "reward rm02"}
    assert chosen(study, "cell", "pm02|rm01") == {"cell pm02|rm01"}
    assert chosen(study, "cell", "pm02") == {"cell pm02|rm01", "cell pm02|rm02"}
    assert chosen(study, "cell", "rm01") == {"cell pm01|rm01", "cell pm02|rm01"}
    # pm01|rm02 is on the ladders but not among the cells
    assert chosen(study, "cell", "pm01..pm02|rm02") == {"cell pm02|rm02"}


def test_without_names_a_rank_is_everything_that_stands_on_it(study: Study) -> None:
    assert chosen(study, None, "pm02") == {"policy pm02", "cell pm02|rm01", "cell pm02|rm02", "row pm02"}


def test_plus_follows_the_partitions_up_and_down(study: Study) -> None:
    # reward model 1 builds on policy 1
    assert chosen(study, "+cell", "pm02|rm01") == {
        "source None", "policy pm01", "policy pm02", "reward rm01", "cell pm02|rm01",
    }  # fmt: skip
    assert chosen(study, "reward+", "rm01") == {
        "reward rm01", "cell pm01|rm01", "cell pm02|rm01", "row pm01", "row pm02", "total None",
    }  # fmt: skip


def test_no_partition_is_all(study: Study) -> None:
    assert choose(study, None) == set(study.nodes)


@pytest.mark.parametrize(
    ("select", "partition", "sentence"),
    [
        ("policy", "pm03", "smoke has policy ranks pm01 to pm02"),
        ("reward", "rm02..rm09", "smoke has reward-model ranks rm01 to rm02"),
        ("policy", "pm02..pm01", "runs backwards"),
        ("policy", "", "--partition is empty"),
        ("", "pm01", "--select is empty"),
        ("policy", "first", "give a rank"),
        ("policy", "pm01|pm02", "give a rank"),
        ("cell", "pm01|rm02", "cell has pm01|rm01, pm02|rm01, pm02|rm02; add the cell to rl.arms"),
        ("total", "pm01", "total has no partitions"),
        ("policy reward", "pm01|rm01", "none of the selected assets has such a partition"),
        ("nothing", "pm01", "no such asset"),
    ],
)
def test_a_mistake_is_one_sentence(study: Study, select: str, partition: str, sentence: str) -> None:
    with pytest.raises(SeamError, match=sentence.replace("|", r"\|")):
        choose(study, select, [partition])
