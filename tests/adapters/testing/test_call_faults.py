"""What goes wrong in a call as a test makes it, and that it does so again."""

from collections.abc import Awaitable, Callable

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from twilio_realtime.testing import strategies
from twilio_realtime.testing.impairments import NAMES, NO_FAULTS, Faults
from twilio_realtime.testing.model import function_call
from twilio_realtime.testing.phone_call import PhoneCall
from twilio_realtime.testing.virtual_time import RUNTIMES
from twilio_realtime_core import LocalProtocolError
from twilio_realtime_core.notifications import CallEnded, CallStarted, EndReason

LONG = "one two three four five six seven eight nine ten"


def make(
    story: Callable[[PhoneCall], Awaitable[object]], faults: Faults, runtime: str = "asyncio"
) -> PhoneCall:
    call = PhoneCall(runtime=runtime, faults=faults)
    call.run(story)
    return call


async def listen_for_long(call: PhoneCall) -> None:
    call.model.replies(*[LONG] * 4)
    for words in ("Hello", "And then?", "And then?", "And then?"):
        await call.say(words)
        await call.listen()


def test_the_same_test_gives_the_same_call() -> None:
    async def story(call: PhoneCall) -> None:
        call.model.replies(LONG, LONG)
        call.interrupt_after(ms=450)
        await call.say("Hello")
        await call.listen()

    faults = Faults.seeded(3, *[name for name in NAMES if "jitter" in name])
    calls = [make(story, faults, runtime) for runtime in (*RUNTIMES, "trio")]
    assert calls[0].notifications == calls[1].notifications == calls[2].notifications
    assert calls[0].heard == calls[1].heard == calls[2].heard


async def interrupt(call: PhoneCall) -> None:
    call.model.replies(LONG, [LONG, function_call("nothing")], "Yes?")
    call.interrupt_after(ms=400)
    await call.say("Hello")
    await call.listen()


@pytest.mark.parametrize("seed", range(12))
def test_a_call_with_faults_ends(seed: int) -> None:
    call = make(interrupt, Faults.seeded(seed))
    assert isinstance(call.notifications[-1], CallEnded)


@pytest.mark.parametrize("name", sorted({*NAMES} - {"start lost"}))
def test_so_does_one_with_a_fault_that_is_named(name: str) -> None:
    call = make(interrupt, Faults((name,)))
    assert isinstance(call.notifications[-1], CallEnded)
    assert list(call.exercised) == [name]


def test_a_stream_that_begins_anew_goes_on_as_the_same_call() -> None:
    async def story(call: PhoneCall) -> None:
        await listen_for_long(call)
        await call.hang_up()
        assert (await call.ended()).reason is EndReason.CALLER_HUNG_UP

    call = make(story, Faults.seeded(0, "another stream on the same socket"))
    sids = [each.stream_sid for each in call.notifications if isinstance(each, CallStarted)]
    assert len(set(sids)) == 2
    assert call.heard[-1].words == LONG
    assert call.exercised == {"another stream on the same socket": 1}


@pytest.mark.parametrize("name", ["the phone's socket reset", "the model's socket reset"])
def test_a_socket_that_is_lost_ends_the_call(name: str) -> None:
    async def story(call: PhoneCall) -> None:
        assert (await call.ended()).reason in (EndReason.TWILIO_LOST, EndReason.REALTIME_LOST)

    make(story, Faults.seeded(0, name))


# Which there are.


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_that_is_named_is_there_with_every_seed(name: str) -> None:
    assert {tuple(Faults.seeded(seed, name).make().rules_by_name) for seed in range(20)} == {
        (name,)
    }
    assert tuple(Faults((name,)).make().rules_by_name) == (name,)


def test_the_strategy_has_a_fault_that_is_named_or_not() -> None:
    both = strategies.faults("marks lost", "start lost")
    for wanted in ([], ["marks lost"], ["start lost"], ["marks lost", "start lost"]):
        found = find(both, lambda each, wanted=wanted: list(each.make().added) == wanted)  # type: ignore[misc]
        assert found.decided[: len(wanted)] == tuple(wanted[: len(found.decided)])


def test_without_names_any_may_be_there_and_none_need_be() -> None:
    added = [set(Faults.seeded(seed).make().rules_by_name) for seed in range(300)]
    assert set() in added
    assert {name for names in added for name in names} == set(NAMES)
    assert not NO_FAULTS.make().rules_by_name


@settings(max_examples=20, deadline=None)
@given(faults=strategies.faults(), named=st.data())
def test_the_same_faults_are_made_again(faults: Faults, named: st.DataObject) -> None:
    drawn = named.draw(strategies.faults(*NAMES[:9]))
    for each in (faults, drawn):
        assert (
            each.make().rules_by_name.keys()
            == each.make().rules_by_name.keys()
            <= set(each.decided)
        )


def test_how_often_a_fault_has_had_its_way_can_be_asked() -> None:
    lost = Faults(("marks lost", "the server's clock drifts"))
    assert PhoneCall(faults=lost).exercised == {}
    call = make(listen_for_long, lost)
    assert call.exercised == {"marks lost": 1, "the server's clock drifts": 1}


def test_a_failure_tells_the_faults_of_the_call() -> None:
    async def story(call: PhoneCall) -> None:
        await listen_for_long(call)
        raise KeyError("mine")

    with pytest.raises(KeyError) as raised:
        make(story, Faults.seeded(0, "marks lost", "jitter, bridge to phone"))
    (note,) = raised.value.__notes__
    assert note.splitlines()[0].startswith("The faults of the call")
    assert note.splitlines()[2:4] == ["jitter, bridge to phone: 1", "The last steps of the call:"]


def test_faults_say_what_they_are() -> None:
    assert repr(NO_FAULTS) == "Faults()"
    assert repr(Faults(("start lost",))) == "Faults(start lost)"
    assert "marks lost" in repr(Faults.seeded(0, "marks lost"))


@pytest.mark.parametrize("names", [("no fault at all",), "marks lost"])
def test_a_fault_that_there_is_not_is_told(names: tuple[str, ...]) -> None:
    with pytest.raises(KeyError, match="there is no fault named"):
        Faults.seeded(0, *names)
    with pytest.raises(KeyError, match="there is no fault named"):
        Faults.seeded(0, "marks lost", "mraks lost")


def test_what_is_no_faults_is_told_where_it_is_given() -> None:
    names: object = ["marks lost"]
    with pytest.raises(LocalProtocolError, match=r"Faults\.seeded\(0, 'marks lost'\).* list"):
        PhoneCall(faults=names)  # type: ignore[arg-type]
    call = PhoneCall()
    with pytest.raises(LocalProtocolError, match=r"and no tuple"):
        call.faults = ("marks lost",)  # type: ignore[assignment]
    assert call.faults is NO_FAULTS
