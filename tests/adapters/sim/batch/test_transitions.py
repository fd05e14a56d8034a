"""Which calls go through the rare transitions of the core's tables, and which transitions no call
goes through."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from twilio_realtime.sim.batch.application import RANDOM_COMMANDS, SimApplication
from twilio_realtime.sim.batch.batch import run_call
from twilio_realtime.sim.batch.summary import UNREACHABLE_TRANSITIONS
from twilio_realtime.sim.batch.transition_coverage import TRANSITIONS
from twilio_realtime.sim.choices import Choices
from twilio_realtime.sim.impairments.table import (IMPAIRMENTS)
from twilio_realtime_core import Command, HangUp, SendEvent
from twilio_realtime_core.protocols.realtime import CommitAudio, CreateResponse, UpdateSession

DOCS = Path(__file__).parents[4] / "docs" / "simulation.md"


def wishing(faults: tuple[str, ...], wished: Mapping[str, int]) -> Choices:
    """The plainest choices, but for some faults and what is wished for by label."""
    assert set(faults) <= set(IMPAIRMENTS)

    def choose(label: str, low: int, high: int) -> int:
        if label in faults or (faults and label == "percent of the faults"):
            return high
        return min(wished.get(label, low), high)

    return Choices.from_source(choose)


def drawn_as(command: Command) -> int:
    """The draw that gives this command."""
    plain = Choices.from_source(lambda _, low, __: low)
    idle = SimApplication([], lambda _: None, lambda _, __: None)
    made = [make(idle, plain) for _, make in RANDOM_COMMANDS]
    return sum(weight for weight, _ in RANDOM_COMMANDS[: made.index(command)])


HUNG_UP_AT_FIRST = {"commands": 1, "a command at first": 99, "command": drawn_as(HangUp())}
CROSSING = {
    "commands at a moment": 1,
    "moment": 0,  # when the caller begins to speak
    "command after, ms": 770,
    "command": drawn_as(SendEvent(CreateResponse())),
}
SPEECH_STOPPED = {"of which kind": 4}
NOT_COMMITTED = {"of which kind": 14, "how many": 3}
COMMITTED = {"commands": 1, "command at, ms": 3000, "command": drawn_as(SendEvent(CommitAudio()))}
UPDATED = {
    "commands": 1,
    "command at, ms": 3000,
    "command": drawn_as(SendEvent(UpdateSession({"type": "realtime", "instructions": "x"}))),
}

RARE: list[tuple[str, tuple[str, ...], dict[str, int], set[str]]] = [
    ("greeting", (), HUNG_UP_AT_FIRST, {"stream UNOPENED CLOSE"}),
    ("greeting", ("start lost",), {}, {"stream WAITING STOP"}),
    ("greeting", ("start lost",), {"start within": 1}, {"stream WAITING CLOSE"}),
    (
        "greeting",
        ("start lost", "the phone's socket reset"),
        {"lost at, ms": 500},
        {"stream WAITING CLOSED"},
    ),
    ("keys", (), {}, {"stream STREAMING DTMF", "stream STREAMING MARK"}),
    ("greeting", ("a server that refuses",), {}, {"session OPENING CLOSED"}),
    (
        "greeting",
        ("a server that answers late",),
        {"session within": 1, "connects after, ms": 9000},
        {"session OPENING CLOSE"},
    ),
    ("greeting", ("a session that is closed at once",), {}, {"session CONFIGURING CLOSED"}),
    ("greeting", ("updates rejected",), {}, {"session CONFIGURING CLOSE"}),
    (
        "greeting",
        ("the phone's socket reset",),
        {"lost at, ms": 3000},
        {"stream STREAMING CLOSED"},
    ),
    (
        "greeting",
        ("the model's socket closed",),
        {"lost at, ms": 3000},
        {"session READY CLOSED"},
    ),
    ("silence", (), UPDATED, {"session READY CONFIGURED"}),
    ("silence", (), COMMITTED, {"turn QUIET COMMITTED"}),
    ("greeting", ("another stream on the same socket",), {}, {"stream STREAMING START"}),
    ("application-cancels", (), {}, {"response CANCELLING DONE"}),
    (
        "application-cancels",
        ("a server that cancels late",),
        {"response.done after, ms": 500},
        {"response CANCELLING DONE", "response CANCELLING AUDIO"},
    ),
    (
        "application-cancels",
        ("a response that begins twice",),
        {"behind which kind": 2},
        {"response CANCELLING CREATED"},
    ),
    ("second-thoughts", (), {}, {"response CANCELLING INTERRUPT"}),
    (
        "barge-in-early",
        ("a response that begins twice",),
        {"behind which kind": 2},
        {"response INTERRUPTED CREATED"},
    ),
    ("barge-in-early", ("audio behind its response",), {}, {"response SILENCED AUDIO"}),
    (
        "barge-in-early",
        ("a response that ends late",),
        {"behind which kind": 1},
        {"slot ACTIVE CREATED", "slot ACTIVE OTHER_DONE"},
    ),
    ("requests-that-cross", (), {}, {"slot ACTIVE NOT_ANSWERED"}),
    ("requests-beside", (), {}, {"slot ASKED OTHER_DONE"}),
    ("greeting", ("requests refused",), {}, {"slot ASKED REFUSED"}),
    ("nothing-to-say", ("requests refused",), {"how many": 3}, {"slot ASKED NOT_ANSWERED"}),
    ("question", ("requests refused", "an empty response"), CROSSING, {"slot FREE NOT_ANSWERED"}),
    (
        "requests-too-soon",
        ("a response that begins unseen",),
        {},
        {"slot ASKED BUSY", "slot TAKEN CREATED"},
    ),
    (
        "requests-beside",
        ("a response that begins twice",),
        {"copies": 2},
        {"slot ASKED CREATED_AGAIN", "slot TAKEN CREATED_AGAIN", "slot TAKEN DONE"},
    ),
    (
        "function-call",
        ("a response that begins twice", "requests refused"),
        {"behind so many": 3},
        {"slot TAKEN NOT_ANSWERED"},
    ),
    (
        "requests-too-soon",
        ("a response that begins unseen", "a response that ends late"),
        {},
        {"slot TAKEN OTHER_DONE"},
    ),
    ("committed-by-hand", (), {}, {"turn SPEAKING COMMITTED", "turn QUIET SPEECH_STARTED"}),
    (
        "question",
        ("server events in another order",),
        SPEECH_STOPPED,
        {"turn QUIET SPEECH_STOPPED"},
    ),
    ("barge-in-twice", ("server events lost",), NOT_COMMITTED, {"turn PAUSED SPEECH_STARTED"}),
]


@pytest.mark.parametrize(("scenario", "faults", "wished", "expected"), RARE)
def test_a_rare_transition_comes_up_where_it_should(
    scenario: str, faults: tuple[str, ...], wished: dict[str, int], expected: set[str]
) -> None:
    result = run_call(choices=wishing(faults, wished), scenario=scenario)
    assert result.failure is None, result.failure
    assert expected <= {" ".join(each) for each in result.transitions}


def test_all_transitions_come_up_but_those_that_cannot() -> None:
    calls = [
        run_call(choices=wishing(faults, wished), scenario=scenario)
        for scenario, faults, wished, _ in RARE
    ]
    seen = {transition for call in calls for transition in call.transitions}
    assert set(TRANSITIONS) - seen == set(UNREACHABLE_TRANSITIONS)


def test_the_page_tells_the_same_reasons() -> None:
    rows = re.findall(r"^\| (\w+) `(\w+)` → `(\w+)` \| (.+) \|$", DOCS.read_text(), re.MULTILINE)
    assert {row[:3]: row[3] for row in rows} == UNREACHABLE_TRANSITIONS
