"""Calls that are placed, over sockets, on both runtimes."""

from functools import partial
from random import randbytes
from typing import Any

import anyio
import pytest

from phone_network import ENVIRONMENT, FROM, TO, PhoneNetwork, run_network
from twilio_api_server import error
from twilio_realtime import (
    Accept,
    Agent,
    AnsweredBy,
    Call,
    CallEnded,
    HangUp,
    PhoneCallAnswered,
    PhoneCallState,
    PhoneCallStatus,
    PlaybackFinished,
    UsageError,
    place_call,
    serving,
)
from twilio_realtime.server.outgoing_calls import (
    OUTGOING_TOKEN_LIFETIME_MS,
    OutgoingCalls,
    OutgoingPlan,
    PlacingRefusedError,
)
from twilio_realtime.server.phone_calls import PhoneCalls
from twilio_realtime.server.stream_tokens import StreamTokens, TokenFault
from twilio_realtime.twilio_api.errors import TwilioApiError
from twilio_realtime_core import LocalProtocolError
from twilio_realtime_core.machine.units import MS

each_runtime = pytest.mark.parametrize("runtime", ["trio", "asyncio"])


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def make_agent(**options: Any) -> Agent:
    """An agent that hangs up once its first words were heard."""
    agent = Agent(greeting="Greet.", voicemail="Leave a message.", **options)

    @agent.on(PlaybackFinished)
    def finished(call: Call, _: PlaybackFinished) -> None:
        call.send(HangUp())

    return agent


async def place(network: PhoneNetwork, agent: Any, **options: Any) -> PhoneCallStatus:
    return await place_call(to=TO, from_=FROM, agent=agent, **network.settings, **options)


@each_runtime
def test_a_call_is_placed_and_its_end_returned(runtime: str) -> None:
    network, events = PhoneNetwork(runtime), list[object]()
    status = run_network(network, partial(place, agent=make_agent(), on_event=events.append))
    assert (status.state, status.duration_s) == (PhoneCallState.COMPLETED, 3)
    states = [event.state.value for event in events if isinstance(event, PhoneCallStatus)]
    assert states == ["initiated", "ringing", "in-progress", "completed"]
    assert network.instructions == ["Greet."]
    assert set(network.statuses) == {200, 204}
    form = network.line.form
    assert (form["To"], form["From"], form["Timeout"]) == (TO, FROM, "30")
    assert "MachineDetection" not in form


@each_runtime
@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed", "canceled"])
def test_a_call_that_nobody_answers_has_its_state(outcome: str, runtime: str) -> None:
    network = PhoneNetwork(runtime, outcome)
    status = run_network(network, partial(place, agent=make_agent()))
    assert status.state is PhoneCallState(outcome)
    assert network.phones == []


@each_runtime
def test_the_greeting_waits_for_a_person(runtime: str) -> None:
    network, seen = PhoneNetwork(runtime), list[object]()
    agent = make_agent()
    agent.on(PhoneCallAnswered)(lambda call, event: seen.append(event.answered_by))
    run_network(network, partial(place, agent=agent, machine_detection=True))
    assert network.instructions == ["Greet."]
    assert seen == [AnsweredBy.HUMAN]
    assert network.line.form["AsyncAmd"] == "true"


@each_runtime
def test_voicemail_gets_words_after_the_beep(runtime: str) -> None:
    network = PhoneNetwork(runtime, answered_by="machine_end_beep")
    agent = Agent(greeting="Greet.", voicemail="Leave a message.")  # it hangs up by itself
    status = run_network(network, partial(place, agent=agent, machine_detection=True))
    assert status.state is PhoneCallState.COMPLETED
    assert network.instructions == ["Leave a message."]


@each_runtime
@pytest.mark.parametrize("answered_by", ["fax", "machine_start"])
def test_a_machine_without_words_for_it_is_hung_up_on(answered_by: str, runtime: str) -> None:
    network = PhoneNetwork(runtime, answered_by=answered_by)
    agent = Agent(greeting="Greet.")
    run_network(network, partial(place, agent=agent, machine_detection=True))
    assert network.instructions == []


@each_runtime
def test_an_agent_gets_what_a_call_is_for(runtime: str) -> None:
    network, seen = PhoneNetwork(runtime), list[Any]()

    async def agent(call: Call) -> None:
        seen.append((call.started.custom_parameters, call.incoming))
        async for event in call:
            seen.append(event)
            if isinstance(event, PhoneCallStatus) and event.state is PhoneCallState.IN_PROGRESS:
                call.send(HangUp())

    run_network(network, partial(place, agent=agent, parameters={"order": "17"}))
    parameters, incoming = seen[0]
    assert parameters == {"order": "17"}
    assert incoming.to == TO
    kinds = [type(event).__name__ for event in seen[1:]]
    assert kinds[:2] == ["CallStarted", "PhoneCallStatus"]
    assert isinstance(seen[-1], CallEnded)


@each_runtime
def test_one_service_places_calls_for_several_agents(runtime: str) -> None:
    network = PhoneNetwork(runtime)
    other = Agent(greeting="Say moo.")
    other.on(PlaybackFinished)(lambda call, _: call.send(HangUp()))

    async def use(_: PhoneNetwork) -> None:
        async with serving(make_agent(), **network.settings) as service:
            for agent in (None, other):
                placed = await service.outgoing_calls.place(to=TO, from_=FROM, agent=agent)
                states = [each.state.value async for each in placed]  # type: ignore[union-attr]
                assert states[-1] == "completed"
                assert placed.is_over

    run_network(network, use)
    assert network.instructions == ["Greet.", "Say moo."]


@each_runtime
def test_a_call_ends_where_its_task_is_cancelled(runtime: str) -> None:
    network = PhoneNetwork(runtime, "ringing")

    async def use(_: PhoneNetwork) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(place, network, make_agent()))
            while len(network.statuses) < 3:
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()

    network.outcome = "ringing"
    run_network(network, use)
    last = network.api.requests[-1]
    assert last.form == {"Status": "completed"}


# Tokens


@each_runtime
def test_a_token_of_a_placed_call_is_valid_once(runtime: str) -> None:
    network = PhoneNetwork(runtime)

    async def use(_: PhoneNetwork) -> list[str]:
        async with serving(make_agent(), **network.settings) as service:
            placed = await service.outgoing_calls.place(to=TO, from_=FROM)
            await placed.wait()
            line = network.line
            again = await network.post(line.form["Url"], line.fields())
            forged = await network.post("/outgoing-call/" + 32 * "x", line.fields())
            return [again, forged]

    assert run_network(network, use) == ["", ""]
    assert network.statuses[-2:] == [403, 403]


def test_a_token_of_a_placed_call_expires() -> None:
    now = [0]
    tokens = StreamTokens[OutgoingPlan](OUTGOING_TOKEN_LIFETIME_MS, randbytes, lambda: now[0])
    calls = OutgoingCalls(None, None, lambda: None, PhoneCalls(), tokens)
    plan = OutgoingPlan(Accept())
    one, other = tokens.issue(plan), tokens.issue(plan)
    now[0] = OUTGOING_TOKEN_LIFETIME_MS * MS - 1
    assert calls.take_plan(one) is plan
    assert calls.take_plan(one) is TokenFault.USED
    now[0] += 1
    assert calls.take_plan(other) is TokenFault.EXPIRED


# What is refused


@each_runtime
def test_refusals_of_twilio_are_raised(runtime: str) -> None:
    network = PhoneNetwork(runtime)
    network.api.answers.append(error(400, 21215, f"not permitted to call {TO}"))
    with pytest.raises(TwilioApiError, match="Geographic permissions") as caught:
        run_network(network, partial(place, agent=make_agent()))
    assert TO not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "kind", "reason"),
    [
        ({"to": "12"}, LocalProtocolError, "E.164"),
        ({"public_url": None}, UsageError, "--public-url"),
        ({"max_calls": 1, "taken": 1}, PlacingRefusedError, "1 calls"),
    ],
)
def test_a_call_that_cannot_be_placed_is_refused(
    options: dict[str, Any], kind: type[Exception], reason: str
) -> None:
    network = PhoneNetwork("asyncio")
    taken = options.pop("taken", 0)
    to = options.pop("to", TO)

    async def use(_: PhoneNetwork) -> None:
        async with serving(make_agent(), **(network.settings | options)) as service:
            for _number in range(taken):
                await network.post("/incoming-call", {"CallSid": "CA1"})
            await service.outgoing_calls.place(to=to, from_=FROM)

    with pytest.raises(kind, match=reason):
        run_network(network, use)


def test_placing_a_call_needs_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWILIO_ACCOUNT_SID")
    with pytest.raises(UsageError, match="TWILIO_ACCOUNT_SID"):
        run_network(PhoneNetwork("trio"), partial(place, agent=make_agent()))
