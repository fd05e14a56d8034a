"""Functions in whole calls: phone, bridge and model, over streams in memory and in virtual time."""

from functools import partial
from typing import Any

import anyio
import pytest

from driving import RUNTIMES, CallParties, ignore, raise_error, run_in_virtual_time
from twilio_realtime.agents.call import Call
from twilio_realtime.agents.call_acceptor import call_acceptor
from twilio_realtime.agents.functions import Functions
from twilio_realtime.agents.phone_events import CallEvent
from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.pace import Pace
from twilio_realtime.sim.model.realtime_peer import CLIENT, RealtimePeer
from twilio_realtime.sim.model.replies import FunctionCallReply, Reply, SpokenReply
from twilio_realtime.sim.phone.caller import AfterDelay, CallerSays, Cue
from twilio_realtime.sim.phone.caller import CallerHangsUp as HangUpPhone
from twilio_realtime_core import CallConfig, HangUp, SessionConfig
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import CallEnded, EndReason, ResponseStarted

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)

QUESTION: Cue = AfterDelay(0, CallerSays(sample_speech.load("caller_interruption").audio))
ANSWER = sample_speech.load("agent_goodbye")


async def call_with_functions(
    api: Any, parties: CallParties, functions: Functions, read: list[CallEvent]
) -> None:
    session = SessionConfig(tools=functions.tools)
    service = Service(ServiceConfig(call=CallConfig(url="ws://model/v1/realtime", session=session)))

    async def agent(call: Call) -> None:
        functions.attach(call)
        async for event in call:
            read.append(event)

    async with anyio.create_task_group() as tasks:

        async def dial_model(host: str, port: int) -> Any:
            near, far = api.memory_pair()
            tasks.start_soon(api.Driver(parties.model_machine(), ignore).run, {CLIENT: far})
            return near

        async def dial_service(host: str, port: int) -> Any:
            near, far = api.memory_pair()
            driver, peer = call_acceptor(service, agent, partial(api.Driver, dial=dial_model))()
            tasks.start_soon(driver.run, {peer: far})
            return near

        await api.drive(parties.phone_machine(), notify=ignore, dial=dial_service)


def call_with_replies(*replies: Reply, duration_s: int = 60) -> CallParties:
    """The parties of a call: a caller who asks once and hangs up much later, and a model that gives
    `replies`."""
    parties = CallParties((QUESTION, AfterDelay(duration_s * SECOND, HangUpPhone())))
    quick = Pace(first_spoken_item_ns=20 * MS, first_audio_ns=20 * MS)
    parties.model = RealtimePeer(list(replies), seed=2, pace=quick)
    return parties


def outputs(parties: CallParties) -> list[tuple[str, str]]:
    """Return the call ids and outputs of function calls in the model's conversation."""
    return [
        (item.fields["call_id"], item.fields["output"])
        for item in parties.model.conversation
        if item.type == "function_call_output"
    ]


@each_runtime
def test_the_model_speaks_an_output_and_a_function_hangs_up(
    runtime: str,
) -> None:
    errors, read, cities = list[Exception](), list[CallEvent](), list[str]()
    functions = Functions(on_error=errors.append)

    @functions.add
    async def weather(city: str) -> str:
        """Tells the weather."""
        cities.append(city)
        await anyio.sleep(1)
        return "sunny"

    @functions.add(respond=False)
    async def hang_up(call: Call) -> None:
        """Ends the call."""
        call.send(HangUp(after_playback=True))

    goodbye = SpokenReply(ANSWER.audio, ANSWER.transcript)
    parties = call_with_replies(
        Reply((FunctionCallReply("weather", '{"city":"Rome"}', "f1"),)),
        Reply((goodbye, FunctionCallReply("hang_up", "{}", "f2"))),
    )
    api = RUNTIMES[runtime]
    run_in_virtual_time(runtime, partial(call_with_functions, api, parties, functions, read))
    assert cities == ["Rome"]
    assert outputs(parties)[0] == ("f1", "sunny")
    assert errors == []
    assert parties.model.sent_errors == []
    assert isinstance(read[-1], CallEnded)
    assert read[-1].reason is EndReason.HUNG_UP
    _, audio = parties.phone.recorded_audio(60 * SECOND)
    assert ANSWER.audio in audio


@each_runtime
def test_the_model_gets_text_of_a_subclass(runtime: str) -> None:
    class Markup(str):
        """Text of a template engine."""

    functions = Functions(on_error=raise_error)

    @functions.add
    async def page() -> str:
        """Shows the page."""
        return Markup("<b>open</b>")

    parties = call_with_replies(
        Reply((FunctionCallReply("page", "{}", "f1"),)),
        Reply((SpokenReply(ANSWER.audio, ANSWER.transcript),)),
    )
    call = partial(call_with_functions, RUNTIMES[runtime], parties, functions, [])
    run_in_virtual_time(runtime, call)
    assert outputs(parties) == [("f1", "<b>open</b>")]


@each_runtime
def test_several_outputs_cause_one_response_and_bad_arguments_are_corrected(runtime: str) -> None:
    """S80, S81."""
    read = list[CallEvent]()
    functions = Functions(on_error=raise_error)

    @functions.add(after_playback=True)
    async def weather(city: str) -> str:
        """Tells the weather."""
        return f"sunny in {city}"

    parties = call_with_replies(
        Reply(
            (
                FunctionCallReply("weather", '{"city":"Rome"}', "f1"),
                FunctionCallReply("weather", '{"town":"Oslo"}', "f2"),
            )
        ),
        Reply((FunctionCallReply("weather", '{"city":"Oslo"}', "f3"),)),
        Reply((SpokenReply(ANSWER.audio, ANSWER.transcript),)),
    )
    api = RUNTIMES[runtime]
    call = partial(call_with_functions, api, parties, functions, read)
    run_in_virtual_time(runtime, call)
    (first, rome), (second, wrong), third = outputs(parties)
    assert (first, rome) == ("f1", "sunny in Rome")
    assert (second, "unknown field `town`" in wrong) == ("f2", True)
    assert third == ("f3", "sunny in Oslo")
    assert sum(isinstance(event, ResponseStarted) for event in read) == 3
    assert parties.model.sent_errors == []


@each_runtime
def test_the_model_gets_no_output_after_the_caller_hangs_up(runtime: str) -> None:
    read, cancelled = list[CallEvent](), list[bool]()
    functions = Functions(on_error=raise_error)

    @functions.add
    async def slow() -> None:
        """Takes its time."""
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(True)

    parties = call_with_replies(Reply((FunctionCallReply("slow", "{}", "f1"),)), duration_s=5)
    api = RUNTIMES[runtime]
    call = partial(call_with_functions, api, parties, functions, read)
    run_in_virtual_time(runtime, call)
    assert cancelled == [True]
    assert outputs(parties) == []
    assert isinstance(read[-1], CallEnded)
    assert read[-1].reason is EndReason.CALLER_HUNG_UP
