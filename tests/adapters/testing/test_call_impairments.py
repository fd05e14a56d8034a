"""Impairments of a simulated call, and that they are repeatable."""

from collections.abc import Awaitable, Callable

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from twilio_realtime.testing import strategies
from twilio_realtime.testing.impairments import IMPAIRMENT_NAMES, NO_IMPAIRMENTS, Impairments
from twilio_realtime.testing.model import function_call
from twilio_realtime.testing.phone_call import PhoneCall
from twilio_realtime.testing.virtual_time import RUNTIMES
from twilio_realtime_core import LocalProtocolError
from twilio_realtime_core.notifications import (
    CallEnded,
    CallStarted,
    EndReason,
    SessionLost,
    SessionRestored,
)

LONG = "one two three four five six seven eight nine ten"


def make(
    script: Callable[[PhoneCall], Awaitable[object]],
    impairments: Impairments,
    runtime: str = "asyncio",
) -> PhoneCall:
    call = PhoneCall(runtime=runtime, impairments=impairments)
    call.run(script)
    return call


async def listen_for_long(call: PhoneCall) -> None:
    call.model.respond_with(*[LONG] * 4)
    for words in ("Hello", "And then?", "And then?", "And then?"):
        await call.say(words)
        await call.listen()


def test_the_same_test_gives_the_same_call() -> None:
    async def script(call: PhoneCall) -> None:
        call.model.respond_with(LONG, LONG)
        call.interrupt_after(ms=450)
        await call.say("Hello")
        await call.listen()

    impairments = Impairments.seeded(3, *[name for name in IMPAIRMENT_NAMES if "jitter" in name])
    calls = [make(script, impairments, runtime) for runtime in (*RUNTIMES, "trio")]
    assert calls[0].notifications == calls[1].notifications == calls[2].notifications
    assert calls[0].heard_speech == calls[1].heard_speech == calls[2].heard_speech


async def interrupt(call: PhoneCall) -> None:
    call.model.respond_with(LONG, [LONG, function_call("nothing")], "Yes?")
    call.interrupt_after(ms=400)
    await call.say("Hello")
    await call.listen()


@pytest.mark.parametrize("seed", range(12))
def test_a_call_with_impairments_ends(seed: int) -> None:
    call = make(interrupt, Impairments.seeded(seed))
    assert isinstance(call.notifications[-1], CallEnded)


@pytest.mark.parametrize("name", sorted({*IMPAIRMENT_NAMES} - {"start lost"}))
def test_a_call_with_a_named_impairment_ends(name: str) -> None:
    call = make(interrupt, Impairments((name,)))
    assert isinstance(call.notifications[-1], CallEnded)
    assert list(call.impairment_counts) == [name]


def test_a_restarted_stream_continues_the_same_call() -> None:
    async def script(call: PhoneCall) -> None:
        await listen_for_long(call)
        await call.hang_up()
        assert (await call.wait_for_end()).reason is EndReason.CALLER_HUNG_UP

    call = make(script, Impairments.seeded(0, "another stream on the same socket"))
    sids = [each.stream_sid for each in call.notifications if isinstance(each, CallStarted)]
    assert len(set(sids)) == 2
    assert call.heard_speech[-1].words == LONG
    assert call.impairment_counts == {"another stream on the same socket": 1}


def test_a_lost_phone_ends_the_call() -> None:
    async def script(call: PhoneCall) -> None:
        assert (await call.wait_for_end()).reason is EndReason.TWILIO_LOST

    make(script, Impairments.seeded(0, "the phone's socket reset"))


def test_a_call_outlives_a_lost_model() -> None:
    async def script(call: PhoneCall) -> None:
        await call.wait(ms=9000)
        await call.say("Hello")
        await call.listen()
        await call.hang_up()
        assert (await call.wait_for_end()).reason is EndReason.CALLER_HUNG_UP

    call = make(script, Impairments.seeded(0, "the model's socket reset"))
    kinds = [type(each) for each in call.notifications]
    assert kinds.index(SessionLost) < kinds.index(SessionRestored)


# Selection.


@pytest.mark.parametrize("name", IMPAIRMENT_NAMES)
def test_a_named_impairment_occurs_with_every_seed(name: str) -> None:
    assert {
        tuple(Impairments.seeded(seed, name).make_plan().rules_by_name) for seed in range(20)
    } == {(name,)}
    assert tuple(Impairments((name,)).make_plan().rules_by_name) == (name,)


def test_the_strategy_draws_any_subset_of_named_impairments() -> None:
    both = strategies.impairments("marks lost", "start lost")
    for expected in ([], ["marks lost"], ["start lost"], ["marks lost", "start lost"]):

        def has_expected(each: Impairments, expected: list[str] = expected) -> bool:
            return list(each.make_plan().rules_by_name) == expected

        found = find(both, has_expected)
        assert found.decisions[: len(expected)] == tuple(expected[: len(found.decisions)])


def test_without_names_any_impairment_or_none_occurs() -> None:
    added = [set(Impairments.seeded(seed).make_plan().rules_by_name) for seed in range(300)]
    assert set() in added
    assert {name for names in added for name in names} == set(IMPAIRMENT_NAMES)
    assert not NO_IMPAIRMENTS.make_plan().rules_by_name


@settings(max_examples=20, deadline=None)
@given(impairments=strategies.impairments(), named=st.data())
def test_equal_impairments_make_the_same_plan(
    impairments: Impairments, named: st.DataObject
) -> None:
    drawn = named.draw(strategies.impairments(*IMPAIRMENT_NAMES[:9]))
    for each in (impairments, drawn):
        assert (
            each.make_plan().rules_by_name.keys()
            == each.make_plan().rules_by_name.keys()
            <= set(each.decisions)
        )


def test_a_call_counts_how_often_impairments_took_effect() -> None:
    lost = Impairments(("marks lost", "the server's clock drifts"))
    assert PhoneCall(impairments=lost).impairment_counts == {}
    call = make(listen_for_long, lost)
    assert call.impairment_counts == {"marks lost": 1, "the server's clock drifts": 1}


def test_a_failure_lists_the_impairments_of_the_call() -> None:
    async def script(call: PhoneCall) -> None:
        await listen_for_long(call)
        raise KeyError("mine")

    with pytest.raises(KeyError) as raised:
        make(script, Impairments.seeded(0, "marks lost", "jitter, bridge to phone"))
    (note,) = raised.value.__notes__
    assert note.splitlines()[0].startswith("The impairments of the call")
    assert note.splitlines()[2:4] == ["jitter, bridge to phone: 1", "The last steps of the call:"]


def test_impairments_have_a_readable_repr() -> None:
    assert repr(NO_IMPAIRMENTS) == "Impairments()"
    assert repr(Impairments(("start lost",))) == "Impairments(start lost)"
    assert "marks lost" in repr(Impairments.seeded(0, "marks lost"))


@pytest.mark.parametrize("names", [("no such impairment",), "marks lost"])
def test_an_unknown_impairment_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(KeyError, match="there is no impairment"):
        Impairments.seeded(0, *names)
    with pytest.raises(KeyError, match="there is no impairment"):
        Impairments.seeded(0, "marks lost", "mraks lost")


def test_a_value_other_than_impairments_is_refused_when_set() -> None:
    names: object = ["marks lost"]
    with pytest.raises(LocalProtocolError, match=r"Impairments\.seeded\(0, 'marks lost'\).* list"):
        PhoneCall(impairments=names)  # type: ignore[arg-type]
    call = PhoneCall()
    with pytest.raises(LocalProtocolError, match=r"not a tuple"):
        call.impairments = ("marks lost",)  # type: ignore[assignment]
    assert call.impairments is NO_IMPAIRMENTS
