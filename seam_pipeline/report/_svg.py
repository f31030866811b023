"""Make matplotlib's SVG small, unique in its ids, and coloured by CSS variables."""

import re

from ._palette import LIGHT

_NAMES = {colour: name for name, colour in LIGHT.items()}
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_DECIMALS = re.compile(r"(-?\d+\.\d{2})\d+")
_GROUP_ID = re.compile(
    r'<g id="(?:figure|axes|patch|line2d|text|matplotlib|xtick|ytick|legend|Path|Line|Quad|Poly)[^"]*"'
)
_FONT = re.compile(r"font: (?:(\d+|bold) )?([\d.]+)px [^;\"]*(;?)")


def compact(svg: str, name: str) -> str:
    """Clean one figure's SVG text.

    Prolog, comments, metadata, group ids and font families go (text takes the page's font); numbers keep two
    decimals; definitions' ids get the prefix `name`, so that figures share a page; palette colours become
    `var(--name,#hex)`, so that the page's theme applies and a lone file still has its colours.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<style type="text/css">.*?</style>', "", svg, flags=re.DOTALL)
    svg = _GROUP_ID.sub("<g", svg)
    svg = svg.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "").replace("xlink:href", "href")
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = _FONT.sub(_font, svg)
    svg = _DECIMALS.sub(r"\1", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"\s*\n\s*", " ", svg).replace("> <", "><")
    return _COLOUR.sub(_variable, svg).strip()


def _font(match: re.Match[str]) -> str:
    weight = f"font-weight: {match[1]}; " if match[1] else ""
    return f"{weight}font-size: {match[2]}px{match[3]}"


def _variable(match: re.Match[str]) -> str:
    colour = match[0]
    return f"var(--{_NAMES[colour]},{colour})" if colour in _NAMES else colour
