"""Who is sampled: a table of cases, and a container that is left out is never asked for its statistics."""

from __future__ import annotations

from typing import Any

import pytest

from statspout import ConfigError, Container
from statspout.source import Target
from statspout.sources.filters import Filters

WEB = {"name": "web-1", "image": "registry:5000/team/nginx:1.25@sha256:0a", "state": "running", "team": "core"}

CASES = {
    "nothing set": ({}, {}, None),
    "ignored": ({"ignore": ["web-1"]}, {}, "ignore"),
    "ignored names are no globs": ({"ignore": ["web-*"]}, {}, None),
    "opted out": ({}, {"statspout.enable": "false"}, "label"),
    "opted out, spelt otherwise": ({}, {"statspout.enable": " No "}, "label"),
    "not opted out": ({}, {"statspout.enable": "true"}, None),
    "an empty label is no word": ({}, {"statspout.enable": ""}, None),
    "opted out goes before included": ({"include": ["web-1"]}, {"statspout.enable": "0"}, "label"),
    "name by itself": ({"include": ["web-*"]}, {}, None),
    "name": ({"include": ["name=web-?"]}, {}, None),
    "name with brackets": ({"include": ["web-[!2]"]}, {}, None),
    "another name": ({"include": ["db*"]}, {}, "include"),
    "the whole name": ({"include": ["web"]}, {}, "include"),
    "upper case": ({"include": ["WEB-1"]}, {}, "include"),
    "one of two names": ({"include": ["db*", "web*"]}, {}, None),
    "image as it is": ({"include": ["image=registry:5000/team/nginx:1.25@sha256:0a"]}, {}, None),
    "image without its tag": ({"include": ["image=registry:5000/team/nginx"]}, {}, None),
    "image by a glob": ({"include": ["image=*/nginx"]}, {}, None),
    "image without a tag is the latest": ({"include": ["image=nginx:latest"]}, {"image": "nginx"}, None),
    "image of Podman": ({"include": ["image=nginx:1.*"]}, {"image": "docker.io/library/nginx:1.25"}, None),
    "image by its last part": ({"include": ["image=nginx"]}, {}, "include"),
    "official image": ({"include": ["image=nginx"]}, {"image": "nginx:1.25"}, None),
    "image that is only an id": ({"include": ["image=sha256:*"]}, {"image": "sha256:0a1b"}, None),
    "label": ({"include": ["label=team"]}, {}, None),
    "label with its value": ({"include": ["label=team=core"]}, {}, None),
    "label with a glob": ({"include": ["label=te*=c?re"]}, {}, None),
    "label with another value": ({"include": ["label=team=edge"]}, {}, "include"),
    "label that is not there": ({"include": ["label=tier"]}, {}, "include"),
    "label with an empty value": ({"include": ["label=team="]}, {"team": ""}, None),
    "label value with an equals sign": ({"include": ["label=team=a=b"]}, {"team": "a=b"}, None),
    "state": ({"include": ["state=running"]}, {}, None),
    "paused": ({"exclude": ["state=paused"]}, {"state": "paused"}, "exclude"),
    "state unknown": ({"include": ["state=running"]}, {"state": None}, None),
    "two kinds, both match": ({"include": ["web*", "label=team=core"]}, {}, None),
    "two kinds, one matches": ({"include": ["web*", "label=team=edge"]}, {}, "include"),
    "excluded": ({"exclude": ["web*"]}, {}, "exclude"),
    "one exclusion is enough": ({"exclude": ["db*", "label=team"]}, {}, "exclude"),
    "not excluded": ({"exclude": ["db*"]}, {}, None),
    "excluded goes before included": ({"include": ["web*"], "exclude": ["image=*nginx*"]}, {}, "exclude"),
    "everybody excluded": ({"exclude": ["*"]}, {}, "exclude"),
    "spaces": ({"include": [" name = web* "]}, {}, None),
    "a line break in a name": ({"include": ["web*"]}, {"name": "web\n1"}, None),
}


@pytest.mark.parametrize(("settings", "changes", "reason"), CASES.values(), ids=CASES)
def test_the_table_of_cases(settings: dict[str, Any], changes: dict[str, Any], reason: str | None) -> None:
    facts: dict[str, Any] = WEB | changes
    name, image, state = (facts.pop(key) for key in ("name", "image", "state"))
    target = Target(container=Container(id="a", name=name, image=image, labels=facts), state=state)
    assert Filters(**settings).reason(target) == reason


@pytest.mark.parametrize(
    ("glob", "said"),
    [
        ("nmae=web", "'nmae=web' is wrong: did you mean name=web?"),
        ("a=b", "'a=b' is wrong: name=, image=, label= or state= and a glob is right"),
        ("'web'", "the quotes would have to match too: web is right"),
        ("label==x", "'label==x' is wrong: a glob such as label=team=core is right"),
        ("name=", "'name=' is wrong: a glob such as name=web-* is right"),
        ("state=runing", "'state=runing' is wrong: did you mean state=running?"),
        ("state=exited", "running, paused, restarting are the states of running containers"),
    ],
)
@pytest.mark.parametrize("setting", ["include", "exclude"])
def test_a_filter_that_can_match_nothing_is_an_error(setting: str, glob: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Filters(**{setting: [glob]})
    assert str(caught.value).startswith(f"--filter.{setting}: ")
    assert said in str(caught.value)
