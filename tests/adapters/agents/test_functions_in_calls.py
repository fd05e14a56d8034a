"""Functions in whole calls: phone, bridge and model, over streams in memory and in virtual time."""

from functools import partial
from typing import Any

import anyio
import pytest

from driving import RUNTIMES, ignore, run_virtual
from driving import Call as Parties
from twilio_realtime.agents.call import Call
from twilio_realtime.agents.call_acceptor import answering
from twilio_realtime.agents.functions import Functions
from twilio_realtime.server.service import Service, ServiceConfig
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.pace import Pace
from twilio_realtime.sim.model.realtime_peer import CLIENT, RealtimePeer
from twilio_realtime.sim.model.replies import FunctionCallReply, Reply, SpokenReply
from twilio_realtime.sim.phone.caller import AfterDelay, CallerSays, Cue
from twilio_realtime.sim.phone.caller import CallerHangsUp as HangUpPhone
from twilio_realtime_core import CallConfig, HangUp, SessionConfig
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import CallEnded, EndReason, Notification, ResponseStarted

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)

QUESTION: Cue = AfterDelay(0, CallerSays(sample_speech.load("caller_interruption").audio))
ANSWER = sample_speech.load("agent_goodbye")


def never(error: Exception) -> None:
    raise error


async def call_with_functions(
    api: Any, parties: Parties, functions: Functions, read: list[Notification]
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
            driver, peer = answering(service, agent, partial(api.Driver, dial=dial_model))()
            tasks.start_soon(driver.run, {peer: far})
            return near

        await api.drive(parties.phone_machine(), notify=ignore, dial=dial_service)


def answering_model(*replies: Reply, seconds: int = 60) -> Parties:
    """A caller who asks once, and hangs up much later, and a model that answers so."""
    parties = Parties((QUESTION, AfterDelay(seconds * SECOND, HangUpPhone())))
    quick = Pace(first_spoken_item_ns=20 * MS, first_audio_ns=20 * MS)
    parties.model = RealtimePeer(list(replies), seed=2, pace=quick)
    return parties


def outputs(parties: Parties) -> list[tuple[str, str]]:
    """What functions have returned, in the model's memory."""
    return [
        (item.fields["call_id"], item.fields["output"])
        for item in parties.model.conversation
        if item.type == "function_call_output"
    ]


@each_runtime
def test_the_model_says_what_a_function_has_found_and_a_function_ends_the_call(
    runtime: str,
) -> None:
    errors, read, asked = list[Exception](), list[Notification](), list[str]()
    functions = Functions(on_error=errors.append)

    @functions.add
    async def weather(city: str) -> str:
        """Tells the weather."""
        asked.append(city)
        await anyio.sleep(1)
        return "sunny"

    @functions.add(respond=False)
    async def hang_up(call: Call) -> None:
        """Ends the call."""
        call.send(HangUp(after_playback=True))

    goodbye = SpokenReply(ANSWER.audio, ANSWER.transcript)
    parties = answering_model(
        Reply((FunctionCallReply("weather", '{"city":"Rome"}', "f1"),)),
        Reply((goodbye, FunctionCallReply("hang_up", "{}", "f2"))),
    )
    api = RUNTIMES[runtime]
    run_virtual(runtime, partial(call_with_functions, api, parties, functions, read))
    assert asked == ["Rome"]
    assert outputs(parties)[0] == ("f1", "sunny")
    assert errors == []
    assert parties.model.sent_errors == []
    assert isinstance(read[-1], CallEnded)
    assert read[-1].reason is EndReason.HUNG_UP
    _, heard = parties.phone.recorded_audio(60 * SECOND)
    assert ANSWER.audio in heard


@each_runtime
def test_several_answers_lead_to_one_response_and_bad_arguments_are_mended(runtime: str) -> None:
    """S80, S81."""
    read = list[Notification]()
    functions = Functions(on_error=never)

    @functions.add(once_heard=True)
    async def weather(city: str) -> str:
        """Tells the weather."""
        return f"sunny in {city}"

    parties = answering_model(
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
    run_virtual(runtime, call)
    (first, rome), (second, wrong), third = outputs(parties)
    assert (first, rome) == ("f1", "sunny in Rome")
    assert (second, "unknown field `town`" in wrong) == ("f2", True)
    assert third == ("f3", "sunny in Oslo")
    assert sum(isinstance(event, ResponseStarted) for event in read) == 3
    assert parties.model.sent_errors == []


@each_runtime
def test_when_the_caller_hangs_up_the_model_gets_no_answer(runtime: str) -> None:
    read, cancelled = list[Notification](), list[bool]()
    functions = Functions(on_error=never)

    @functions.add
    async def slow() -> None:
        """Takes its time."""
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(True)

    parties = answering_model(Reply((FunctionCallReply("slow", "{}", "f1"),)), seconds=5)
    api = RUNTIMES[runtime]
    call = partial(call_with_functions, api, parties, functions, read)
    run_virtual(runtime, call)
    assert cancelled == [True]
    assert outputs(parties) == []
    assert isinstance(read[-1], CallEnded)
    assert read[-1].reason is EndReason.CALLER_HUNG_UP
