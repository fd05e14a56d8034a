"""The reference model imports values of the core, and none of its decoders, limits and logic."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

import pytest

import twilio_realtime.sim.reference
from twilio_realtime.sim.reference import limits
from twilio_realtime_core import commands, notifications
from twilio_realtime_core.audio.pcmu import PCMU_FORMAT
from twilio_realtime_core.conversation.conversation import MAX_ITEMS
from twilio_realtime_core.conversation.entry import MAX_PARTS
from twilio_realtime_core.conversation.transcript import MAX_CHARACTERS
from twilio_realtime_core.downlink.playout import MAX_QUEUED_SAMPLES
from twilio_realtime_core.protocols.realtime import ClientEvent
from twilio_realtime_core.responses.function_calls import MAX_CALLS
from twilio_realtime_core.responses.request_queue import MAX_REQUESTS
from twilio_realtime_core.responses.responses import MAX_RESPONSES
from twilio_realtime_core.responses.sent_items import MAX_SENT_ITEMS
from twilio_realtime_core.session.pending_events import MAX_PENDING_EVENTS, MAX_PENDING_SAMPLES
from twilio_realtime_core.uplink.caller_audio import INACTIVITY_SAMPLES, MAX_GAP_SAMPLES

FOLDER: Final = Path(twilio_realtime.sim.reference.__file__).parent
CORE: Final = "twilio_realtime_core"

ALLOWED: Final[dict[str, set[str]]] = {
    "commands": set(commands.__all__),
    "config.call": {"CallConfig"},
    "errors": {"Fault", "FaultKind"},
    "machine.actions": {
        "Action",
        "Close",
        "Encodable",
        "Notify",
        "Open",
        "Peer",
        "RealtimeLink",
        "Refusal",
        "Send",
        "SendPing",
        "kind_of",
    },
    "machine.contract": {"MessageMachine"},
    "notifications": set(notifications.__all__),
    "protocols.realtime": {"ClientEvent", *(kind.__name__ for kind in get_args(ClientEvent))},
    "values.block_cause": {"BlockCause"},
    "values.items": {
        "AudioPart",
        "ContentPart",
        "ConversationItem",
        "FunctionCall",
        "FunctionOutput",
        "ImagePart",
        "Message",
        "Role",
        "TextPart",
        "UnknownItem",
        "UnknownPart",
    },
    "values.log_probability": {"TokenLogprob"},
    "values.rate_limit": {"RateLimit"},
    "values.usage": {"Tokens", "Usage"},
}
"""The values at the boundary of a bridge, by module: actions, peers, commands, notifications, and
the configuration of a call. Client events are commands."""


def imports_of(source: str) -> Iterator[tuple[str, str]]:
    """The modules of the core that a source imports from, and the names; `*` for a whole module."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module=str(module), names=names, level=0):
                if module.split(".")[0] == CORE:
                    yield from ((module[len(CORE) + 1 :], each.name) for each in names)
            case ast.Import(names=names):
                found = (each.name for each in names if each.name.split(".")[0] == CORE)
                yield from ((each[len(CORE) + 1 :], "*") for each in found)
            case _:
                pass


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_a_module_imports_only_values_of_the_core(path: Path) -> None:
    forbidden = [
        (module, name)
        for module, name in imports_of(path.read_text("utf-8"))
        if name not in ALLOWED.get(module, set[str]())
    ]
    assert forbidden == []


@pytest.mark.parametrize(
    "source",
    [
        "import twilio_realtime_core.bridge",
        "from twilio_realtime_core import Bridge",
        "from twilio_realtime_core.protocols import twilio",
        "from twilio_realtime_core.protocols.realtime import decode",
        "from twilio_realtime_core.responses.request_queue import MAX_REQUESTS",
        "from twilio_realtime_core.errors import redact",
        "def late():\n    from twilio_realtime_core.audio.pcmu import count_samples",
    ],
)
def test_the_rule_finds_a_forbidden_import(source: str) -> None:
    (found,) = imports_of(source)
    assert found[1] not in ALLOWED.get(found[0], set[str]())


@pytest.mark.parametrize(
    ("stated", "in_the_core"),
    [
        (limits.PCMU, PCMU_FORMAT),
        (limits.MAX_EARLY_SAMPLES, MAX_PENDING_SAMPLES),
        (limits.MAX_EARLY_EVENTS, MAX_PENDING_EVENTS),
        (limits.MAX_QUEUED_REQUESTS, MAX_REQUESTS),
        (limits.MAX_QUEUED_SAMPLES, MAX_QUEUED_SAMPLES),
        (limits.MAX_UNECHOED_ITEMS, MAX_SENT_ITEMS),
        (limits.MAX_RESPONSES, MAX_RESPONSES),
        (limits.MAX_FUNCTION_CALLS, MAX_CALLS),
        (limits.MAX_ITEMS, MAX_ITEMS),
        (limits.MAX_PARTS, MAX_PARTS),
        (limits.MAX_TRANSCRIPT_CHARACTERS, MAX_CHARACTERS),
        (limits.MAX_GAP_SAMPLES, MAX_GAP_SAMPLES),
        (limits.INACTIVITY_SAMPLES, INACTIVITY_SAMPLES),
    ],
)
def test_the_core_keeps_the_stated_limits(stated: object, in_the_core: object) -> None:
    assert stated == in_the_core
