"""Bad inputs by the thousand: the same ones for the same seed, a few seconds of them in CI, the rest at night.

``STATSPOUT_FUZZ_SEED`` is where they begin, and ``STATSPOUT_FUZZ_TIMES`` how many times as many there are: a run says
both, and how many inputs it tried, so that what one run found another finds again.
"""

from __future__ import annotations

import gc
import json
import math
import os
import resource
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st

F = TypeVar("F", bound=Callable[..., None])

SEED = int(os.environ.get("STATSPOUT_FUZZ_SEED", "1"))
TIMES = float(os.environ.get("STATSPOUT_FUZZ_TIMES", "1"))

TRIED: Counter[str] = Counter()
"""Inputs so far, by what they went into."""

_PHASES = (Phase.generate,)
"""Not ``shrink``, which takes minutes, and of what earlier inputs left behind makes nothing smaller."""


def inputs(count: int) -> Callable[[F], F]:
    """Run a test for so many of Hypothesis' examples, which no database and no clock has a part in."""

    def fuzzed(test: F) -> F:
        chosen = settings(
            max_examples=max(1, round(count * TIMES)), deadline=None, database=None, phases=_PHASES,
            suppress_health_check=list(HealthCheck), print_blob=False,
        )  # fmt: skip
        return seed(SEED)(chosen(test))

    return fuzzed


def tried(what: str, count: int = 1) -> None:
    """Note inputs for the summary."""
    TRIED[what] += count


# what is fed


def mutated(originals: Sequence[bytes], tokens: Sequence[bytes] = (b"",)) -> st.SearchStrategy[bytes]:
    """One of these with up to six places cut, overwritten or filled with any bytes, or with tokens of its grammar."""
    edit = st.tuples(
        st.integers(0, 1 << 14), st.sampled_from((0, 0, 1, 2, 9, 200)), st.sampled_from(tokens) | st.binary(max_size=3)
    )
    return st.builds(_edited, st.sampled_from(originals), st.lists(edit, max_size=6))


def _edited(data: bytes, edits: Sequence[tuple[int, int, bytes]]) -> bytes:
    for place, cut, put in edits:
        at = place % (len(data) + 1)
        data = data[:at] + put + data[at + cut :]
    return data


counts = st.none() | st.integers(0, 9) | st.integers(0, 2**64) | st.sampled_from((2**62, 2**63 - 1, 2**63, 2**64 - 1))
"""Numbers as an engine gives them."""

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
"""A document of JSON, or what Python writes for one: NaN and infinity are among it."""


def changed(document: Any) -> st.SearchStrategy[bytes]:
    """The document as JSON with one to four of its values replaced by :data:`anything`, or taken away."""
    paths = list(_paths(document, ()))
    edit = st.tuples(st.sampled_from(paths), st.booleans(), anything)
    return st.builds(lambda edits: _written(document, edits), st.lists(edit, min_size=1, max_size=4))


def _paths(value: Any, path: tuple[Any, ...]) -> Any:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from _paths(one, (*path, key))


def _written(document: Any, edits: Sequence[tuple[tuple[Any, ...], bool, Any]]) -> bytes:
    copy = json.loads(json.dumps(document))
    for (*way, last), gone, value in edits:
        at = copy
        try:
            for key in way:
                at = at[key]
            if gone:
                del at[last]
            else:
                at[last] = value
        except (KeyError, IndexError, TypeError):
            continue  # an edit before it took the place away
    return json.dumps(copy).encode("utf-8", "surrogatepass")


# what must hold


def is_number(value: object) -> bool:
    """None, or a number that somebody may use: finite, and never below 0."""
    return value is None or (isinstance(value, int | float) and math.isfinite(value) and value >= 0)


def resident(pid: int | str = "self") -> int:
    """Bytes of memory of a process that are resident."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


class Memory:
    """Whether memory grows with the number of inputs: what the first tenth of them took is not growth."""

    def __init__(self, most: int = 24 * 2**20) -> None:
        self._most = most
        self._settled: int | None = None

    def look(self) -> None:
        """Note it once everything has been used, and hold what is there against that from then on."""
        gc.collect()
        now = resident()
        if self._settled is None:
            self._settled = now
        assert now - self._settled < self._most, f"{(now - self._settled) / 2**20:.0f} MiB more than at first"
