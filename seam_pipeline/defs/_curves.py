"""Learning curves as PNG, for the asset's metadata in the UI."""

import pyarrow as pa


def curve_png(metrics: pa.Table, column: str, by: str | None = None) -> bytes | None:
    """One line of `column` over `step`, or one per value of `by`; null and non-finite points are left out.

    None without a point: nothing was trained.
    """
    from ..report.charts import Curve, curves

    rows = [row for row in metrics.to_pylist() if row[column] is not None and abs(row[column]) < float("inf")]
    if not rows:
        return None
    groups = sorted({row[by] for row in rows}) if by else [None]
    lines = []
    for style, group in enumerate(groups):
        points = [(row["step"], row[column]) for row in rows if by is None or row[by] == group]
        x, y = zip(*points, strict=True) if points else ((), ())
        lines.append(Curve(f"{by} {group}" if by else column, x, y, style))
    return curves(column, lines, x_label="step", y_label=column.replace("_", " ")).png
