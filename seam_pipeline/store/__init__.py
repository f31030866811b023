"""Every artifact of a study: where it lies, what made it, and whether it is still current."""

from ._record import Record, hash_folder, recipe_of
from ._remote import StoreUnreachableError
from ._store import Store, read_payload, write_payload

__all__ = ["Record", "Store", "StoreUnreachableError", "hash_folder", "read_payload", "recipe_of", "write_payload"]
