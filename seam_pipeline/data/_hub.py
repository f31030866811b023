"""Rows of a data set on the hub, streamed."""

import re
from collections.abc import Iterator

from seam_pipeline.errors import SeamError

from ._records import Record

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(?:/[\w./-]+)?")
_FILE_ENDINGS = (".xml", ".7z", ".csv", ".json", ".jsonl", ".ndjson", ".parquet")


def looks_like_hub_id(path: str) -> bool:
    """`owner/name`, or `owner/name/folder` for one data folder of it."""
    return bool(_HUB_ID.fullmatch(path)) and not path.lower().endswith(_FILE_ENDINGS) and not path.startswith(".")


def read_hub(identifier: str) -> Iterator[Record]:
    """The rows of the train split; SeamError if the hub or the data set cannot be reached."""
    import datasets

    owner, name, *folder = identifier.split("/")
    try:
        rows = datasets.load_dataset(
            f"{owner}/{name}", data_dir="/".join(folder) or None, split="train", streaming=True
        )
        yield from rows
    except Exception as error:  # the HTTP stack below raises errors of many unrelated classes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SeamError(
            f"{identifier} is neither a file or folder here nor a data set that the hub gives ({reason}); "
            "check the spelling, or download it and give the folder."
        ) from error
