"""Transfers, redirections, recordings, and what follows playback, in calls over sockets."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from agent_harness import STARTED, AgentHarness, run_ready_tasks
from phone_network import ENVIRONMENT, FROM, THIRD, TO, PhoneNetwork, run_network
from twilio_api_server import error
from twilio_realtime import (
    Accept,
    Agent,
    Call,
    CallEnded,
    EndReason,
    HangUp,
    KeyPressed,
    Mute,
    PlaybackFinished,
    TwilioRecordingStatus,
    UsageError,
    serving,
)
from twilio_realtime.agents.answering import greet_when_answered
from twilio_realtime.agents.call_control import CallControl, transfer_twiml
from twilio_realtime.agents.phone_events import AnsweredBy, PhoneCallAnswered
from twilio_realtime.twilio_api.errors import TwilioApiError
from twilio_realtime_core import LocalProtocolError
from twilio_realtime_core.commands import Command, NotifyAfterPlayback, PressKeys, Unmute
from twilio_realtime_core.notifications import AllHeard, PlaybackStarted, ResponseStarted

each_runtime = pytest.mark.parametrize("runtime", ["trio", "asyncio"])
each_way = pytest.mark.parametrize("by_rest", [True, False])


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def call_in(network: PhoneNetwork, agent: Any, **settings: Any) -> None:
    """Have one caller call an agent."""

    async def use(_: PhoneNetwork) -> None:
        async with serving(agent, **(network.settings | settings)):
            await network.call_in()

    run_network(network, use)


Act = Callable[[Call], Awaitable[object]]


def acting(act: Act, results: list[object]) -> Callable[[Call], Awaitable[None]]:
    """An agent that says something, and does `act` once it is begun; then it waits for the end."""
    agent = Agent(greeting="Greet.")

    async def handle(call: Call) -> None:
        call.start_soon(run, call)
        await agent(call)

    async def run(call: Call) -> None:
        started = anyio.Event()
        call.watch(lambda event: started.set() if isinstance(event, ResponseStarted) else None)
        await started.wait()
        with anyio.CancelScope(shield=True):
            try:
                results.append(await act(call))
            except (LocalProtocolError, TwilioApiError, UsageError) as caught:
                results.append(caught)
                call.send(HangUp())

    return handle


def do(
    runtime: str, act: Act, *, by_rest: bool = True, **options: Any
) -> tuple[PhoneNetwork, list[Any]]:
    network, results = PhoneNetwork(runtime, **options), list[Any]()
    settings: dict[str, Any] = {} if by_rest else {"ask_after_stream": True}
    call_in(network, acting(act, results), **settings)
    return network, results


@pytest.fixture
def without_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWILIO_ACCOUNT_SID")


# Transfers


@each_way
@each_runtime
def test_a_caller_is_transferred_after_the_goodbye(
    runtime: str, monkeypatch: pytest.MonkeyPatch, *, by_rest: bool
) -> None:
    if not by_rest:
        monkeypatch.delenv("TWILIO_ACCOUNT_SID")
    heard = list[object]()

    async def act(call: Call) -> bool:
        call.watch(heard.append)
        return await call.transfer(THIRD, ring_timeout_ms=20_000, caller_id=FROM)

    network, results = do(runtime, act, by_rest=by_rest)
    assert results == [True]
    ((number, attributes),) = network.dialled
    assert number == THIRD
    assert attributes["timeout"] == "20"
    assert attributes["callerId"] == FROM
    assert [each for each in heard if isinstance(each, PlaybackFinished)]
    assert network.twiml[-1].endswith("<Hangup/></Response>")
    assert not any(isinstance(each, AllHeard) for each in heard)


@each_runtime
def test_nobody_answers_and_the_caller_returns_to_the_agent(runtime: str) -> None:
    network = PhoneNetwork(runtime, dial_status="no-answer")
    agent, ends = Agent(greeting="Greet."), list[str]()

    @agent.on(PlaybackFinished)
    async def finished(call: Call, _: PlaybackFinished) -> None:
        if call.started.custom_parameters.get("back") == "yes":
            call.send(HangUp())
        else:
            await call.transfer(THIRD, if_unanswered=Accept(parameters={"back": "yes"}))

    agent.on(CallEnded)(lambda _, event: ends.append(event.reason.value))
    call_in(network, agent)
    assert len(network.phones) == 2
    assert ends == ["caller hung up", "hung up"]


@each_runtime
@pytest.mark.parametrize("dial_status", ["busy", "no-answer", "failed"])
def test_nobody_answers_and_the_caller_hears_words(dial_status: str, runtime: str) -> None:
    words = "<Response><Say>Sorry.</Say></Response>"

    async def act(call: Call) -> bool:
        return await call.transfer("sip:anna@desk.example", if_unanswered=words)

    network, _ = do(runtime, act, dial_status=dial_status)
    assert network.dialled[0][0] == "sip:anna@desk.example"
    assert network.said == ["Sorry."]


@each_runtime
def test_a_transfer_may_cut_what_the_agent_says(runtime: str) -> None:
    async def act(call: Call) -> bool:
        return await call.transfer(THIRD, after_playback=False)

    network, results = do(runtime, act)
    assert results == [True]
    assert network.dialled


@each_runtime
def test_a_transfer_of_a_caller_who_has_hung_up_is_none(runtime: str) -> None:
    async def act(call: Call) -> bool:
        network.line.hang_up()
        return await call.transfer(THIRD)

    network, results = PhoneNetwork(runtime), list[Any]()
    call_in(network, acting(act, results))
    assert results == [False]
    assert network.dialled == []


@each_runtime
def test_a_transfer_that_meets_the_hang_up_is_none(runtime: str) -> None:
    async def act(call: Call) -> bool:
        network.api.answers.append(error(400, 21220, "Call is not in-progress"))
        transferred = await call.transfer(THIRD, after_playback=False)
        network.line.hang_up()
        return transferred

    network, results = PhoneNetwork(runtime), list[Any]()
    call_in(network, acting(act, results))
    assert results == [False]


@each_runtime
def test_another_refusal_of_twilio_is_raised(runtime: str) -> None:
    async def act(call: Call) -> bool:
        network.api.answers.append(error(401, 20003))
        return await call.transfer(THIRD, after_playback=False)

    network, results = PhoneNetwork(runtime), list[Any]()
    call_in(network, acting(act, results))
    assert isinstance(results[0], TwilioApiError)


@each_runtime
def test_a_number_that_is_none_is_refused(runtime: str) -> None:
    _, results = do(runtime, lambda call: call.transfer("0171 123"))
    assert "E.164" in str(results[0])


@pytest.mark.usefixtures("without_account")
def test_a_transfer_without_a_way_says_what_to_do() -> None:
    _, results = do("trio", lambda call: call.transfer(THIRD))
    assert "--ask-after-stream" in str(results[0])


@pytest.mark.parametrize(
    ("number", "content"),
    [
        (TO, "<Number>+15005550006</Number>"),
        ("sip:a&b@host", "<Sip>sip:a&amp;b@host</Sip>"),
        ("client:desk", "<Client>desk</Client>"),
    ],
)
def test_the_twiml_of_a_transfer_is_escaped(number: str, content: str) -> None:
    twiml = transfer_twiml(number, action='https://calls.example/after-dial?a="1"&b=2')
    assert content in twiml
    assert "&amp;b=2" in twiml


# Redirections and recordings


@each_runtime
@pytest.mark.parametrize("target", ["<Response><Say>Bye.</Say></Response>", "/farewell"])
def test_a_call_is_redirected(target: str, runtime: str) -> None:
    network, results = PhoneNetwork(runtime), list[Any]()

    async def act(call: Call) -> bool:
        where = target if target.startswith("<") else network.url + target
        return await call.redirect(where)

    call_in(network, acting(act, results))
    assert results == [True]
    form = network.api.requests[-1].form
    assert form == ({"Twiml": target} if target[0] == "<" else {"Url": network.url + target})


@each_runtime
def test_a_call_is_recorded_with_a_pause(runtime: str) -> None:
    network, results, seen = PhoneNetwork(runtime), list[Any](), list[Any]()

    async def act(call: Call) -> None:
        call.watch(lambda event: seen.append(event) if is_report(event) else None)
        recording = await call.record()
        await recording.pause()
        await recording.resume()
        await recording.stop()
        fields = {"RecordingSid": recording.sid, "RecordingStatus": "completed"}
        url = network.api.requests[0].form["RecordingStatusCallback"]
        await network.post(url, network.line.fields(**fields, RecordingDuration="9"))
        call.send(HangUp())

    def is_report(event: object) -> bool:
        return isinstance(event, TwilioRecordingStatus)

    call_in(network, acting(act, results))
    forms = [each.form for each in network.api.requests]
    assert [form.get("Status") for form in forms] == [None, "paused", "in-progress", "stopped"]
    assert [(each.status, each.duration_s) for each in seen] == [("completed", 9)]


def test_a_call_outside_of_a_service_cannot_be_recorded() -> None:
    failures = list[Exception]()

    async def agent(call: Call) -> None:
        try:
            await call.record()
        except LocalProtocolError as caught:
            failures.append(caught)

    async def script(harness: AgentHarness) -> None:
        await run_ready_tasks()
        harness.hang_up()

    AgentHarness("trio", agent).run(script)
    assert "not one of Twilio's" in str(failures[0])


# What follows playback


@each_runtime
def test_a_command_and_a_function_follow_playback(runtime: str) -> None:
    seen = list[Any]()

    async def note(text: str) -> None:
        seen.append(text)

    async def agent(call: Call) -> None:
        call.after_playback(Mute())
        call.after_playback(note, "heard")
        async for event in call:
            seen.append(event)

    async def script(harness: AgentHarness) -> None:
        await run_ready_tasks()
        names = [
            each.name
            for each in harness.connection.commands
            if isinstance(each, NotifyAfterPlayback)
        ]
        for name in names:
            harness.notify(AllHeard(name))
        harness.notify(AllHeard("mine"))
        await run_ready_tasks()
        harness.hang_up()

    harness = AgentHarness(runtime, agent).run(script)
    assert isinstance(harness.connection.commands[-1], Mute)
    assert "heard" in seen
    assert [each for each in seen if isinstance(each, AllHeard)] == [AllHeard("mine")]
    assert harness.errors == []


@each_runtime
def test_the_end_of_a_call_ends_the_wait_for_playback(runtime: str) -> None:
    results = list[bool]()

    async def agent(call: Call) -> None:
        results.append(await call.wait_for_playback())
        results.append(await call.wait_for_playback())

    async def script(harness: AgentHarness) -> None:
        await run_ready_tasks()
        harness.hang_up()

    AgentHarness(runtime, agent).run(script)
    assert results == [False, False]


@each_runtime
def test_a_call_goes_on_after_the_wait_for_playback(runtime: str) -> None:
    async def act(call: Call) -> bool:
        started = [event for event in heard if isinstance(event, PlaybackStarted)]
        call.watch(heard.append)
        goes_on = await call.wait_for_playback()
        finished = any(isinstance(each, PlaybackFinished) for each in heard)
        call.send(HangUp())
        return goes_on and finished and not started

    heard = list[object]()
    _, results = do(runtime, act)
    assert results == [True]


def test_a_command_with_arguments_is_refused() -> None:
    failures = list[Exception]()

    async def agent(call: Call) -> None:
        try:
            call.after_playback(HangUp(), 1)
        except LocalProtocolError as caught:
            failures.append(caught)

    async def script(harness: AgentHarness) -> None:
        await run_ready_tasks()
        harness.hang_up()

    AgentHarness("asyncio", agent).run(script)
    assert failures


def test_a_command_that_cannot_follow_ends_the_call() -> None:
    ends = list[EndReason]()

    async def agent(call: Call) -> None:
        call.after_playback("no command")  # type: ignore[arg-type]
        async for event in call:
            if isinstance(event, CallEnded):
                ends.append(event.reason)

    call_in(PhoneNetwork("trio"), agent)
    assert ends == [EndReason.HUNG_UP]


# Keys


def collect(runtime: str, keys: str, **options: Any) -> tuple[str, AgentHarness]:
    """Return what is collected while these keys are pressed; `!` is the end of the call."""
    results = list[str]()

    async def agent(call: Call) -> None:
        results.append(await call.collect_keys(4, **options))
        call.send(Mute())

    async def script(harness: AgentHarness) -> None:
        await run_ready_tasks()
        for key in keys.rstrip("!"):
            harness.notify(KeyPressed(key))
            await run_ready_tasks()
        if not keys.endswith("!"):
            await anyio.sleep(60)
        harness.hang_up()

    harness = AgentHarness(runtime, agent).run(script)
    return results[0], harness


@each_runtime
@pytest.mark.parametrize(
    ("keys", "collected"),
    [("12345", "1234"), ("12#34", "12"), ("12", "12"), ("12!", "12"), ("!", ""), ("#", "")],
)
def test_keys_are_collected(keys: str, collected: str, runtime: str) -> None:
    assert collect(runtime, keys)[0] == collected


def test_the_model_hears_silence_while_keys_are_collected() -> None:
    _, harness = collect("trio", "1234")
    kinds = [type(each).__name__ for each in harness.connection.commands]
    assert kinds[:3] == ["Mute", "Unmute", "Mute"]


def commands_of_two_collectors(*sent: Command) -> list[str]:
    """The mutes of a call in which one collector ends while another collects, after `sent`."""

    async def agent(call: Call) -> None:
        for each in sent:
            call.send(each)
        call.start_soon(call.collect_keys, 1)
        call.start_soon(call.collect_keys, 3)
        await anyio.sleep(10)
        call.send(PressKeys("9"))

    async def script(harness: AgentHarness) -> None:
        await run_ready_tasks()
        for key in "12":
            harness.notify(KeyPressed(key))
            await run_ready_tasks()
        await anyio.sleep(20)
        harness.notify(KeyPressed("3"))
        await run_ready_tasks()
        harness.hang_up()

    harness = AgentHarness("trio", agent).run(script)
    return [type(each).__name__ for each in harness.connection.commands]


def test_the_caller_is_muted_while_any_collector_collects() -> None:
    assert commands_of_two_collectors() == ["Mute", "PressKeys", "Unmute"]


def test_a_caller_muted_by_the_application_stays_muted() -> None:
    assert commands_of_two_collectors(Mute()) == ["Mute", "PressKeys"]
    assert commands_of_two_collectors(Mute(), Unmute()) == [
        *("Mute", "Unmute"),
        *("Mute", "PressKeys", "Unmute"),
    ]


@pytest.mark.parametrize("is_muted", [True, False])
def test_a_person_who_answers_is_unmuted_unless_muted(*, is_muted: bool) -> None:
    sent = list[str]()
    call = Call(
        STARTED,
        lambda command: sent.append(type(command).__name__),
        control=CallControl(detects_machines=True),
    )
    if is_muted:
        call.send(Mute())
    greet_when_answered(call, lambda: sent.append("greeting"), lambda: sent.append("message"))
    call.notify(PhoneCallAnswered("CA1", AnsweredBy.HUMAN))
    assert sent == ["Mute", *([] if is_muted else ["Unmute"]), "greeting"]


@pytest.mark.parametrize(
    ("command", "expected"), [(Mute(), ["Mute"]), (Unmute(), ["Mute", "Unmute"])]
)
def test_mutes_while_keys_are_collected_apply_afterwards(
    command: Command, expected: list[str]
) -> None:
    async def agent(call: Call) -> None:
        call.send(Mute())
        call.start_soon(call.collect_keys, 1)
        await run_ready_tasks()
        call.send(command)

    async def script(harness: AgentHarness) -> None:
        await run_ready_tasks()
        await anyio.sleep(1)
        assert len(harness.connection.commands) == 1
        harness.notify(KeyPressed("1"))
        await run_ready_tasks()
        harness.hang_up()

    harness = AgentHarness("trio", agent).run(script)
    assert [type(each).__name__ for each in harness.connection.commands] == expected


def test_without_an_end_key_all_keys_count() -> None:
    assert collect("asyncio", "1#2#", end_key=None)[0] == "1#2#"
