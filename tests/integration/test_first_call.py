"""The way of a new user, in an environment of its own."""

from pathlib import Path
from time import monotonic

import pytest

from first_call import FirstCall, InstallError


def test_a_call_is_answered_from_an_empty_folder(tmp_path: Path) -> None:
    first = FirstCall(tmp_path)
    first.build()
    started_s = monotonic()
    try:
        first.install()
    except InstallError:
        pytest.skip("the dependencies cannot be downloaded here")
    first.write_agent()
    lines = first.call().splitlines()
    assert monotonic() - started_s < 180
    assert "webhook answered" in lines[0]
    assert "twilio_would_log=nothing" in lines[-1]
