"""A recorded call as a regression test: the recording, redacted, and a test that replays it."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import frozen

from twilio_realtime_core import Bridge

from ..errors import UsageError
from .format import decode_line
from .inputs import RecordedAnswers, decode_config, prepare_step
from .recorder import Recorder
from .redaction import redact_recording
from .replay import Difference, replay

__all__ = ["RegressionTest", "write_regression_test"]

_TEMPLATE: Final = '''\
"""The recorded call {name}: the bridge does what it did when this test was written.

Written by `twilio-realtime replay --to-test`. If the bridge is to do something else, write the test
again.
"""

from pathlib import Path

from twilio_realtime.recordings.replay import replay

RECORDING = Path(__file__).with_name("{name}.jsonl")


def test_{name}_replays_without_a_difference() -> None:
    with RECORDING.open(encoding="utf-8") as lines:
        result = replay(lines)
    assert result.difference is None, result.difference
    assert result.steps == {steps}
'''


@frozen
class RegressionTest:
    """A test that was written: its file, that of the recording, and the number of steps.

    `difference` is where the bridge does not do what was recorded; `None`: it does. The test then
    holds what this version of the bridge does.
    """

    test: Path
    recording: Path
    steps: int
    difference: Difference | None


def write_regression_test(recording: Path, folder: Path) -> RegressionTest:
    """Write a recorded call, redacted, and a test that replays it into `folder`, which is created
    if need be. The test passes with this version of the bridge.

    Raises `UsageError` for what is not a recording, or if one of the files exists; `OSError`.
    """
    with recording.open(encoding="utf-8") as lines:
        redacted = list(redact_recording(lines))
    difference = replay(redacted).difference
    if difference is not None:
        redacted = _record_again(redacted)
    result = replay(redacted)
    if result.difference is not None:
        raise UsageError(
            f"the bridge does not repeat line {result.difference.line}: keep this call as a "
            "recording, and report it"
        )
    name = _name_of(recording)
    test, kept = folder / f"test_{name}.py", folder / f"{name}.jsonl"
    for path in (test, kept):
        if path.exists():
            raise UsageError(f"{path} exists: choose another folder, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    _create(kept, "".join(redacted))
    try:
        _create(test, _TEMPLATE.format(name=name, steps=result.steps))
    except OSError:
        kept.unlink(missing_ok=True)
        raise
    return RegressionTest(test, kept, result.steps, difference)


def _record_again(lines: Iterable[str]) -> list[str]:
    """Record what this version of the bridge does with the inputs of a recording that was
    redacted."""
    header, *steps = map(decode_line, lines)
    answers = RecordedAnswers()
    config = decode_config(header, answers)
    written: list[str] = []
    recorder = Recorder(Bridge(config), config, written.append)
    for step in steps:
        if "unrecordable" in step:
            break
        answers.step = step
        with suppress(Exception):  # the recorder has written it
            prepare_step(recorder, step)()
    return written


def _name_of(recording: Path) -> str:
    """The name of a recording as part of the name of a module."""
    return re.sub(r"[^a-z0-9]+", "_", recording.stem.lower()).strip("_") or "call"


def _create(path: Path, text: str) -> None:
    """Create a file that is not there."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
