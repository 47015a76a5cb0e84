"""Real engines for the tests of this folder: a shared one, and engines that a test may stop or kill."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.built import TAG, build
from support.dockerd import Dockerd, EngineStartError, sweep, why_no_dockerd
from support.engine import Engine, OwnEngine, starting
from support.images import BUSYBOX, PYTHON, ImageError, ensure_busybox, ensure_python, has_image

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".work" / "engine"
MACHINES_SOCKET = Path("/var/run/docker.sock")
HOW = "run scripts/setup-engine as root on Debian, or start Docker at /var/run/docker.sock"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Tell the person who waits what takes so long, although output is captured."""
    plugins = request.config.pluginmanager
    capture, reporter = plugins.getplugin("capturemanager"), plugins.getplugin("terminalreporter")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            reporter.ensure_newline()
            reporter.write_line(text, flush=True)

    return say


@pytest.fixture(scope="session")
def shared_engine(say: Callable[[str], None]) -> Iterator[Engine]:
    """The engine of the whole run, with a busybox image; a test must leave it running."""
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(_machines_engine() if why_no_dockerd() else _cached_engine(say))


@pytest.fixture
def engine(shared_engine: Engine) -> Iterator[Engine]:
    """The shared engine; the containers this test runs in it are removed after it."""
    yield shared_engine
    shared_engine.remove_started()


@pytest.fixture
def make_engine() -> Iterator[Callable[..., OwnEngine]]:
    """Start another engine for this test alone; takes the arguments of Dockerd, such as `tcp=True`."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(starting(**options))


@pytest.fixture
def own_engine(make_engine: Callable[..., OwnEngine]) -> OwnEngine:
    """An engine for this test alone, with a busybox image: stop, kill, restart it through `own_engine.dockerd`."""
    return make_engine()


@pytest.fixture(scope="session")
def python_image(shared_engine: Engine, say: Callable[[str], None]) -> str:
    """The name of a Python image in the shared engine."""
    if why_no_dockerd():
        if not has_image(shared_engine.client, PYTHON):
            pytest.skip(f"needs the image {PYTHON}: docker pull {PYTHON}")
        return PYTHON
    try:
        ensure_python(shared_engine.client, CACHE, say)
    except ImageError as error:
        pytest.skip(f"needs the image {PYTHON}: {error}")
    return PYTHON


@pytest.fixture(scope="session")
def image(shared_engine: Engine, python_image: str, say: Callable[[str], None]) -> str:
    """The name of the Dockerfile's image in the shared engine."""
    build(shared_engine, python_image, say)
    return TAG


@contextlib.contextmanager
def _cached_engine(say: Callable[[str], None]) -> Iterator[Engine]:
    """An engine whose images are kept between runs, or a fresh one while another run has those."""
    sweep()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data_root = CACHE / "data"
        except BlockingIOError:
            data_root = None
        dockerd = Dockerd(data_root=data_root)
        try:
            _start_or_start_afresh(dockerd, say)
            yield from _prepared(Engine(dockerd.socket))
        finally:
            dockerd.close(keep_data=data_root is not None)


def _start_or_start_afresh(dockerd: Dockerd, say: Callable[[str], None]) -> None:
    """Start on the kept data; what an engine cannot start with is thrown away."""
    dockerd.end_leftovers()
    try:
        dockerd.start()
    except EngineStartError as error:
        if not dockerd.data_root.exists():
            raise
        say(f"the engine did not start; once more without its kept data\n{error}")
        dockerd.end_leftovers()
        shutil.rmtree(dockerd.data_root)
        dockerd.start()


def _prepared(engine: Engine) -> Iterator[Engine]:
    try:
        engine.remove_everything()
        ensure_busybox(engine.client)
        yield engine
        engine.remove_everything()
    finally:
        engine.close()


@contextlib.contextmanager
def _machines_engine() -> Iterator[Engine]:
    """The engine this machine runs anyway, which is left as it was but for a busybox image."""
    try:
        engine = Engine(MACHINES_SOCKET)
        engine.client.ping()
        if not has_image(engine.client, BUSYBOX):
            engine.client.images.pull("busybox", "latest")
    except Exception as error:
        pytest.skip(f"needs a real Docker engine: {HOW} ({why_no_dockerd()}; {str(error).splitlines()[0][:120]})")
    try:
        yield engine
        engine.remove_started()
    finally:
        engine.close()
