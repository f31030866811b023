"""How far a running step is, in Dagster's run log and, now and then, among the asset's events."""

import time

import dagster as dg

from ..progress import Progress

LINES, OBSERVATIONS = 10.0, 60.0
"""Seconds between two lines of the log, and between two observations of the asset."""


def live(context: dg.AssetExecutionContext) -> Progress:
    """Progress of one step: lines in its log; observations, whose `percent` the asset's page draws over time."""
    started = said = observed = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal said, observed
        now = time.monotonic()
        if not done or not total:
            return
        left = (now - started) / done * (total - done)
        if now - said >= LINES:
            said = now
            context.log.info(f"{done} of {total}, about {left:.0f} s left")
        if now - observed >= OBSERVATIONS:
            observed = now
            context.log_event(_observation(context, done, total, left))

    return tell


def _observation(context: dg.AssetExecutionContext, done: int, total: int, left: float) -> dg.AssetObservation:
    return dg.AssetObservation(
        context.asset_key,
        partition=context.partition_key if context.has_partition_key else None,
        metadata={"percent": round(100 * done / total, 1), "step": f"{done} of {total}", "seconds_left": round(left)},
    )
