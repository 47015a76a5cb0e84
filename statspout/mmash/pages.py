"""The two pages: all labels, and live graphs. Whatever a label or a text has in it is text there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from statspout.shapes import printable

_HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/mmash.css">
</head>
<body>
<header><h1>{title}</h1><nav><a href="/">labels</a> <a href="/graph/">graphs</a></nav></header>
"""

GRAPH = (
    _HEAD.format(title="graphs")
    + """\
<form id="choice">
<label>only labels with <input id="filter" type="search" autocomplete="off" spellcheck="false"></label>
<label>every <select id="every"><option>1<option>2<option>5<option>10</select> s</label>
</form>
<p id="state" role="status">reading</p>
<main id="graphs"></main>
<noscript><p>The graphs need JavaScript; <a href="/">the labels</a> do not.</p></noscript>
<script src="/mmash.js"></script>
</body>
</html>
"""
)
"""The page with graphs; what is in it comes by mmash.js."""


def index(pattern: str, kinds: Sequence[Mapping[str, Any]]) -> str:
    """All labels, with what leads to their values and to their graphs."""
    rows = "".join(map(_row, kinds)) or '<tr><td colspan="3">no statistics there</td></tr>\n'
    return (
        _HEAD.format(title="labels")
        + f"<p>in {escape(printable(pattern))}</p>\n<table>\n"
        + "<thead><tr><th>label</th><th>kind</th><th>files</th></tr></thead>\n"
        + f"<tbody>\n{rows}</tbody>\n</table>\n</body>\n</html>\n"
    )


def _row(told: Mapping[str, Any]) -> str:
    label = told["label"]
    shown = escape(printable(label))
    values = f'<a href="/stats/{quote(label, safe="")}?exact=1">{shown}</a>'
    graph = f'<a href="/graph/?label={quote(label, safe="")}">{told["kind"]}</a>'
    return f"<tr><td>{values}</td><td>{graph}</td><td>{told['files']}</td></tr>\n"
