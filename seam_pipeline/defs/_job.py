"""One training as data: run here, or written to a file for processes of their own."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from ..experiment import DPO, PPO, SFT, Experiment, GroupRL, RewardTraining, TestbedData
from ..progress import Progress
from ..training.watch import Watch

Kind = Literal["sft", "reward", "ppo", "rloo", "grpo", "dpo"]
SETTINGS: dict[Kind, type[Any]] = {
    "sft": SFT,
    "reward": RewardTraining,
    "ppo": PPO,
    "rloo": GroupRL,
    "grpo": GroupRL,
    "dpo": DPO,
}
FILE = "job.json"
Scorer = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Job:
    """A call of one of the trainings: models in the order of its arguments, then tables or prompts."""

    kind: Kind
    folders: tuple[Path, ...]
    settings: Any
    out: Path
    seed: int
    tables: tuple[pa.Table, ...] = ()
    prompts: tuple[str, ...] = ()
    n: int | None = None
    world: TestbedData | None = None
    """The testbed, where RL's answers have a true rating."""
    part: str = ""
    """Which of a step's trainings it is, for its name in trackers."""


@dataclass(frozen=True)
class Surroundings:
    """What a training's numbers don't depend on, for a process of its own."""

    device: str
    threads: int
    trackers: tuple[str, ...] = ()
    project: str = ""
    run: str = ""
    tracker_folder: str = ""
    starter: tuple[str, int] | None = None
    """Host and process id of who waits for it: without it the training ends too."""


def run_job(job: Job, device: str, report: Progress, watch: Watch) -> None:
    """Train. Raises SeamError as the training does; a folder that exists afterwards is complete."""
    ladder = () if job.n is None else (job.n,)
    rows = (job.prompts,) if job.kind in ("ppo", "rloo", "grpo") else job.tables
    arguments: list[Any] = [*job.folders, *rows, *ladder, job.settings, job.out, job.seed, device, report]
    if job.kind == "sft":
        from ..training.sft import train_policy

        train_policy(*arguments, watch=watch)
    elif job.kind == "reward":
        from ..training.reward import train_reward

        train_reward(*arguments, watch=watch)
    elif job.kind == "dpo":
        from ..training.dpo import train_dpo

        train_dpo(*arguments, watch=watch)
    elif job.kind == "ppo":
        from ..training.ppo import train_ppo

        train_ppo(*arguments, gold_fn=_gold(job.world), watch=watch)
    else:
        from ..training.group import train_group

        train_group(job.kind, *arguments, gold_fn=_gold(job.world), watch=watch)


def _gold(settings: TestbedData | None) -> Scorer | None:
    """The testbed's true rating of answers; unknown elsewhere."""
    if settings is None:
        return None
    import torch

    from ._node import world_of

    rate = world_of(settings).rate
    return lambda instructions, answers: torch.tensor([rate(i, a) for i, a in zip(instructions, answers, strict=True)])


def world_settings(experiment: Experiment) -> TestbedData | None:
    """The testbed's settings, where the data is the testbed's."""
    return experiment.data if isinstance(experiment.data, TestbedData) else None


def write_job(job: Job, around: Surroundings, folder: Path) -> Path:
    """Write `job.json` and the tables beside it (parquet); returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, table in enumerate(job.tables):
        pq.write_table(table, folder / f"table{number}.parquet")
    text = {
        "kind": job.kind,
        "folders": [str(path.absolute()) for path in job.folders],
        "settings": job.settings.model_dump(mode="json"),
        "out": str(job.out.absolute()),
        "seed": job.seed,
        "tables": len(job.tables),
        "prompts": job.prompts,
        "n": job.n,
        "world": job.world.model_dump(mode="json") if job.world else None,
        "around": vars(around),
    }
    (folder / FILE).write_text(json.dumps(text, indent=1) + "\n", "utf-8")
    return folder / FILE


def read_job(file: Path) -> tuple[Job, Surroundings]:
    """Inverse of `write_job`."""
    text = json.loads(file.read_text("utf-8"))
    around = text["around"]
    around["starter"] = tuple(around["starter"]) if around["starter"] else None
    job = Job(
        text["kind"],
        tuple(map(Path, text["folders"])),
        SETTINGS[text["kind"]].model_validate(text["settings"]),
        Path(text["out"]),
        text["seed"],
        tuple(pq.read_table(file.parent / f"table{number}.parquet") for number in range(text["tables"])),
        tuple(text["prompts"]),
        text["n"],
        TestbedData.model_validate(text["world"]) if text["world"] else None,
    )
    return job, Surroundings(**around)
