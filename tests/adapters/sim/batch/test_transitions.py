"""The calls that take the rare transitions of the core's tables, and the transitions that no call
takes."""

import re
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from twilio_realtime.sim.batch.application import RANDOM_COMMANDS, SimApplication
from twilio_realtime.sim.batch.batch import run_call
from twilio_realtime.sim.batch.random_call import RandomCall
from twilio_realtime.sim.batch.summary import UNREACHABLE_TRANSITIONS
from twilio_realtime.sim.batch.transition_coverage import TRANSITIONS, TransitionCoverage
from twilio_realtime.sim.choices import Choices
from twilio_realtime.sim.impairments.table import IMPAIRMENTS
from twilio_realtime_core import Bridge, Command, HangUp, SendEvent
from twilio_realtime_core.machine.lifecycles import TURN, TurnInput, TurnState
from twilio_realtime_core.protocols.realtime import CommitAudio, CreateResponse, UpdateSession

DOCS = Path(__file__).parents[4] / "docs/how-to/simulation.md"


def choosing(impairments: tuple[str, ...], drawn: Mapping[str, int]) -> Choices:
    """The plainest choices, except some impairments and the given draws by label."""
    assert set(impairments) <= set(IMPAIRMENTS)

    def choose(label: str, low: int, high: int) -> int:
        if label in impairments or (impairments and label == "percent of the faults"):
            return high
        return min(drawn.get(label, low), high)

    return Choices.from_source(choose)


def draw_of(command: Command) -> int:
    """The draw that selects a command."""
    plain = Choices.from_source(lambda _, low, __: low)
    idle = SimApplication([], lambda _: None, lambda _, __: None)
    made = [make(idle, plain) for _, make in RANDOM_COMMANDS]
    return sum(weight for weight, _ in RANDOM_COMMANDS[: made.index(command)])


HUNG_UP_AT_FIRST = {"commands": 1, "a command at first": 99, "command": draw_of(HangUp())}
NOT_WAITING = {
    "commands at a moment": 1,
    "command": draw_of(SendEvent(CreateResponse(waits_for_caller=False))),
}
LOST = "the model's socket closed"
SPEECH_STOPPED = {"of which kind": 4}
NOT_COMMITTED = {"of which kind": 14, "how many": 3}
COMMITTED = {"commands": 1, "command at, ms": 3000, "command": draw_of(SendEvent(CommitAudio()))}
UPDATED = {
    "commands": 1,
    "command at, ms": 3000,
    "command": draw_of(SendEvent(UpdateSession({"type": "realtime", "instructions": "x"}))),
}

RARE: list[tuple[str, tuple[str, ...], dict[str, int], set[str]]] = [
    ("greeting", (), HUNG_UP_AT_FIRST, {"stream UNOPENED CLOSE"}),
    ("greeting", ("start lost",), {}, {"stream AWAITING_START STOP"}),
    ("greeting", ("start lost",), {"start within": 1}, {"stream AWAITING_START CLOSE"}),
    (
        "greeting",
        ("start lost", "the phone's socket reset"),
        {"lost at, ms": 500},
        {"stream AWAITING_START CLOSED"},
    ),
    ("keys", (), {}, {"stream STREAMING DTMF", "stream STREAMING MARK"}),
    ("greeting", ("a server that refuses",), {}, {"session OPENING CLOSED"}),
    (
        "greeting",
        ("a server that answers late",),
        {"session within": 1, "connects after, ms": 9000},
        {"session OPENING CLOSE"},
    ),
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
    ("cancel-then-interrupt", (), {}, {"response CANCELLING INTERRUPT"}),
    (
        "early-interruption",
        ("a response that begins twice",),
        {"behind which kind": 2},
        {"response INTERRUPTED CREATED"},
    ),
    ("early-interruption", ("audio behind its response",), {}, {"response INTERRUPTED_DONE AUDIO"}),
    (
        "early-interruption",
        ("a response that ends late",),
        {"behind which kind": 1},
        {"active_response ACTIVE CREATED", "active_response ACTIVE OTHER_DONE"},
    ),
    ("greeting", ("requests refused",), {}, {"active_response REQUESTED REFUSED"}),
    (
        "function-call",
        ("a response that begins twice", "requests refused"),
        {"behind so many": 3},
        {"active_response ACTIVE_UNKNOWN_ID EARLIER_REFUSED"},
    ),
    (
        "early-requests",
        ("a response that begins unseen", "a response that ends late"),
        {},
        {"active_response ACTIVE_UNKNOWN_ID OTHER_DONE"},
    ),
    ("manual-commit", (), {}, {"turn SPEAKING COMMITTED", "turn QUIET SPEECH_STARTED"}),
    (
        "question",
        ("server events in another order",),
        SPEECH_STOPPED,
        {"turn SPEAKING_COMMITTED SPEECH_STOPPED"},
    ),
    (
        "manual-commit",
        ("server events repeated",),
        {"of which kind": 5},
        {"turn SPEAKING_COMMITTED COMMITTED"},
    ),
    (
        "question",
        ("another stream on the same socket",),
        {"after frames": 30},
        {"turn SPEAKING STREAM_STARTED"},
    ),
    (
        "question",
        (
            "another stream on the same socket",
            "server events lost",
            "a response that begins unseen",
        ),
        NOT_COMMITTED | {"after frames": 120},
        {"turn PAUSED STREAM_STARTED"},
    ),
    (
        "application-interrupts",
        ("responses that do not end",),
        {},
        {"active_response ACTIVE EXPIRED"},
    ),
    (
        "late-interruption",
        ("a model that falls silent", "responses that do not end"),
        {"after how many events": 40},
        {"active_response REQUESTED EXPIRED"},
    ),
    (
        "late-interruption",
        ("a model that falls silent", "responses that do not end"),
        {"after how many events": 40},
        {"turn COMMITTED EXPIRED"},
    ),
    (
        "question",
        ("another stream on the same socket",),
        {"after frames": 30},
        {"turn QUIET SPEECH_STOPPED"},
    ),
    (
        "greeting",
        ("client events doubled",),
        {"of which kind": 2},
        {"active_response ACTIVE EARLIER_REFUSED"},
    ),
    (
        "question",
        (LOST, "a response that begins unseen", "server events lost"),
        {"lost at, ms": 1750, "transcription": 99},
        {"turn COMMITTED SESSION_LOST"},
    ),
    (
        "crossing-requests",
        ("a response that begins twice", "requests without an answer"),
        {"behind so many": 2, "copies": 2},
        {"active_response ACTIVE_UNKNOWN_ID CREATED_AGAIN"},
    ),
    (
        "crossing-requests",
        ("a response that begins twice", "requests without an answer"),
        {"behind so many": 2},
        {"active_response ACTIVE_UNKNOWN_ID CREATED"},
    ),
    (
        "early-requests",
        ("server events repeated",),
        {"of which kind": 4},
        {"turn COMMITTED SPEECH_STOPPED"},
    ),
    (
        "two-interruptions",
        ("a server that works slowly", "the model's socket closed"),
        {"lost at, ms": 310, "answers after, ms": 400},
        {"session CONFIGURING CLOSED"},
    ),
    ("question", (LOST,), {"lost at, ms": 300}, {"turn QUIET SESSION_LOST"}),
    ("question", (LOST,), {"lost at, ms": 600}, {"turn SPEAKING REPLAY"}),
    (
        "question",
        (LOST, "server events lost", "a response that begins unseen"),
        NOT_COMMITTED | {"lost at, ms": 1400},
        {"turn PAUSED REPLAY"},
    ),
    (
        "question",
        (LOST, "a response that begins unseen"),
        {"lost at, ms": 1400},
        {"turn COMMITTED REPLAY"},
    ),
    (
        "empty-responses",
        ("a response that ends late", "a response that begins twice"),
        {"behind which kind": 1, "behind so many": 3},
        {"active_response ACTIVE_UNKNOWN_ID DONE"},
    ),
    (
        "greeting",
        ("a model that falls silent",),
        NOT_WAITING | {"after how many events": 40, "moment": 3},
        {"turn PAUSED EXPIRED"},
    ),
    ("question", ("server events doubled",), {"of which kind": 14}, {"turn COMMITTED COMMITTED"}),
    (
        "crossing-requests",
        ("another stream on the same socket", "a response that begins unseen"),
        {"after frames": 80},
        {"turn COMMITTED STREAM_STARTED", "active_response REQUESTED BUSY"},
    ),
    (
        "empty-responses",
        ("requests refused",),
        NOT_WAITING | {"command after, ms": 770},
        {"active_response REQUESTED EARLIER_REFUSED"},
    ),
    (
        "empty-responses",
        ("server events in another order",),
        {"of which kind": 2, "behind which kind": 1},
        {"active_response REQUESTED OTHER_DONE"},
    ),
    (
        "two-interruptions",
        ("a response that begins twice", "a response that ends late"),
        {"behind which kind": 1, "behind so many": 20},
        {"active_response FREE OTHER_DONE"},
    ),
    (
        "application-interrupts",
        ("a response that ends late", "a response that begins unseen"),
        NOT_WAITING | {"moment": 1},
        {"active_response ACTIVE_UNKNOWN_ID EXPIRED"},
    ),
    (
        "empty-responses",
        ("server events in another order",),
        NOT_WAITING | {"of which kind": 15, "behind so many": 2, "command after, ms": 770},
        {"active_response FREE EARLIER_REFUSED"},
    ),
]


SEEDS: dict[str, int] = {
    "turn COMMITTED OVER": 974000027,
    "turn COMMITTED SPEECH_STARTED": 974000098,
    "turn PAUSED SPEECH_STARTED": 974001806,
    "turn QUIET REPLAY": 974001076,
    "turn REPLAYED COMMITTED": 974001470,
    "turn REPLAYED DISCARDED": 974001256,
    "turn REPLAYED EXPIRED": 974001076,
    "turn REPLAYED REPLAY": 977800024,
    "turn REPLAYED STREAM_STARTED": 977801338,
    "turn SPEAKING ANSWERED": 974000697,
    "turn SPEAKING DISCARDED": 974000193,
    "turn SPEAKING_COMMITTED ANSWERED": 974000057,
    "turn SPEAKING_COMMITTED DISCARDED": 974001146,
    "turn SPEAKING_COMMITTED EXPIRED": 974000008,
    "turn SPEAKING_COMMITTED REPLAY": 974000132,
    "turn SPEAKING_COMMITTED STREAM_STARTED": 974000073,
}
"""Random calls of 100 ms frames that take a transition which needs several rare things at once."""

ONCE_IN_MANY: set[tuple[str, str, str]] = {
    ("turn", "PAUSED", "DISCARDED"),
    ("turn", "REPLAYED", "ANSWERED"),
    ("turn", "REPLAYED", "SPEECH_STOPPED"),
}
"""Transitions that eight thousand random calls did not take."""


@pytest.mark.parametrize(("transition", "seed"), SEEDS.items())
def test_a_rare_transition_occurs_in_a_random_call(transition: str, seed: int) -> None:
    result = run_call(seed, frame_ms=100)
    assert result.failure is None, result.failure
    assert transition in {" ".join(each) for each in result.transitions}


@pytest.mark.parametrize(("scenario", "impairments", "drawn", "expected"), RARE)
def test_a_rare_transition_occurs_in_its_scenario(
    scenario: str, impairments: tuple[str, ...], drawn: dict[str, int], expected: set[str]
) -> None:
    result = run_call(choices=choosing(impairments, drawn), scenario=scenario)
    assert result.failure is None, result.failure
    assert expected <= {" ".join(each) for each in result.transitions}


def test_all_reachable_transitions_occur() -> None:
    calls = [
        run_call(choices=choosing(impairments, drawn), scenario=scenario)
        for scenario, impairments, drawn, _ in RARE
    ]
    calls += [run_call(seed, frame_ms=100) for seed in SEEDS.values()]
    seen = {transition for call in calls for transition in call.transitions}
    assert set(TRANSITIONS) - seen == set(UNREACHABLE_TRANSITIONS) | ONCE_IN_MANY


def test_the_page_gives_the_same_reasons_for_gaps() -> None:
    rows = re.findall(r"^\| (\w+) `(\w+)` → `(\w+)` \| (.+) \|$", DOCS.read_text(), re.MULTILINE)
    assert {row[:3]: row[3] for row in rows} == UNREACHABLE_TRANSITIONS


def test_coverage_holds_the_transitions_of_its_bridges_only() -> None:
    observed, other = TransitionCoverage(), TransitionCoverage()
    make_bridge = partial(Bridge, make_lifecycle=observed.make_lifecycle)
    assert RandomCall(Choices.from_seed(0), "question", make_bridge=make_bridge).run() is None
    assert RandomCall(Choices.from_seed(0), "question").run() is None
    assert other.transitions == set()
    assert ("stream", "STREAMING", "MEDIA") in observed.transitions
    assert observed.transitions <= set(TRANSITIONS)


def test_an_observed_lifecycle_steps_like_any_other() -> None:
    coverage = TransitionCoverage()
    lifecycle = coverage.make_lifecycle(TURN, TurnState.QUIET)
    assert lifecycle.step(TurnInput.SPEECH_STARTED)
    assert not lifecycle.step(TurnInput.SPEECH_STARTED)
    assert lifecycle.state is TurnState.SPEAKING
    assert coverage.transitions == {("turn", "QUIET", "SPEECH_STARTED")}


def test_other_processes_report_the_same_transitions() -> None:
    with ProcessPoolExecutor(1) as pool:
        assert pool.submit(run_call, 3).result().transitions == run_call(3).transitions
