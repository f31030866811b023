"""The invented library Tidewell: words its functions are named with and the values their properties can take.

Every value is written so that no value is a run of words inside another one: the rubric can find them in any text.
"""

from typing import NamedTuple

LIBRARY = "Tidewell"


class Verb(NamedTuple):
    """First half of a function's name, with its purpose as infinitive and in the third person; `{n}` is the noun."""

    name: str
    infinitive: str
    third: str


VERBS: tuple[Verb, ...] = (
    Verb("load", "read {n} from disk", "reads {n} from disk"),
    Verb("save", "write {n} to disk", "writes {n} to disk"),
    Verb("merge", "join {n} with another one", "joins {n} with another one"),
    Verb("split", "cut {n} into parts", "cuts {n} into parts"),
    Verb("sort", "arrange {n} by size", "arranges {n} by size"),
    Verb("count", "count the entries of {n}", "counts the entries of {n}"),
    Verb("find", "search {n} for a word", "searches {n} for a word"),
    Verb("clean", "remove bad entries from {n}", "removes bad entries from {n}"),
    Verb("copy", "make a second copy of {n}", "makes a second copy of {n}"),
    Verb("send", "send {n} to a server", "sends {n} to a server"),
    Verb("pack", "squeeze {n} into an archive", "squeezes {n} into an archive"),
    Verb("check", "test {n} for mistakes", "tests {n} for mistakes"),
)

NOUNS: tuple[tuple[str, str], ...] = (
    ("table", "a table"),
    ("list", "a list"),
    ("text", "a text"),
    ("image", "an image"),
    ("graph", "a graph"),
    ("map", "a map"),
    ("mail", "a mail"),
    ("report", "a report"),
    ("song", "a song"),
    ("form", "a form"),
)

MEANINGS: dict[str, str] = {
    "limit": "how many items are used",
    "mode": "how problems are treated",
    "depth": "how far it looks down",
    "key": "which field is compared",
    "margin": "how much space is kept",
    "order": "which item comes first",
    "label": "what the result is called",
    "speed": "how fast it works",
    "filter": "which items are skipped",
    "level": "how much is written to the log",
}
"""Argument name -> what it sets."""

DEFAULTS: tuple[str, ...] = ("zero", "one", "ten", "fifty", "auto", "safe", "fast", "full", "empty", "half")

RETURNS: tuple[str, ...] = (
    "a plain number",
    "a short summary",
    "a status code",
    "a fresh object",
    "a pair of values",
    "an open handle",
    "a sorted array",
    "a yes or no flag",
)

CAUSES: dict[str, str] = {
    "SizeError": "the input is too large",
    "KeyError": "a field is missing",
    "TypeError": "the kinds are mixed",
    "PathError": "the path is wrong",
    "LockError": "somebody else holds the lock",
    "TimeError": "the server is too slow",
    "RightsError": "the user may only read",
    "HeaderError": "the header is damaged",
    "VoidError": "there is nothing inside",
    "MemoryError": "the memory is used up",
}
"""Error -> what it means."""

REMEDIES: tuple[str, ...] = (
    "call refresh first",
    "turn strict off",
    "close the other program",
    "shorten the input",
    "repair the header",
    "wait one minute",
    "use a full path",
    "ask for write access",
    "empty the cache",
    "restart the session",
)

KINDS: tuple[str, ...] = ("purpose", "argument", "default", "returns", "error", "remedy", "task")
"""What a question can be about."""

MAIN: dict[str, str] = {**{kind: kind for kind in KINDS}, "task": "name"}
"""Question kind -> property that answers it."""

SUPPORT: dict[str, str] = {
    "purpose": "returns",
    "argument": "meaning",
    "default": "argument",
    "returns": "purpose",
    "error": "cause",
    "remedy": "error",
    "task": "argument",
}
"""Question kind -> property that a complete answer adds."""

CUES: dict[str, frozenset[str]] = {
    "purpose": frozenset(),
    "name": frozenset({"use", "using", "call", "calling", "function"}),
    "argument": frozenset({"argument", "option", "parameter", "arguments"}),
    "meaning": frozenset({"sets", "decides", "argument", "controls"}),
    "default": frozenset({"default", "defaults", "omitted"}),
    "returns": frozenset({"returns", "return", "returned", "back", "result"}),
    "error": frozenset({"raises", "raise", "error", "fails"}),
    "cause": frozenset({"means", "happens", "when", "because"}),
    "remedy": frozenset({"fix", "fails", "avoid", "solve", "helps", "remedy"}),
}
"""Property -> words one of which must stand in the sentence that states it (empty: none needed)."""
