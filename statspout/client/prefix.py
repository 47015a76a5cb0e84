"""What stands before all names: a template, ``flux.{rank}.content-cache``, filled in when it is set.

Flux's own templates have two braces, ``flux.{{rank}}``: that is the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from statspout.client.dialects import clean

LIMIT = 127
"""Characters of a prefix at most, as in flux; and no more than half of a packet, so that a name has room behind it."""

_PLACE = re.compile(r"\{\{(\w+)\}\}|\{(\w+)\}")


def filled(template: str, values: Mapping[str, object], packet_size: int) -> str:
    """The template with its places filled: from ``values``, else from the environment's variable of that name.

    ValueError, with the reason in one line, where there is no value, or too long a prefix comes of it.
    """

    def value(place: re.Match[str]) -> str:
        name = place[1] or place[2]
        if values.get(name) is not None:
            return str(values[name])
        if name in os.environ:
            return os.environ[name]
        raise ValueError(f"prefix {template!r}: there is no value and no environment variable for {{{name}}}")

    prefix = clean(_PLACE.sub(value, template)).strip(".")
    limit = min(LIMIT, packet_size // 2)
    if len(prefix) > limit:
        raise ValueError(f"prefix {prefix[:20]}...: {len(prefix)} characters, {limit} are the most")
    return prefix
