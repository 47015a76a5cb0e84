"""Where MongoDB is, checked as far as it can be without asking it."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from statspout import ConfigError
from statspout.logs import censored, hide

_PLAIN, _SRV = "mongodb://", "mongodb+srv://"
_USERINFO = re.compile(r"^[^?]*?://(?P<user>[^:@?]*):(?P<password>[^?]*)@")
_SECRET_OPTION = re.compile(r"(?i)[?&;](?:tlsCertificateKeyFilePassword|authMechanismProperties)=([^&;]+)")
_RIGHT = "mongodb://host:27017/?replicaSet=rs0 or the like is right"


def uri_of(uri: str, address: str, default: str) -> tuple[str, str]:
    """The URI to connect to, and the setting it came from. ``address`` is hosts with ports, or a whole URI."""
    if not address:
        return uri, "mongodb.uri"
    if uri != default:
        raise ConfigError("--mongodb.address: it is the same as --mongodb.uri: give one")
    return (address if "://" in address else f"{_PLAIN}{address}"), "mongodb.address"


def hide_secrets(uri: str) -> None:
    """Keep out of the logs what is secret in ``uri``, be it right or wrong."""
    found = _USERINFO.match(uri)
    for secret in (*([found["password"]] if found else ()), *_SECRET_OPTION.findall(uri)):
        hide(secret)
        hide(unquote_plus(secret))


def client_options(user: str, password: str, timeout: float) -> dict[str, Any]:
    """What the client is told beside the URI, before which it goes. No call takes much longer than ``timeout``."""
    whole = round(timeout * 1000)
    # A connection is given up before the server is: else what was wrong with it would not be known yet.
    waits = {"serverSelectionTimeoutMS": whole, "socketTimeoutMS": whole, "connectTimeoutMS": max(1, whole * 3 // 4)}
    credentials = {key: value for key, value in (("username", user), ("password", password)) if value}
    # The framework retries, and it is the one that counts.
    return {"appname": "statspout", "retryWrites": False, "retryReads": False, **waits, **credentials}


class Parsed(NamedTuple):
    """What a URI says about who we are."""

    user: str
    password: str


def check(uri: str, setting: str, options: dict[str, Any], database: str, collection: str) -> Parsed:
    """Whom ``uri`` names. ConfigError when MongoDB's client would not take ``uri`` and ``options``, or the names.

    No address is looked up: one whose DNS does not answer today is not wrong. Where the client is not installed, which
    the program says itself at its start, nothing is checked.
    """
    try:
        from pymongo.errors import InvalidName
    except ImportError:
        return Parsed("", "")
    parsed, client = _taken(uri, setting, options)
    if client is None:
        return parsed
    with client:
        if not client.write_concern.acknowledged:
            raise ConfigError(f"--{setting}: with w=0 nobody knows what is stored: w=1 or w=majority is right")
        try:
            client[database][collection]
        except InvalidName as error:
            raise ConfigError(f"--mongodb.database, --mongodb.collection: {error}") from None
    return parsed


def check_credentials(in_uri: Parsed, setting: str, user: str, password: str) -> None:
    """ConfigError where user or password are given twice, or a password for nobody."""
    for what, ours, theirs in (("user", user, in_uri.user), ("password", password, in_uri.password)):
        if ours and theirs:
            raise ConfigError(f"--mongodb.{what}: there is one in --{setting} too: give one")
    if password and not (user or in_uri.user):
        raise ConfigError("--mongodb.password: it is nobody's: --mongodb.user, or a user in the URI, is needed")


def _taken(uri: str, setting: str, options: dict[str, Any]) -> tuple[Parsed, Any]:
    """Whom it names, and a client that connects to nobody; None where only DNS can say whether it is right."""
    import pymongo
    from pymongo.errors import InvalidURI, PyMongoError
    from pymongo.uri_parser import parse_uri

    plain = uri.replace(_SRV, _PLAIN, 1) if uri.startswith(_SRV) else uri
    try:
        found = parse_uri(plain, default_port=None)
        if plain != uri and (len(found["nodelist"]) != 1 or found["nodelist"][0][1] is not None):
            raise InvalidURI(f"after {_SRV} comes one name, without a port")
        client: Any = pymongo.MongoClient(plain, **options, connect=False)
    except (PyMongoError, ValueError, TypeError, OSError) as error:
        text = " ".join(str(getattr(error, "strerror", None) or error).split()).rstrip(".")
        if plain != uri and "option is only allowed with" in text:
            return Parsed("", ""), None
        if "password is required" in text:
            raise ConfigError(f"--{setting}: {text}: --mongodb.password-file or the environment may have it") from None
        raise ConfigError(f"--{setting}: it is wrong: {censored(text)}: {_RIGHT}") from None
    return Parsed(found["username"] or "", found["password"] or ""), client
