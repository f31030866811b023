"""Numbers as people read them: a real minus sign, thousands separators, no false precision."""

from collections.abc import Sequence


def number(value: float | None, digits: int = 2, *, signed: bool = False, percent: bool = False) -> str:
    """`2.50`, `−0.31`, `+12.0%`; an en dash for a missing value. With `percent`, `value` is a fraction."""
    if value is None:
        return "–"
    scaled = value * 100 if percent else value
    text = f"{scaled:{'+' if signed else ''},.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−") + ("%" if percent else "")


def count(n: int, thing: str, plural: str | None = None) -> str:
    """`1 question`, `2,000 questions`."""
    return f"{n:,} {thing if n == 1 else plural or thing + 's'}"


def listing(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(items) < 2:
        return "".join(items)
    return ", ".join(items[:-1]) + " and " + items[-1]


def shorten(text: str, limit: int = 400) -> str:
    """At most `limit` characters, cut at a word, with an ellipsis."""
    text = text.strip()
    if len(text) <= limit:
        return text
    head = text[:limit].rsplit(None, 1)[0] if " " in text[:limit] else text[:limit]
    return head + " …"
