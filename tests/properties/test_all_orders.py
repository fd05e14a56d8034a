"""Every order of the events of a small call, followed to its end, with all invariants checked."""

from collections import Counter
from typing import Final

import pytest
from attrs import define, field

from small_call import NextEvent, SmallCall
from snapshots import freeze, thaw
from twilio_realtime_core.notifications import (
    CallEnded,
    CallerSpeechStarted,
    Interrupted,
    PlaybackFinished,
    PlaybackStarted,
    ResponseFinished,
)
from twilio_realtime_core.protocols.realtime import CancelResponse, DeleteItem, TruncateItem
from twilio_realtime_core.protocols.twilio import Clear, Mark, Media

ONE_ORDER: Final = (
    *[NextEvent.RESPONSE_EVENT] * 3,
    NextEvent.TIME,
    NextEvent.MARK_ECHO,
    NextEvent.SPEECH,
)


@define
class Walk:
    """What was covered: the number of distinct orders, the number of checked steps, each of which
    may belong to many orders, and what happened and was sent in them."""

    orders: int = 0
    steps: int = 0
    happened: set[NextEvent] = field(factory=set[NextEvent])
    seen: set[type] = field(factory=set[type])


def walk(call: SmallCall) -> Walk:
    """Follow every order from here, one event after the other.

    Orders that lead to the same call are followed together from there: each call is kept once, with
    the number of orders that lead to it, so that every order is counted and every step checked.
    """
    walked = Walk()
    calls = Counter({freeze(call): 1})
    while calls:
        further = Counter[bytes]()
        for frozen, ways in calls.items():
            call = thaw(frozen)
            for number, event in enumerate(call.possible_events):
                call = thaw(frozen) if number else call
                walked.seen |= call.apply(event)
                walked.happened.add(event)
                walked.steps += 1
                if call.has_ended:
                    walked.orders += ways
                else:
                    further[freeze(call)] += ways
        calls = further
    return walked


@pytest.mark.parametrize(("server_cancels", "least"), [(False, 50_000), (True, 100_000)])
def test_no_order_of_a_small_call_breaks_an_invariant(*, server_cancels: bool, least: int) -> None:
    walked = walk(SmallCall.start(server_cancels=server_cancels))
    assert walked.orders >= least
    assert walked.happened | {NextEvent.SERVER_CANCEL} == set(NextEvent)
    assert (NextEvent.SERVER_CANCEL in walked.happened) is server_cancels
    assert walked.seen >= {Media, Mark, Clear, CancelResponse, TruncateItem, DeleteItem}
    assert walked.seen >= {CallerSpeechStarted, PlaybackStarted, PlaybackFinished, Interrupted}
    assert walked.seen >= {ResponseFinished, CallEnded}


def test_a_thawed_call_continues_like_the_original() -> None:
    call = SmallCall.start(server_cancels=False)
    frozen = freeze(call)
    other = thaw(frozen)
    seen = set[type]()
    for event in ONE_ORDER:
        seen = call.apply(event)
        assert (other.apply(event), other.possible_events) == (seen, call.possible_events)
    assert seen >= {Clear, CancelResponse, TruncateItem}
    assert thaw(frozen).possible_events == SmallCall.start(server_cancels=False).possible_events
