"""Rules for the messages of a peer, and clocks that run fast or slow."""

from collections.abc import Hashable
from typing import Any

import pytest
from attrs import define, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.sim.choices import Choices
from twilio_realtime.sim.impairments.clock_drift import DriftingMachine
from twilio_realtime.sim.impairments.impairer import Impairer
from twilio_realtime.sim.impairments.message_impairments import MESSAGE_IMPAIRMENTS
from twilio_realtime.sim.impairments.plan import ImpairmentPlan
from twilio_realtime.sim.impairments.rules import (
    Corrupt,
    Delay,
    Drop,
    Duplicate,
    Replace,
    Rule,
    Swap,
    kind_of,
)
from twilio_realtime_core.machine.actions import Action, Close, Notify, Open, Send
from twilio_realtime_core.machine.units import MS

PEER = "peer"


def say(number: int, kind: str = "mark") -> str:
    return f'{{"event":"{kind}","n":{number}}}'


@frozen
class Text:
    text: str

    def encode(self) -> str:
        return self.text


@define(eq=False)
class Echo:
    """Sends back all that it hears, and writes down when it was called."""

    deadline: int | None = None
    told: list[tuple[Any, ...]] = field(factory=list[tuple[Any, ...]])

    def start(self, now: int) -> list[Action]:
        return [Open(PEER, "ws://h/")]

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        return [Send(PEER, Text(say(0, "start")))]

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        self.told.append((now, text))
        return [Send(PEER, Text(text))] if kind_of(text) != "bye" else [Close(PEER, 1000, "")]

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        self.told.append((now, payload))
        return [Notify("pong")]

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        self.told.append((now, code))
        return [Notify("closed")]

    def handle_timeout(self, now: int) -> list[Action]:
        if self.deadline is None or now < self.deadline:
            return []
        self.told.append((now, "timeout"))
        self.deadline = None
        return [Send(PEER, Text(say(99)))]


def texts(actions: list[Action]) -> list[str]:
    return [each.message.encode() for each in actions if isinstance(each, Send)]


def passed(rule: Rule, *said: str) -> list[str]:
    """What comes of messages that a peer is told, by what it says back."""
    machine = Impairer(Echo(), [rule])
    return [text for each in said for text in texts(machine.receive_text(PEER, each, 0))]


A, B, C, OTHER = say(1), say(2), say(3), say(9, "media")


def test_the_kind_of_a_message_is_its_event_or_its_type() -> None:
    assert kind_of('{"event":"media","x":1}') == "media"
    assert kind_of('{"type":"response.done"}') == "response.done"
    assert kind_of("[]") == ""


@pytest.mark.parametrize(
    ("rule", "comes"),
    [
        (Drop("mark"), [OTHER, B, C]),
        (Drop("mark", after=1, times=2), [A, OTHER]),
        (Drop(times=2), [B, C]),
        (Duplicate("mark", after=2), [A, OTHER, B, C, C]),
        (Swap("mark"), [OTHER, A, B, C]),
        (Swap("mark", times=2), [OTHER, A, C, B]),
        (Corrupt("media"), [A, OTHER[: len(OTHER) // 2], B, C]),
        (Replace("mark", edit=lambda body: body.update(n=7)), [say(7), OTHER, B, C]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_rule_has_its_way_with_some_messages(rule: Rule, comes: list[str]) -> None:
    assert passed(rule, A, OTHER, B, C) == comes
    assert rule.applied_count == rule.times


def test_rules_act_one_after_another_and_both_ways() -> None:
    machine = Impairer(Echo(), [Duplicate("mark"), Drop("mark")], [Duplicate("mark")])
    assert texts(machine.receive_text(PEER, A, 0)) == [A, A]
    assert machine.received_counts == {"mark": 1}


def test_a_message_kept_back_holds_up_what_is_behind_it() -> None:
    echo = Echo()
    machine = Impairer(echo, [Delay("mark", delay_ns=10)])
    assert machine.receive_text(PEER, A, 5) == []
    assert machine.receive_text(PEER, OTHER, 6) == []
    assert machine.deadline == 15
    assert machine.handle_timeout(14) == []
    assert texts(machine.handle_timeout(15)) == [A, OTHER]
    assert echo.told == [(15, A), (15, OTHER)]
    assert texts(machine.receive_text(PEER, B, 16)) == [B]


def test_what_a_peer_says_can_be_kept_back_too() -> None:
    echo = Echo(deadline=20)
    machine = Impairer(echo, outgoing=[Delay("mark", delay_ns=10)])
    assert machine.receive_text(PEER, A, 5) == []
    assert machine.deadline == 15
    assert texts(machine.handle_timeout(15)) == [A]
    assert machine.deadline == 20
    assert texts(machine.handle_timeout(20)) == [say(99)]
    assert (20, "timeout") in echo.told
    assert machine.deadline is None


def test_once_inactive_rules_let_everything_pass() -> None:
    machine = Impairer(Echo(), [Drop("mark", times=9)], [Drop("media", times=9)])
    assert texts(machine.receive_text(PEER, A, 0)) == []
    assert texts(machine.receive_text(PEER, OTHER, 0)) == []
    machine.is_active = False
    assert texts(machine.receive_text(PEER, A, 1)) == [A]
    assert texts(machine.receive_text(PEER, OTHER, 1)) == [OTHER]


EMPTY_AND = {
    "no audio in Twilio's media": '{"event":"media","media":null}',
    "another format": '{"type":"session.updated","session":null}',
}
"""Faults of audio and formats, and what they leave of a message that another has emptied."""


@pytest.mark.parametrize(("name", "left"), EMPTY_AND.items(), ids=EMPTY_AND)
def test_faults_leave_alone_what_another_has_emptied(name: str, left: str) -> None:
    trouble = ImpairmentPlan(Choices.from_source(lambda _, low, __: low))
    MESSAGE_IMPAIRMENTS[name](trouble)
    (rule,) = trouble.all_rules()
    assert [text for _, text in rule.process(left)] == [left]


def test_what_is_kept_back_goes_before_a_close() -> None:
    machine = Impairer(Echo(), outgoing=[Delay("mark", delay_ns=10)])
    machine.receive_text(PEER, A, 0)
    actions = machine.receive_text(PEER, say(0, "bye"), 1)
    assert texts(actions) == [A]
    assert actions[-1] == Close(PEER, 1000, "")
    assert machine.deadline is None


def test_what_is_kept_back_is_lost_with_the_link() -> None:
    machine = Impairer(Echo(), [Delay("media", delay_ns=10)], [Delay("mark", delay_ns=10)])
    machine.receive_text(PEER, A, 0)
    machine.receive_text(PEER, OTHER, 0)
    assert machine.closed(PEER, 1006, "", 1) == [Notify("closed")]
    assert machine.deadline is None


def test_all_else_passes_as_it_is() -> None:
    echo = Echo()
    machine = Impairer(echo)
    assert machine.start(0) == [Open(PEER, "ws://h/")]
    assert texts(machine.opened(PEER, 0)) == [say(0, "start")]
    assert machine.pong(PEER, b"1", 1) == [Notify("pong")]
    assert texts(machine.impair([Send(PEER, Text(A))], 2)) == [A]
    assert machine.relay([Notify("x")], 2) == [Notify("x")]
    assert echo.told == [(1, b"1")]


# Clocks.


def test_a_clock_that_gains_shows_later_times_and_wakes_earlier() -> None:
    echo = Echo(deadline=1_001_000 * MS)
    machine = DriftingMachine(echo, 1000)
    assert machine.deadline == 1_000_000 * MS
    machine.receive_text(PEER, A, 1000 * MS)
    machine.pong(PEER, b"1", 1000 * MS)
    machine.closed(PEER, 1000, "", 1000 * MS)
    machine.handle_timeout(1_000_000 * MS)
    assert [when for when, _ in echo.told] == [1001 * MS] * 3 + [1_001_000 * MS]
    assert machine.deadline is None
    assert machine.start(0)
    assert machine.opened(PEER, 0)


@given(st.integers(0, 10**15), st.integers(-1000, 1000))
def test_at_its_deadline_its_own_clock_shows_no_earlier_time(deadline: int, ppm: int) -> None:
    machine = DriftingMachine(Echo(deadline), ppm)
    now = machine.deadline
    assert now is not None
    assert machine.to_local_ns(now) >= deadline
    assert now == 0 or machine.to_local_ns(now - 1) < deadline
