"""What the docker command goes by: its configuration, its contexts, and its certificates.

Not read by docker-py: where there is no config.json it looks for contexts in the working directory, it takes an engine
with only an authority for one without TLS, and it takes the local engine for a context that does not exist.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from statspout.files import Unreadable, read
from statspout.sources.engine.tls import Tls

_LARGEST = 4 * 2**20
"""Bytes of a file that are read; what is larger is cut off, and so no JSON."""


def _folder(environ: Mapping[str, str]) -> Path:
    """Where the docker command has its configuration."""
    return Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or "/") / ".docker")


def tls_of_environment(environ: Mapping[str, str], verify: bool) -> Tls:
    """As the docker command's library: DOCKER_CERT_PATH, or DOCKER_TLS_VERIFY alone, which makes it ~/.docker."""
    path = environ.get("DOCKER_CERT_PATH")
    if not path and not environ.get("DOCKER_TLS_VERIFY"):
        return Tls(verify=verify)
    place = Path(path) if path else _folder(environ)
    # In ~/.docker, all that has to be there is the authority: not every engine wants a certificate of ours.
    files = _pem_files(place, needed=("ca", "cert", "key") if path else ("ca",))
    return Tls(True, *files, verify, "DOCKER_CERT_PATH" if path else "DOCKER_TLS_VERIFY")


def current_context(environ: Mapping[str, str]) -> str:
    """The current context's name; looked up without loading what reads a context, for most machines have none."""
    try:
        found = json.loads(_read(_folder(environ) / "config.json")).get("currentContext", "")
    except (Unreadable, ValueError, AttributeError):
        return ""
    return found if isinstance(found, str) else ""


def contexts(environ: Mapping[str, str]) -> dict[str, tuple[Path, Mapping[str, Any]]]:
    """The docker contexts: the file of each, and what it says of its engine. One that cannot be read is none."""
    found: dict[str, tuple[Path, Mapping[str, Any]]] = {}
    for file in sorted((_folder(environ) / "contexts" / "meta").glob("*/meta.json")):
        try:
            said = json.loads(_read(file))
            found[str(said["Name"])] = (file, dict(said["Endpoints"]["docker"]))
        except (Unreadable, ValueError, KeyError, TypeError):
            continue
    return found


def tls_of_context(file: Path, verify: bool, skip: bool, origin: str) -> Tls:
    """The certificates of the context with this file: they are in a folder of the same name.

    One that skips verification is encrypted even without any.
    """
    place = file.parents[2] / "tls" / file.parent.name / "docker"
    files = _pem_files(place)
    return Tls(any(files) or skip, *files, verify and not skip, origin)


def _read(file: Path) -> bytes:
    return read(str(file), _LARGEST)


def _pem_files(place: Path, needed: Collection[str] = ()) -> tuple[str | None, str | None, str | None]:
    """The authority, our certificate and its key in a folder: those that are there, and those that have to be."""
    ca, cert, key = (
        str(file) if kind in needed or file.exists() else None
        for kind, file in ((kind, place / f"{kind}.pem") for kind in ("ca", "cert", "key"))
    )
    return ca, cert, key
