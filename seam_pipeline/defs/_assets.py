"""Turning the study's nodes into Dagster assets."""

from collections.abc import Iterator

import dagster as dg

from ..errors import SeamError
from ..experiment import fingerprint
from ..progress import Progress
from ..store import Store
from ._executors import op_tags
from ._launch import launcher
from ._live import Live
from ._metadata import described, kinds_of, metadata_of, tags_of
from ._node import Node, Partition
from ._partitions import partitions_of
from ._pools import pool_of
from ._retry import again
from ._run import Made, current, make
from ._stale import label_of
from ._study import Study, relation


class Listener:
    """Told of in-process steps as they go; labels are `asset` or `asset [partition]`."""

    def step(self, label: str, done: int, total: int) -> None:
        """An artifact is at step `done` of `total`; (0, 0) when it starts."""

    def made(self, label: str, seconds: float) -> None:
        """An artifact has been written."""


_listeners: list[Listener] = []


def listen(listener: Listener | None) -> None:
    """Send progress of in-process steps to a listener too, besides Dagster's log; None to nobody else."""
    _listeners[:] = [listener] if listener else []


AGAIN = "seam/again"
"""Tag of a run that makes its artifacts even where they are current."""
SOME = "arms_"
"""How the names of jobs begin whose assets only some ranks or cells have."""


def build_asset(
    study: Study, node: Node, store: Store, condition: dg.AutomationCondition | None = None, pools: bool = True
) -> dg.AssetsDefinition:
    """The Dagster asset of a node; its content check and data version come from the store.

    A step whose artifact is current reports it as it is, without computing; the tag `seam/again` computes it.
    """
    prefix = study.experiment.name
    key = dg.AssetKey([prefix, node.name])
    all_settings = [study.settings(node, p) for p in study.axis(node.axis)]

    spec = dg.AssetSpec(
        key,
        group_name=node.group,
        description=described(study, node),
        deps=[_dependency(study, node, dep) for dep in node.deps],
        partitions_def=partitions_of(study.experiment, node.axis),
        code_version=f"{node.version}-{fingerprint(*all_settings)}",
        automation_condition=condition,
        kinds=kinds_of(study, node),
        tags=tags_of(study, node),
        metadata={"store": str(store.path(node.name).parent)},
        skippable=node.cells is not None,
    )

    @dg.multi_asset(
        name=key.to_python_identifier(),
        specs=[spec],
        check_specs=[
            dg.AssetCheckSpec(name, asset=key, description=text, blocking=True) for name, text in _check_texts(node)
        ],
        pool=pool_of(study, node) if pools else None,
        op_tags=op_tags(study.experiment, node),
        can_subset=node.cells is not None,  # else Dagster wants the outcomes of a skipped asset's checks
    )
    def step(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        partition = Partition.parse(str(context.partition_key) if context.has_partition_key else None)
        if partition not in study.wanted(node):
            _leave_out(context, node, partition)
            return
        made = _make(context, study, node, partition, store)
        yield dg.MaterializeResult(
            asset_key=key,
            metadata=dict(metadata_of(study, node, store, made)),
            data_version=dg.DataVersion(made.record.data_version),
            check_results=[
                dg.AssetCheckResult(passed=problem is None, check_name=name, metadata={"problem": problem or "none"})
                for name, problem in made.problems.items()
            ],
        )

    return step


def _leave_out(context: dg.AssetExecutionContext, node: Node, partition: Partition) -> None:
    """Skip the step in a job of what only some ranks or cells have. Raises dg.Failure where it was asked for itself."""
    why = f"{node.name} [{partition.key}] is nothing that the experiment runs (rl.arms, findings)."
    if not context.job_name.startswith(SOME):
        raise dg.Failure(why, allow_retries=False)
    context.log.info(f"{why} Left out.")


def _make(context: dg.AssetExecutionContext, study: Study, node: Node, partition: Partition, store: Store) -> Made:
    """The artifact, made if it must be. Raises dg.Failure for mistakes, dg.RetryRequested for errors that can pass."""
    compute = study.experiment.compute
    try:
        store.refresh()
        with store.lock(node.name, partition.key):
            anew = context.run.tags.get(AGAIN) == "true"
            made = None if anew else current(study, store, node, partition)
            if made is not None:
                context.log.info(f"current, not made again (tag {AGAIN}: true makes it again)")
                return made
            launch, live = launcher(context, compute, store.root / "jobs"), Live(context)
            made = make(study, store, node, partition, _report(live, node, partition), launch, live.training, anew)
    except (SeamError, OSError) as error:
        retry = again(error, compute.retries, context.retry_number)
        if retry is not None:
            context.log.warning(f"{error}; trying again in {retry.seconds_to_wait:.0f} s")
            raise retry from error
        if isinstance(error, SeamError):
            raise dg.Failure(str(error), allow_retries=False) from error
        raise
    for listener in _listeners:
        listener.made(label_of(node.name, partition), made.record.seconds)
    return made


def _dependency(study: Study, node: Node, dep: str) -> dg.AssetDep:
    how = relation(study.nodes[dep].axis, node.axis)
    mapping: dg.PartitionMapping | None = None
    best = study.axis(study.nodes[dep].axis)[0].key
    if dep in node.best and best is not None:
        mapping = dg.SpecificPartitionsPartitionMapping([best])
    elif how == "rank":
        ranks = range(1, len(study.experiment.reward.ranks) + 1)
        mapping = dg.StaticPartitionMapping({f"pm{r:02d}": f"rm{r:02d}" for r in ranks})
    return dg.AssetDep(dg.AssetKey([study.experiment.name, dep]), partition_mapping=mapping)


def _check_texts(node: Node) -> list[tuple[str, str]]:
    schema = [("schema", "Columns, types and nulls are the documented ones.")] if node.schema else []
    return schema + [(check.name, check.description) for check in node.checks]


def _report(live: Live, node: Node, partition: Partition) -> Progress:
    if not _listeners:
        return live.progress
    listener, label = _listeners[0], label_of(node.name, partition)
    listener.step(label, 0, 0)

    def report(done: int, total: int) -> None:
        listener.step(label, done, total)
        live.progress(done, total)

    return report
