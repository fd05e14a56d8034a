"""The responses of the `model` command, as lines of text.

say agent_greeting                         # sample speech, by its name
speak One moment, please.                  # any words, as a noise of 300 ms each
call opening_hours {"day": "Sunday"}       # a call of the client's function
speak I will look. + call look_up {}       # several items in one response
fail rate_limit_exceeded                   # a response that fails, with a code
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ..errors import UsageError
from ..server.text_files import read_text_file
from ..sim import sample_speech
from ..sim.model.replies import FunctionCallReply, Reply, ReplyItem, SpokenReply
from ..sim.scenarios.voices import agent_voice

__all__ = ["parse_responses", "read_script"]

_WORD_MS: Final = 300
"""The duration of a spoken word, as in tests."""
_VERBS: Final = "say, speak, call and fail"


def read_script(path: Path) -> list[str]:
    """Return the lines of a script, without comments (`#`) and empty lines. Raises `OSError` if it
    cannot be read, and `UsageError` if it is not UTF-8."""
    lines = (line.strip() for line in read_text_file(path).splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def parse_responses(lines: Iterable[str]) -> list[Reply]:
    """Return the responses that the lines describe. Raises `UsageError` for a line that describes
    none."""
    return [_parse_response(line, number) for number, line in enumerate(lines, 1)]


def _parse_response(line: str, number: int) -> Reply:
    verb, _, code = line.strip().partition(" ")
    if verb == "fail":
        return Reply.failed(code=code.strip() or None)
    parts = line.split(" + ")
    return Reply(
        tuple(_parse_item(part.strip(), 100 * number + index) for index, part in enumerate(parts))
    )


def _parse_item(text: str, seed: int) -> ReplyItem:
    verb, _, rest = text.partition(" ")
    rest = rest.strip()
    match verb:
        case "say" if rest in sample_speech.NAMES:
            sample = sample_speech.load(rest)
            return SpokenReply(sample.audio, sample.transcript)
        case "say":
            raise UsageError(f"there is no sample {rest}: use {', '.join(sample_speech.NAMES)}")
        case "speak" if rest:
            return SpokenReply(agent_voice(_WORD_MS * len(rest.split()), seed), rest)
        case "call" if rest:
            name, _, arguments = rest.partition(" ")
            return FunctionCallReply(name, _check_json(name, arguments.strip() or "{}"))
        case _:
            raise UsageError(f"a response begins with {_VERBS}, not with {text[:40]!r}")


def _check_json(name: str, arguments: str) -> str:
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UsageError(f"the arguments of {name} are no JSON object: {arguments[:40]!r}")
    return arguments
