"""The plan in words."""

from collections.abc import Iterator

from ._plan import Asked, Plan, Row, sources_of
from ._rates import LLM_CALL_SECONDS, LLM_TOKENS_PER_SECOND, UNITS
from ._size import DataSize

NAMES = {
    "pretrain": "Pretraining",
    "train": "Training",
    "score": "Scoring",
    "generate": "Generating",
    "rl": "RL",
    "attack": "Attacks",
    "embed": "Embedding",
    "llm": "LLM",
}


def plan_lines(plan: Plan) -> Iterator[str]:
    """A table of what would run and why, then the totals and where the speeds come from."""
    e = plan.experiment
    yield f"Experiment {e.name}: {plan.assets} assets, {plan.artifacts} artifacts."
    if not plan.rows:
        yield "Everything is up to date: nothing would run."
        return
    yield _model_line(plan)
    yield _data_line(plan.data)
    yield ""
    yield from _table(plan)
    yield ""
    yield from _totals(plan)
    yield ""
    yield from _speeds(plan)


def _model_line(plan: Plan) -> str:
    name = plan.experiment.base.path or "trained from scratch"
    if plan.size is None:
        return f"Base model {name}: size unknown until it is on disk, so no tokens or times are estimated."
    said = " (from its name)" if plan.size.assumed else ""
    return f"Base model {name}: {plan.size.parameters / 1e6:,.1f} M parameters{said}."


def _data_line(data: DataSize) -> str:
    source = "counted in the datasets" if data.measured else "estimated: the datasets are not there yet"
    return (
        f"RL instructions: {data.rl_train:,} train, {data.rl_test:,} test; about {data.prompt_tokens:.0f} prompt and "
        f"{data.response_tokens:.0f} response tokens each ({source})."
    )


def _table(plan: Plan) -> Iterator[str]:
    unit = _device(plan)
    head: tuple[str, ...] = ("", "n", "trained", "scored", "written", "other", f"{unit} h", "time", "disk", "why")
    lines, group = [head], ""
    for row in plan.rows:
        if row.group not in (group, row.name):
            lines.append((row.group, *[""] * (len(head) - 1)))
            group = row.group
        lines.append(_cells(row))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        numbers = (text.rjust(width) for text, width in zip(line[1:-1], widths[1:-1], strict=True))
        yield "  ".join([line[0].ljust(widths[0]), *numbers, line[-1]]).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    estimate, cost = row.estimate, row.estimate.cost
    counts = ((cost.queries, "queries"), (cost.embedded, "texts"), (cost.llm_calls, "LLM calls"))
    hours = estimate.device_seconds / 3600
    return (
        row.name if row.name == row.group else f"  {row.name}",
        f"{row.artifacts:,}",
        *(number(tokens) for tokens in (cost.pretrained + cost.trained, cost.scored, cost.written)),
        ", ".join(f"{number(count)} {unit}" for count, unit in counts if count),
        f"{hours:,.1f}" if hours >= 0.05 else "",
        duration(estimate.seconds),
        size(cost.disk),
        row.why,
    )


def _totals(plan: Plan) -> Iterator[str]:
    total, cost = plan.total, plan.total.cost
    batches = f", and {total.batches} LLM batches of up to a day" if total.batches else ""
    yield (
        f"In all: {sum(row.artifacts for row in plan.rows):,} artifacts, {total.device_seconds / 3600:,.1f} "
        f"{_device(plan)} hours; one after the other {duration(total.seconds)}{batches}."
    )
    kinds = (
        (cost.pretrained + cost.trained, "tokens trained"),
        (cost.scored, "tokens scored"),
        (cost.written, "tokens generated"),
        (cost.queries, "reward queries of attacks at most"),
        (cost.embedded, "texts embedded"),
    )
    work = ", ".join(f"{number(count)} {what}" for count, what in kinds if count)
    yield f"Work: {work or 'no model runs'}."
    yield from _llm(plan)
    parts = ", ".join(
        f"{group} {size(estimate.cost.disk)}" for group, estimate in plan.groups.items() if estimate.cost.disk >= 1e5
    )
    yield f"Disk: {size(cost.disk) or '0 MB'}{f' ({parts})' if parts else ''}."
    if cost.models:
        yield (
            f"Models: {cost.models:,.0f} adapters; as merged copies they would take {size(plan.merged_bytes)} "
            "besides the base."
        )


def _llm(plan: Plan) -> Iterator[str]:
    if not plan.asked:
        yield "LLM calls: none."
        return
    for asked in plan.asked:
        yield _asked(asked)
    prices = [asked.dollars for asked in plan.asked]
    known = [price for price in prices if price is not None]
    calls = sum(asked.calls for asked in plan.asked)
    if len(known) == len(prices):
        yield f"LLM in all: {number(calls)} calls, about {sum(known):,.2f} dollars."
    else:
        yield f"LLM in all: {number(calls)} calls."


def _asked(asked: Asked) -> str:
    endpoint = asked.endpoint
    words = (
        f"LLM, {asked.who}: {number(asked.calls)} calls of {endpoint.model}, {number(asked.prompt_tokens)} tokens in, "
        f"{number(asked.reply_tokens)} out"
    )
    if asked.dollars is None:
        return f"{words}; set dollars_per_million_input and _output of the endpoint for the price."
    how = f", batches at {endpoint.batch_price:g} of the price" if endpoint.mode == "batch" else ""
    return f"{words}; about {asked.dollars:,.2f} dollars{how}{_budget(asked)}."


def _budget(asked: Asked) -> str:
    limit = asked.endpoint.max_dollars
    if limit is None:
        return ""
    over = asked.dollars is not None and asked.dollars > limit
    return f"; {'MORE than' if over else 'within'} the budget of {limit:,.2f}"


def _speeds(plan: Plan) -> Iterator[str]:
    if plan.size is None:
        return
    yield "Speeds of one device (--throughput FILE gives measured ones):"
    for kind, rate in sorted(sources_of(plan).items(), key=lambda item: list(NAMES).index(item[0])):
        many = kind in ("rl", "llm")
        value = rate.per_second * (60 if many else 1)
        unit = f"{UNITS.get(kind, 'tokens')}/{'min' if many else 's'}"
        shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        yield f"  {NAMES[kind]}: {shown} {unit}, {rate.source}: {rate.words}."
    if plan.asked and "llm" not in plan.rates:
        each = f"{LLM_CALL_SECONDS:g} s per call and {LLM_TOKENS_PER_SECOND:g} tokens/s"
        yield f"  LLM: assumed: {each}, the endpoint's `concurrency` at once."
    if plan.total.again:
        yield f"  {plan.total.again} artifacts were made before and are expected to take as long again."


def _device(plan: Plan) -> str:
    device = plan.experiment.compute.device
    return "GPU" if device.startswith("cuda") else "CPU" if device == "cpu" else "device"


def number(value: float) -> str:
    """Three digits and a prefix; nothing for 0."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.1f} {unit}"
    return f"{value:.0f}" if value else ""


def size(bytes_: float) -> str:
    """Megabytes and more; nothing below 50 kB."""
    for limit, unit in ((1e12, "TB"), (1e9, "GB")):
        if bytes_ >= limit:
            return f"{bytes_ / limit:.1f} {unit}"
    return f"{bytes_ / 1e6:.1f} MB" if bytes_ >= 5e4 else ""


def duration(seconds: float) -> str:
    """Seconds, minutes, hours or days."""
    if seconds >= 172800:
        return f"{seconds / 86400:,.1f} days"
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.0f} s"
