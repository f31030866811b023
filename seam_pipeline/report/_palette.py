"""Colours of page and figures, light and dark, each under one CSS variable name.

Figures are painted in the light colours; every light colour is unique, so that the SVG writer can put
`var(--name)` in its place and the page decides the theme. Series colours follow Okabe and Ito and stay
apart for the common kinds of colour blindness.
"""

LIGHT: dict[str, str] = {
    "ink": "#1b2430",
    "muted": "#56616d",
    "rule": "#d3dae0",
    "grid": "#e6eaee",
    "card": "#fffffe",
    "page": "#f5f7f9",
    "wash": "#eef3f7",
    "accent": "#0a6aa6",
    "c1": "#0072b2",
    "c2": "#d55e00",
    "c3": "#00805d",
    "c4": "#b3568a",
    "c5": "#b07900",
    "c6": "#2f97d0",
    "c7": "#6b7580",
    "seq0": "#eaf3fa",
    "seq1": "#cfe3f2",
    "seq2": "#a9cde7",
    "seq3": "#7cb3d9",
    "seq4": "#3f86ba",
    "seq5": "#1f6497",
    "seq6": "#0b436e",
    "seqlow": "#16202c",
    "seqhigh": "#fcfeff",
}
DARK: dict[str, str] = {
    "ink": "#e7ecf1",
    "muted": "#a3afbb",
    "rule": "#36424e",
    "grid": "#2a343e",
    "card": "#1a222b",
    "page": "#11171d",
    "wash": "#222d38",
    "accent": "#74bdf0",
    "c1": "#58aee6",
    "c2": "#f39150",
    "c3": "#3fc79f",
    "c4": "#e59cc6",
    "c5": "#efbb45",
    "c6": "#9ad6f8",
    "c7": "#9aa6b2",
    "seq0": "#1f2f3d",
    "seq1": "#22415a",
    "seq2": "#265578",
    "seq3": "#2f6d9a",
    "seq4": "#5c9fce",
    "seq5": "#8fc4ea",
    "seq6": "#c4e4fb",
    "seqlow": "#eff5fa",
    "seqhigh": "#0d151d",
}
SERIES = ("c1", "c2", "c3", "c4", "c5", "c6", "c7")
RAMP = tuple(f"seq{level}" for level in range(7))


def css_variables(palette: dict[str, str]) -> str:
    """`--name: #hex;` for each colour, in order."""
    return " ".join(f"--{name}: {colour};" for name, colour in palette.items())
