"""What tests of statspout and of its plugins are made of.

``sample``, ``samples``, ``metric`` and ``metrics`` make records, ``RepositoryContract`` is a repository's whole test
suite, ``FakeEngine`` and ``demo_engine`` stand in for Docker; the last three are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from statspout.testing.samples import metric, metrics, sample, samples

if TYPE_CHECKING:
    from statspout.testing.contract import RepositoryContract
    from statspout.testing.engine import FakeEngine, demo_engine

__all__ = ["FakeEngine", "RepositoryContract", "demo_engine", "metric", "metrics", "sample", "samples"]

_HOME_OF = {"FakeEngine": "engine", "RepositoryContract": "contract", "demo_engine": "engine"}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'statspout.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"statspout.testing.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
