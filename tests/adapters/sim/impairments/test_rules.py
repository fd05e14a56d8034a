"""Rules for the messages of a peer, and clocks that run fast or slow."""

import json
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
    AnnounceNewEvent,
    Corrupt,
    Delay,
    Drop,
    Duplicate,
    Replace,
    Rule,
    Swap,
    kind_of,
)
from twilio_realtime_core.machine.actions import Action, Close, Notify, Open, Refusal, Send
from twilio_realtime_core.machine.units import MS

PEER = "peer"


def make_message(number: int, kind: str = "mark") -> str:
    return f'{{"event":"{kind}","n":{number}}}'


@frozen
class Text:
    text: str

    def encode(self) -> str:
        return self.text


@define(eq=False)
class Echo:
    """A peer that echoes every message, and logs its calls."""

    deadline: int | None = None
    calls: list[tuple[Any, ...]] = field(factory=list[tuple[Any, ...]])

    def start(self, now: int) -> list[Action]:
        return [Open(PEER, "ws://h/")]

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        return [Send(PEER, Text(make_message(0, "start")))]

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        self.calls.append((now, text))
        return [Send(PEER, Text(text))] if kind_of(text) != "bye" else [Close(PEER, 1000, "")]

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        self.calls.append((now, payload))
        return [Notify("pong")]

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        return self.closed(peer, 1006, refusal.message, now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        self.calls.append((now, code))
        return [Notify("closed")]

    def handle_timeout(self, now: int) -> list[Action]:
        if self.deadline is None or now < self.deadline:
            return []
        self.calls.append((now, "timeout"))
        self.deadline = None
        return [Send(PEER, Text(make_message(99)))]


def texts(actions: list[Action]) -> list[str]:
    return [each.message.encode() for each in actions if isinstance(each, Send)]


def delivered(rule: Rule, *messages: str) -> list[str]:
    """The messages that an echoing peer receives through a rule."""
    machine = Impairer(Echo(), [rule])
    return [text for each in messages for text in texts(machine.receive_text(PEER, each, 0))]


A, B, C, OTHER = make_message(1), make_message(2), make_message(3), make_message(9, "media")


def test_a_messages_kind_is_its_event_or_type() -> None:
    assert kind_of('{"event":"media","x":1}') == "media"
    assert kind_of('{"type":"response.done"}') == "response.done"
    assert kind_of("[]") == ""


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Drop("mark"), [OTHER, B, C]),
        (Drop("mark", after=1, times=2), [A, OTHER]),
        (Drop(times=2), [B, C]),
        (Duplicate("mark", after=2), [A, OTHER, B, C, C]),
        (Swap("mark"), [OTHER, A, B, C]),
        (Swap("mark", times=2), [OTHER, A, C, B]),
        (Corrupt("media"), [A, OTHER[: len(OTHER) // 2], B, C]),
        (Replace("mark", edit=lambda body: body.update(n=7)), [make_message(7), OTHER, B, C]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_rule_applies_to_some_messages(rule: Rule, expected: list[str]) -> None:
    assert delivered(rule, A, OTHER, B, C) == expected
    assert rule.applied_count == rule.times


def test_rules_apply_in_order_and_in_both_directions() -> None:
    machine = Impairer(Echo(), [Duplicate("mark"), Drop("mark")], [Duplicate("mark")])
    assert texts(machine.receive_text(PEER, A, 0)) == [A, A]
    assert machine.received_counts == {"mark": 1}


def test_a_delayed_message_delays_those_behind_it() -> None:
    echo = Echo()
    machine = Impairer(echo, [Delay("mark", delay_ns=10)])
    assert machine.receive_text(PEER, A, 5) == []
    assert machine.receive_text(PEER, OTHER, 6) == []
    assert machine.deadline == 15
    assert machine.handle_timeout(14) == []
    assert texts(machine.handle_timeout(15)) == [A, OTHER]
    assert echo.calls == [(15, A), (15, OTHER)]
    assert texts(machine.receive_text(PEER, B, 16)) == [B]


def test_a_peers_outgoing_messages_can_be_delayed() -> None:
    echo = Echo(deadline=20)
    machine = Impairer(echo, outgoing=[Delay("mark", delay_ns=10)])
    assert machine.receive_text(PEER, A, 5) == []
    assert machine.deadline == 15
    assert texts(machine.handle_timeout(15)) == [A]
    assert machine.deadline == 20
    assert texts(machine.handle_timeout(20)) == [make_message(99)]
    assert (20, "timeout") in echo.calls
    assert machine.deadline is None


def test_an_inactive_impairer_lets_everything_pass() -> None:
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
"""Impairments of audio and formats, and a message that another rule has emptied."""


@pytest.mark.parametrize(("name", "emptied"), EMPTY_AND.items(), ids=EMPTY_AND)
def test_rules_ignore_messages_that_another_has_emptied(name: str, emptied: str) -> None:
    plan = ImpairmentPlan(Choices.from_source(lambda _, low, __: low))
    MESSAGE_IMPAIRMENTS[name](plan)
    (rule,) = plan.all_rules()
    assert [text for _, text in rule.process(emptied)] == [emptied]


def test_held_messages_are_sent_before_a_close() -> None:
    machine = Impairer(Echo(), outgoing=[Delay("mark", delay_ns=10)])
    machine.receive_text(PEER, A, 0)
    actions = machine.receive_text(PEER, make_message(0, "bye"), 1)
    assert texts(actions) == [A]
    assert actions[-1] == Close(PEER, 1000, "")
    assert machine.deadline is None


def test_held_messages_are_lost_with_the_link() -> None:
    machine = Impairer(Echo(), [Delay("media", delay_ns=10)], [Delay("mark", delay_ns=10)])
    machine.receive_text(PEER, A, 0)
    machine.receive_text(PEER, OTHER, 0)
    assert machine.closed(PEER, 1006, "", 1) == [Notify("closed")]
    assert machine.deadline is None


def test_other_inputs_pass_unchanged() -> None:
    echo = Echo()
    machine = Impairer(echo)
    assert machine.start(0) == [Open(PEER, "ws://h/")]
    assert texts(machine.opened(PEER, 0)) == [make_message(0, "start")]
    assert machine.pong(PEER, b"1", 1) == [Notify("pong")]
    assert texts(machine.impair([Send(PEER, Text(A))], 2)) == [A]
    assert machine.relay([Notify("x")], 2) == [Notify("x")]
    assert echo.calls == [(1, b"1")]


# Clocks.


def test_a_fast_clock_shows_later_times_and_fires_earlier() -> None:
    echo = Echo(deadline=1_001_000 * MS)
    machine = DriftingMachine(echo, 1000)
    assert machine.deadline == 1_000_000 * MS
    machine.receive_text(PEER, A, 1000 * MS)
    machine.pong(PEER, b"1", 1000 * MS)
    machine.closed(PEER, 1000, "", 1000 * MS)
    machine.handle_timeout(1_000_000 * MS)
    assert [at_ns for at_ns, _ in echo.calls] == [1001 * MS] * 3 + [1_001_000 * MS]
    assert machine.deadline is None
    assert machine.start(0)
    assert machine.opened(PEER, 0)


@given(st.integers(0, 10**15), st.integers(-1000, 1000))
def test_a_drifting_deadline_is_never_early_on_its_clock(deadline_ns: int, ppm: int) -> None:
    machine = DriftingMachine(Echo(deadline_ns), ppm)
    now = machine.deadline
    assert now is not None
    assert machine.to_local_ns(now) >= deadline_ns
    assert now == 0 or machine.to_local_ns(now - 1) < deadline_ns


def test_an_event_of_a_new_type_comes_before_a_message() -> None:
    rule = AnnounceNewEvent("mark")
    (_, new), (_, message) = rule.process(make_message(1))
    assert (kind_of(new), message) == ("response.new_kind", make_message(1))


def test_new_fields_are_added_to_an_event_and_what_it_describes() -> None:
    plan = ImpairmentPlan(Choices.from_source(lambda _, low, __: low))
    MESSAGE_IMPAIRMENTS["events with new fields"](plan)
    (rule,) = plan.from_model
    kind = "response.output_audio.delta"
    for _ in range(rule.after):
        rule.process(f'{{"type":"{kind}"}}')
    ((_, text),) = rule.process(f'{{"type":"{kind}","response":{{"id":"r"}},"item":null}}')
    event = json.loads(text)
    assert event["response"]["id"] == "r"
    assert event["new_field"] == event["response"]["new_field"]
    assert event["item"] is None
