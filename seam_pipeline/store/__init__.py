"""Every artifact of a study: where it lies, what made it, and whether it is still current."""

from ._record import Record, recipe_of
from ._store import Store, read_payload, write_payload

__all__ = ["Record", "Store", "read_payload", "recipe_of", "write_payload"]
