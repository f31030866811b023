"""Our PPO against TRL 1.12.0's, the last TRL with PPO: samples per second, peak memory, and what is learned.

    python benchmarks/ppo.py --sizes tiny mid --steps 6 --out benchmarks/results/ppo.md      # speed and memory
    python benchmarks/ppo.py --learn data/artifacts/testbed --steps 30 --out benchmarks/results/ppo_learning.md

Both train a LoRA adapter (r 16) on the same random LLaMA (1.9 M or 58 M parameters, float32), prompts of 24 to 120
tokens, batch 32, 48 sampled tokens, 4 epochs of one update each, the same clip, GAE and fixed KL numbers, one thread.
TRL 1.12.0 is installed into a folder of its own (--environment); torch, transformers and all else are this
environment's, so only the trainers differ. Each run is a process; ours and TRL's take turns. Numbers are medians over
steps after the first; memory is the process's largest resident size, also less what the imports alone take. TRL runs as
its example script sets it up (value model trained whole) and with the value model's body under LoRA. With --learn
both start from a study's best policy and learn from its best reward model, read by the same code from the same texts;
learned is the mean reward of the last five batches.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
TRL = "trl==1.12.0"
LAST = 5
T975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228}
"""97.5% points of Student's t by degrees of freedom."""


class Interval(NamedTuple):
    mean: float
    half: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.half:.3f}"


def interval(values: Sequence[float]) -> Interval:
    """Mean and half of its 95% interval by Student's t; needs two values."""
    error = statistics.stdev(values) / len(values) ** 0.5
    return Interval(statistics.mean(values), T975.get(len(values) - 1, 1.96) * error)


def environment(folder: Path) -> Path:
    """A virtual environment's python that sees this environment's packages, but TRL 1.12.0."""
    python = folder / "bin" / "python"
    paths = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    if not (site / "trl-1.12.0.dist-info").is_dir():
        venv.create(folder, with_pip=False, clear=True)
        (site / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), TRL]
        subprocess.run(install, check=True)
    return python


def run(command: list[str], task: dict[str, Any]) -> dict[str, Any]:
    """One child process: its numbers. Its output is shown only when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder, "task.json"), Path(folder, "out.json")
        given.write_text(json.dumps(task | {"work": str(Path(folder, "work"))}), "utf-8")
        threads = {name: str(task["threads"]) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(HERE.parent)}
        done = subprocess.run(
            [*command, str(given), str(out)],
            env={**os.environ, **threads, **quiet},
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        outcome: dict[str, Any] = json.loads(out.read_text("utf-8"))
        return outcome


def ours(given: Path, out: Path) -> None:
    """The child that trains with ours."""
    import pyarrow.parquet as pq
    import torch
    import transformers
    from _ppo_measure import Clock, pin

    from seam_pipeline.experiment import PPO, Lora
    from seam_pipeline.training.ppo import train_ppo

    task = json.loads(given.read_text("utf-8"))
    pin(task["threads"])
    clock = Clock()
    settings = PPO(
        steps=task["steps"],
        batch_size=task["batch_size"],
        minibatch_size=task["batch_size"],
        gradient_accumulation=task["gradient_accumulation"],
        epochs=task["epochs"],
        learning_rate=task["learning_rate"],
        kl_coefficient=task["kl_coefficient"],
        kl_target=None,
        min_new_tokens=task["response_length"],
        max_new_tokens=task["response_length"],
        checkpoint_every=task["steps"],
        lora=Lora(r=task["lora_r"], alpha=task["lora_alpha"], dropout=0.0),
    )

    folder = train_ppo(
        task["policy"],
        task["reward"],
        json.loads(Path(task["prompts"]).read_text("utf-8"))["texts"],
        settings,
        Path(task["work"]) / "out",
        task["seed"],
        progress=lambda *_: clock.step(),
    )
    metrics = pq.read_table(folder / "metrics.parquet")
    kept = {"reward": metrics["reward_mean"].to_pylist(), "kl": metrics["kl"].to_pylist()}
    clock.write(out, kept, {"torch": torch.__version__, "transformers": transformers.__version__})


def speed(arguments: argparse.Namespace, python: Path, task: dict[str, Any], root: Path) -> list[str]:
    """A table per model size: each trainer's numbers, and TRL's over ours."""
    from _ppo_models import make_models

    trainers = {"ours": [sys.executable, __file__, "--child"], **trl_commands(python, arguments.values)}
    lines = []
    for size in arguments.sizes:
        models = make_models(root / size, size)
        paths = {key: str(value) for key, value in models._asdict().items()}
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in trainers}
        for _ in range(arguments.repeats):
            for name, command in trainers.items():
                runs[name].append(run(command, {**task, **paths, "value": name.rpartition(" ")[2], "learn": False}))
        numbers = {name: _speed(found, task["batch_size"]) for name, found in runs.items()}
        lines += ["", f"### {size}: {models.parameters / 1e6:.1f} M parameters", ""]
        lines += [
            "| | samples/s | ours / it | by CPU seconds | ours / it | peak MiB | ours / it | less imports | ours / it |"
        ]
        lines += ["|---|" + "---|" * 8]
        best = numbers["ours"]
        for name, found in numbers.items():
            cells = [f"{value:.1f} | {mine / value:.2f}" for value, mine in zip(found, best, strict=True)]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def trl_commands(python: Path, values: Sequence[str]) -> dict[str, list[str]]:
    return {f"TRL 1.12.0, value model {value}": [str(python), str(HERE / "_trl_ppo.py")] for value in values}


def _speed(runs: Sequence[dict[str, Any]], samples: int) -> tuple[float, float, float, float]:
    wall, cpu = ([second for found in runs for second in found[key][1:]] for key in ("wall", "cpu"))
    peaks = statistics.median(found["peak"] for found in runs)
    added = statistics.median(found["peak"] - found["imports"] for found in runs)
    return samples / statistics.median(wall), samples / statistics.median(cpu), peaks, added


def learning(arguments: argparse.Namespace, python: Path, task: dict[str, Any], root: Path) -> list[str]:
    """Learned reward and KL of each trainer over the seeds, and the difference with its interval."""
    from _ppo_models import study_models

    paths = {key: str(value) for key, value in study_models(arguments.learn, root)._asdict().items()}
    trainers = {"ours": [sys.executable, __file__, "--child"], **trl_commands(python, arguments.values)}
    lines = [
        "",
        "| trainer | learning rate | first batches | last batches | KL | last less ours |",
        "|---|" + "---|" * 5,
    ]
    for rate in arguments.learning_rates:
        mine: list[float] = []
        for name, command in trainers.items():
            given = {**task, **paths, "learn": True, "learning_rate": rate, "value": name.rpartition(" ")[2]}
            runs = [run(command, {**given, "seed": seed})["metrics"] for seed in range(arguments.seeds)]
            first, last, kl = (
                [statistics.mean(found[key][part]) for found in runs]
                for key, part in (("reward", slice(LAST)), ("reward", slice(-LAST, None)), ("kl", slice(-LAST, None)))
            )
            mine = mine or last
            less = interval([one - other for one, other in zip(last, mine, strict=True)]) if mine is not last else "-"
            row = (name, f"{rate:g}", interval(first), interval(last), interval(kl), less)
            lines.append("| " + " | ".join(map(str, row)) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=("tiny", "mid"), default=["tiny", "mid"])
    parser.add_argument("--steps", type=int, default=6, help="PPO steps per run")
    parser.add_argument("--repeats", type=int, default=1, help="runs per trainer, taking turns")
    parser.add_argument("--accumulation", type=int, default=1, help="micro-batches per update, both trainers")
    parser.add_argument("--values", nargs="+", choices=("full", "lora"), default=["full", "lora"], help="TRL's value")
    parser.add_argument("--trl-checkpointing", action="store_true", help="gradient checkpointing, TRL's default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--learn", type=Path, metavar="STUDY", help="compare learned rewards, on a study's artifacts")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--learning-rates", nargs="+", type=float, default=[1e-3])
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser.add_argument("--environment", type=Path, default=cache / "seam-benchmarks" / "trl-1.12.0")
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    arguments = parser.parse_args()
    task = {
        "steps": arguments.steps,
        "batch_size": 32,
        "gradient_accumulation": arguments.accumulation,
        "epochs": 4,
        "response_length": 48,
        "learning_rate": 1.4e-5,
        "kl_coefficient": 0.05,
        "lora_r": 16,
        "lora_alpha": 32,
        "threads": arguments.threads,
        "trl_checkpointing": arguments.trl_checkpointing,
        "seed": 0,
    }
    python = environment(arguments.environment)
    with tempfile.TemporaryDirectory() as root:
        table = (learning if arguments.learn else speed)(arguments, python, task, Path(root))
    lines = [
        f"`python benchmarks/ppo.py {' '.join(sys.argv[1:])}` on {platform.machine()}, {os.cpu_count()} cores, "
        f"{task['threads']} threads, Python {platform.python_version()}.",
        *table,
    ]
    print("\n".join(lines))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        ours(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
