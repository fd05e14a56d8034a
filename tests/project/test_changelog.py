"""Fragments of the changelog have a type that the changelog has, and say something."""

import re
import tomllib
from importlib.metadata import version

import twilio_realtime
import twilio_realtime_core
from pages import ROOT

TYPES = {
    each["directory"]
    for each in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["towncrier"][
        "type"
    ]
}
NAME = re.compile(r"(?:\d+|\+[a-z0-9-]+)\.(?P<type>[a-z]+)\.md")


def test_every_fragment_has_a_type_and_a_text() -> None:
    for fragment in (ROOT / "changelog.d").iterdir():
        named = NAME.fullmatch(fragment.name)
        assert named, f"{fragment.name} is not ISSUE.TYPE.md or +NAME.TYPE.md"
        assert named["type"] in TYPES, fragment.name
        assert fragment.read_text("utf-8").strip(), fragment.name


def test_both_packages_state_the_version_that_is_installed() -> None:
    assert twilio_realtime_core.__version__ == version("twilio-realtime-core")
    assert twilio_realtime.__version__ == twilio_realtime_core.__version__
