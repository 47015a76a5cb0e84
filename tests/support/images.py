"""The images the tests run, made on this machine: no registry is asked for them."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from support.dockerd import program, unmount_below

BUSYBOX = "busybox:latest"
PYTHON = "python:3.11-slim"
_PYTHON_SUITE = "bookworm"  # the Debian release whose Python is 3.11
_PYTHON_PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_NOT_IN_THE_IMAGE = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")

Say = Callable[[str], None]


class ImageError(Exception):
    """This machine lacks what an image is made from; the text says what, and how to get it."""


def has_image(client: Any, tag: str) -> bool:
    """True when the engine holds an image of that name."""
    # Podman writes the registry's name before it.
    return tag in (name.removeprefix("docker.io/library/") for image in client.images.list() for name in image.tags)


def ensure_busybox(client: Any) -> None:
    """Give the engine a busybox image of this machine's static busybox, unless it has one."""
    if not has_image(client, BUSYBOX):
        _import(client, BUSYBOX, _busybox_tar(), 'CMD ["sleep","1000000"]')


def ensure_python(client: Any, cache: Path, say: Say) -> None:
    """Give the engine a stand-in for the official Python image, made once by debootstrap and kept in `cache`."""
    if has_image(client, PYTHON):
        return
    tarball = cache / f"{PYTHON.replace(':', '-')}.tar.gz"
    if not tarball.exists():
        _make_python_root(tarball, say)
    say(f"importing {PYTHON} from {tarball}")
    _import(client, PYTHON, tarball.read_bytes(), 'CMD ["python3"]')


def ensure_program(client: Any, tag: str, path: Path) -> None:
    """Give the engine an image of one program of this machine, with the libraries it names, that runs it at once."""
    if has_image(client, tag):
        return
    listed = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
    libraries = [Path(word) for word in listed.split() if word.startswith("/")]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as tar:
        _add(tar, "tmp", 0o1777, kind=tarfile.DIRTYPE)
        for file in (*libraries, path):
            tar.add(file, f"bin/{path.name}" if file == path else str(file))
    _import(client, tag, buffer.getvalue(), f'ENTRYPOINT ["/bin/{path.name}"]')


def debian_mirror(etc_apt: Path = Path("/etc/apt")) -> str:
    """The Debian archive this machine's own packages come from."""
    for source, suite in _apt_sources(etc_apt):
        uri = _first_mirror(source)
        if "-" not in suite and "/" not in suite and uri.startswith(("http://", "https://", "file:")):
            return uri
    raise ImageError(f"no Debian archive in {etc_apt}: sources.list and sources.list.d name none")


def _first_mirror(uri: str) -> str:
    """What an address stands for: apt takes the name of a file with a list of mirrors too, as cloud images have it."""
    listed = Path(uri.removeprefix("mirror+file:").replace("//", "/"))
    return listed.read_text().split()[0] if uri.startswith("mirror+file:") and listed.exists() else uri


def _apt_sources(etc_apt: Path) -> Iterator[tuple[str, str]]:
    """Each (URI, suite) of both formats of apt's source files, in apt's order."""
    one_line = [etc_apt / "sources.list", *sorted(etc_apt.glob("sources.list.d/*.list"))]
    for path in (p for p in one_line if p.exists()):
        for line in path.read_text().splitlines():
            words = line.partition("]")[2].split() if "[" in line else line.split()[1:]
            if line.startswith("deb ") and len(words) >= 3 and "main" in words:
                yield words[0], words[1]
    for path in sorted(etc_apt.glob("sources.list.d/*.sources")):
        for stanza in path.read_text().split("\n\n"):
            yield from _deb822_sources(stanza)


def _deb822_sources(stanza: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in stanza.splitlines() if not line.startswith("#")]
    pairs = (line.partition(":") for line in lines)
    fields = {key.strip().lower(): value.split() for key, _, value in pairs}
    if "deb" in fields.get("types", ()) and "main" in fields.get("components", ()) and fields.get("enabled") != ["no"]:
        for uri in fields.get("uris", ()):
            for suite in fields.get("suites", ()):
                yield uri, suite


def _import(client: Any, tag: str, tar: bytes, change: str) -> None:
    name, _, version = tag.partition(":")
    answer = client.api.import_image_from_data(tar, repository=name, tag=version, changes=[change])
    if not has_image(client, tag):
        raise ImageError(f"the engine did not take {tag}: {answer}")


def _busybox_tar() -> bytes:
    """A root file system of one static program and the links to it."""
    path = program("busybox")
    if path is None or b"/ld-" in Path(path).read_bytes()[:4096]:
        raise ImageError("no static busybox: apt-get install busybox-static")
    applets = subprocess.run([path, "--list"], capture_output=True, text=True, check=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder, mode in {"bin": 0o755, "etc": 0o755, "root": 0o700, "tmp": 0o1777, "var": 0o755}.items():
            _add(tar, folder, mode, kind=tarfile.DIRTYPE)
        _add(tar, "etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
        _add(tar, "etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n")
        _add(tar, "bin/busybox", 0o755, Path(path).read_bytes())
        for applet in set(applets) - {"busybox"}:
            _add(tar, f"bin/{applet}", 0o777, kind=tarfile.SYMTYPE, link="busybox")
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, mode: int, content: bytes = b"", **more: Any) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size = mode, len(content)
    entry.type, entry.linkname = more.get("kind", tarfile.REGTYPE), more.get("link", "")
    tar.addfile(entry, io.BytesIO(content))


def _make_python_root(tarball: Path, say: Say) -> None:
    if program("debootstrap") is None:
        raise ImageError("no debootstrap: apt-get install debootstrap")
    root, started = tarball.parent / "python-root", time.monotonic()
    _remove_root(root)
    root.mkdir(parents=True)
    try:
        say(f"debootstrap: a Debian {_PYTHON_SUITE} with Python, as {PYTHON}; one or two minutes, this once")
        _debootstrap(root, tarball.parent / "debootstrap.log", say)
        (root / "usr/bin/python").symlink_to("python3")
        if _CERTIFICATES.exists():  # a closed network has an authority of its own
            shutil.copyfile(_CERTIFICATES, root / "etc/ssl/certs/ca-certificates.crt")
        _pack(root, tarball)
    finally:
        _remove_root(root)
    say(f"{PYTHON} made in {time.monotonic() - started:.0f} s")


def _debootstrap(root: Path, log: Path, say: Say) -> None:
    command = [program("debootstrap") or "debootstrap", "--variant=minbase", f"--include={_PYTHON_PACKAGES}"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    environment["PATH"] = environment.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    with (
        log.open("w") as kept,
        subprocess.Popen(
            [*command, _PYTHON_SUITE, str(root), debian_mirror()],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        last_said = time.monotonic()
        for line in process.stdout:
            kept.write(line)
            if time.monotonic() - last_said > 10:
                last_said = time.monotonic()
                say(f"debootstrap: {line.strip()}")
    if process.returncode:
        tail = "\n".join(log.read_text().splitlines()[-15:])
        raise ImageError(f"debootstrap ended with {process.returncode}; the end of {log}:\n{tail}")


def _pack(root: Path, tarball: Path) -> None:
    """Write the tarball whole or not at all."""
    partial = tarball.with_suffix(".partial")
    excludes = [f"--exclude=./{path}/*" for path in _NOT_IN_THE_IMAGE]
    command = ["tar", "-C", str(root), "--use-compress-program=gzip -1", *excludes, "-cf", str(partial), "."]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    partial.rename(tarball)


def _remove_root(root: Path) -> None:
    unmount_below(root)
    shutil.rmtree(root, ignore_errors=True)
