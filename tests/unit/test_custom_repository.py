"""The repository of docs/custom-repository.md, run through the suite that the page shows."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from statspout.testing import RepositoryContract

BLOCKS = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs/custom-repository.md").read_text(), re.DOTALL
)


class Shelves:
    """What the page imagines: a client, and the destination behind it, which can be ended and started."""

    def __init__(self) -> None:
        self.url = "http://localhost:9999"
        self.things: dict[tuple[str, int], Any] = {}
        self.life = 0

    def connect(self, url: str, token: str, timeout: float) -> Door:
        if url != self.url:
            raise ConnectionRefusedError("nobody is there")
        return Door(self)

    def everything(self) -> list[Any]:
        return list(self.things)

    def restart(self) -> None:
        self.life += 1


class Door:
    def __init__(self, shelves: Shelves) -> None:
        self.shelves, self.life = shelves, shelves.life

    def put(self, things: Sequence[tuple[str, int, Any]]) -> list[int]:
        if self.life != self.shelves.life:
            raise ConnectionResetError("it was ended")
        self.shelves.things |= {(key, at): what for key, at, what in things}
        return []

    def forget(self, _: str) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> RepositoryContract:
    door = Shelves()
    module = types.ModuleType("warehouse_of_the_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "shelves", door)
    module.__dict__["door"] = door
    for block in BLOCKS:
        exec(block, module.__dict__)
    made = module.__dict__["TestWarehouse"]()
    assert isinstance(made, RepositoryContract)
    return made


PROMISES = [name for name in dir(RepositoryContract) if name.startswith("test_")]


@pytest.mark.parametrize("promise", PROMISES)
def test_the_page_keeps_the_contract_that_it_explains(suite: RepositoryContract, promise: str) -> None:
    getattr(suite, promise)()
