from pathlib import Path

from seam_pipeline.experiment._docs import reference


def test_the_reference_is_the_schema() -> None:
    page = (Path(__file__).parents[2] / "docs" / "experiment.md").read_text()
    assert page == reference(), "write docs/experiment.md anew (its head says how)"
