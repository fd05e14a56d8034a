"""The names of the package `twilio_realtime`, which are imported on first use."""

import subprocess
import sys
from importlib import import_module
from typing import cast

import pytest

import twilio_realtime

EVENT_LOOPS_AND_TERMINAL = ("trio", "anyio", "asyncio", "click")

MODULES = cast("dict[str, str]", vars(twilio_realtime)["_MODULES"])


def run_python(code: str) -> str:
    """Run `code` in a new interpreter, and return its output."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def test_importing_the_package_loads_no_event_loop() -> None:
    code = f"""
import sys
import twilio_realtime
dir(twilio_realtime)
print([each for each in {EVENT_LOOPS_AND_TERMINAL} if each in sys.modules])
"""
    assert run_python(code) == "[]"


def test_a_name_of_the_core_loads_no_event_loop() -> None:
    code = f"""
import sys
from twilio_realtime import HangUp
print([each for each in {EVENT_LOOPS_AND_TERMINAL} if each in sys.modules])
"""
    assert run_python(code) == "[]"


@pytest.mark.parametrize("name", twilio_realtime.__all__)
def test_each_name_is_the_object_of_its_module(name: str) -> None:
    assert getattr(twilio_realtime, name) is getattr(import_module(MODULES[name]), name)
    assert name in dir(twilio_realtime)


def test_the_module_of_each_public_name_is_listed() -> None:
    assert sorted(MODULES) == sorted(twilio_realtime.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'twilio_realtime' has no attribute 'Absent'"):
        getattr(twilio_realtime, "Absent")  # noqa: B009 - a type checker knows that it is absent


def test_every_name_can_be_imported_by_a_star() -> None:
    assert run_python("from twilio_realtime import *; print(Call.__name__)") == "Call"
