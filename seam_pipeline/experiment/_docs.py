"""The reference of the experiment file, written from the schema: `python -m seam_pipeline.experiment._docs`."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .schema import Experiment

HEADER = """# The experiment file

One YAML file is the whole configuration of a study. `seam run -e NAME|PATH` and `SEAM_EXPERIMENT` choose it; shipped
are `smoke`, `testbed` (the default), `stackexchange` and `paper`. An unknown key, a value out of range or an
impossible combination is refused with one sentence that names the key. Relative `data.paths` are looked for beside the
file first; `$SEAM_DATA` among them stands for what `--data PATH` or the environment variable gives.

This page is written from the schema: `python -m seam_pipeline.experiment._docs > docs/experiment.md`.
"""


def reference() -> str:
    """The whole page as Markdown."""
    return HEADER + "".join(_section("", Experiment, set()))


def _section(prefix: str, model: type[BaseModel], seen: set[str]) -> Iterator[str]:
    doc = (model.__doc__ or "").strip().splitlines()[0]
    yield f"\n## {prefix or 'top level'}\n\n{doc}\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n"
    nested: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        path = f"{prefix}.{name}" if prefix else name
        models = [m for m in _models(field.annotation) if f"{path} {m.__name__}" not in seen]
        for inner in models:
            seen.add(f"{path} {inner.__name__}")
            nested.append((path if len(models) == 1 else f"{path} ({inner.__name__})", inner))
        yield f"| `{path}` | {_type(field)} | {_default(field)} | {field.description or ''} |\n"
    for path, inner in nested:
        yield from _section(path, inner, seen)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _type(field: FieldInfo) -> str:
    names = [m.__name__ for m in _models(field.annotation)]
    if names:
        return "mapping" if len(names) == 1 else "one of " + ", ".join(names)
    text = str(field.annotation).replace("typing.", "").removeprefix("<class '").removesuffix("'>")
    return f"`{text}`".replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, BaseModel):
        return "see below"
    return f"`{field.default}`".replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
