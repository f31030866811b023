"""The plan in words."""

from collections.abc import Iterator

from ..defs._stale import Task
from ..defs._study import Study
from ..experiment import Experiment
from ..store import Store
from ._cost import Cost, cost_of
from ._size import DataSize, ModelSize, data_size, model_size

CPU_TFLOPS = 0.02
"""Sustained rate of a small model on two cores, from the testbed's own runs; `--tflops` overrides."""
GPU_TFLOPS = 120.0
"""Assumed sustained bf16 rate of one data-centre GPU (about 40% of an A100's peak); `--tflops` overrides."""
FIXED_SECONDS = 0.5
"""Dagster's part of an artifact."""


def expected_seconds(study: Study, store: Store, tasks: list[Task]) -> dict[str, float]:
    """By label: from the artifact's last time, else its siblings' mean, else from tokens and the assumed rate."""
    size, data = model_size(study.experiment.base), data_size(study.experiment, store)
    return {task.label: _expected(study, store, task, size, data) for task in tasks}


def _expected(study: Study, store: Store, task: Task, size: ModelSize | None, data: DataSize) -> float:
    record = store.record(task.node.name, task.partition.key)
    if record is not None:
        return record.seconds + FIXED_SECONDS
    siblings = [r.seconds for p in study.wanted(task.node) if (r := store.record(task.node.name, p.key))]
    if siblings:
        return sum(siblings) / len(siblings) + FIXED_SECONDS
    if size is None:
        return FIXED_SECONDS
    return _seconds(_cost(study.experiment, task, data, size), size, _rate(study.experiment, None))


def plan_lines(study: Study, store: Store, tasks: list[Task], tflops: float | None, show_all: bool) -> Iterator[str]:
    """What would run and why, and the totals."""
    e = study.experiment
    size, data = model_size(e.base), data_size(e, store)
    yield f"Experiment {e.name}: {len(study.nodes)} assets, {sum(len(study.wanted(n)) for n in study.order)} artifacts."
    if not tasks:
        yield "Everything is up to date: nothing would run."
        return
    yield _model_line(e, size)
    yield _data_line(data)
    rate = _rate(e, tflops)
    total, seconds = Cost(), 0.0
    for name, group in _grouped(tasks, show_all):
        cost = sum((_cost(e, t, data, size) for t in group), Cost()) if size else Cost()
        spent = (
            sum(_expected(study, store, t, size, data) for t in group) if tflops is None else _seconds(cost, size, rate)
        )
        total, seconds = total + cost, seconds + spent
        yield _task_line(name, group, cost, spent)
    yield from _totals(e, total, seconds, len(tasks), rate, tflops)


def _grouped(tasks: list[Task], show_all: bool) -> list[tuple[str, list[Task]]]:
    groups: dict[str, list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.label if show_all else task.node.name, []).append(task)
    return list(groups.items())


def _cost(e: Experiment, task: Task, data: DataSize, size: ModelSize) -> Cost:
    return cost_of(task.node.name, e, data, size, task.partition.pm or 1, task.partition.rm or 1)


def _rate(e: Experiment, tflops: float | None) -> float:
    on_gpu = e.compute.device.startswith("cuda")
    return (tflops if tflops is not None else GPU_TFLOPS if on_gpu else CPU_TFLOPS) * 1e12


def _seconds(cost: Cost, size: ModelSize | None, rate: float) -> float:
    return FIXED_SECONDS + (cost.flops_per_parameter * size.parameters / rate if size else 0)


def _model_line(e: Experiment, size: ModelSize | None) -> str:
    name = e.base.path or "trained from scratch"
    if size is None:
        return f"Base model {name}: size unknown until it is on disk, so no tokens or times are estimated."
    return f"Base model {name}: {size.parameters / 1e6:,.1f} M parameters{' (from its name)' if size.assumed else ''}."


def _data_line(data: DataSize) -> str:
    source = "counted in the datasets" if data.measured else "estimated: the datasets are not there yet"
    return (
        f"RL instructions: {data.rl_train:,} train, {data.rl_test:,} test; about {data.prompt_tokens:.0f} prompt and "
        f"{data.response_tokens:.0f} response tokens each ({source})."
    )


def _task_line(name: str, group: list[Task], cost: Cost, seconds: float) -> str:
    tokens = cost.trained + cost.scored + cost.written
    parts = [f"{len(group):4d} x {name}" if len(group) > 1 else f"       {name}", group[0].why]
    if tokens:
        parts.append(f"{_number(tokens)} tokens")
    if cost.llm_calls:
        parts.append(f"{_number(cost.llm_calls)} LLM calls")
    parts.append(_time(seconds))
    return "; ".join(parts)


def _totals(e: Experiment, total: Cost, seconds: float, n: int, rate: float, tflops: float | None) -> Iterator[str]:
    yield f"In all: {n} artifacts, {_time(seconds)}" + ("." if tflops is None else f" at {tflops:g} TFLOP/s.")
    on_gpu = e.compute.device.startswith("cuda")
    if tflops is None:
        measured = "an assumption, not a measurement" if on_gpu else "from the testbed on two cores"
        yield f"Artifacts made before take as long again, the others {rate / 1e12:g} TFLOP/s, {measured} (--tflops)."
    yield (
        f"Tokens: {_number(total.trained)} trained, {_number(total.scored)} scored, {_number(total.written)} "
        f"generated. Disk: {total.disk / 1e9:.2f} GB of models and scores."
    )
    yield _llm_line(e, total)


def _llm_line(e: Experiment, total: Cost) -> str:
    if not total.llm_calls:
        return "LLM calls: none."
    endpoint = (e.candidates.llm.endpoint if e.candidates.llm else None) or e.judge.endpoint
    words = (
        f"LLM calls: {_number(total.llm_calls)}, {_number(total.llm_input)} tokens in, {_number(total.llm_output)} out"
    )
    dollars = endpoint.dollars(total.llm_input, total.llm_output) if endpoint else None
    if endpoint is None or dollars is None:
        return f"{words}; set dollars_per_million_input and _output of the endpoint for the price."
    how = f", batches at {endpoint.batch_price:g} of the price" if endpoint.mode == "batch" else ""
    limit = "" if endpoint.max_dollars is None else f" (the budget is {endpoint.max_dollars:,.2f})"
    return f"{words}; about {dollars:,.2f} dollars{how}{limit}."


def _number(value: float) -> str:
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.1f} {unit}"
    return f"{value:.0f}"


def _time(seconds: float) -> str:
    if seconds >= 172800:
        return f"{seconds / 86400:,.1f} days"
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.0f} s"
