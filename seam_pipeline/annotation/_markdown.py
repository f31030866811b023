"""Answers as HTML that can do nothing: no HTML of their own, no scripts, nothing fetched."""

from collections.abc import MutableMapping, Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import SeamError

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token

    Tokens: TypeAlias = Sequence[Token]
    Env: TypeAlias = MutableMapping[str, Any]


def render(text: str) -> str:
    """CommonMark with tables and strikethrough; HTML is shown as text, an image as its description."""
    return str(_renderer().render(text))


@cache
def _renderer() -> "MarkdownIt":
    try:
        from markdown_it import MarkdownIt
    except ImportError as error:
        raise SeamError("Answers are rendered by markdown-it-py; pip install 'seam-pipeline[report]'.") from error
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    for name, rule in (("image", _image), ("link_open", _link), ("th_open", _cell), ("td_open", _cell)):
        markdown.add_render_rule(name, rule)
    return markdown


def _image(_renderer: "RendererHTML", tokens: "Tokens", at: int, _options: Any, _env: "Env") -> str:
    return f'<span class="image">image: {escape(tokens[at].content) or "without a description"}</span>'


def _link(renderer: "RendererHTML", tokens: "Tokens", at: int, options: Any, env: "Env") -> str:
    tokens[at].attrs |= {"target": "_blank", "rel": "noopener noreferrer nofollow"}
    return renderer.renderToken(tokens, at, options, env)


def _cell(renderer: "RendererHTML", tokens: "Tokens", at: int, options: Any, env: "Env") -> str:
    """The page's policy forbids style attributes."""
    side = str(tokens[at].attrs.pop("style", "")).removeprefix("text-align:")
    if side:
        tokens[at].attrs["align"] = side
    return renderer.renderToken(tokens, at, options, env)
