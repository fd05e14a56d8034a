"""`TwilioRealtimeModel` by itself: what it sends, what it refuses, and how it is found."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from agents import Agent as TextAgent
from agents import WebSearchTool, function_tool
from agents.exceptions import UserError
from agents.realtime import (
    RealtimeAgent,
    RealtimeModelListener,
    RealtimeModelSendAudio,
    RealtimeModelSendInterrupt,
    RealtimeModelSendRawMessage,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
    RealtimeModelToolCallEvent,
    RealtimePlaybackTracker,
    RealtimeRunner,
)

from twilio_realtime.agents.agent import Agent
from twilio_realtime.agents.call import Call
from twilio_realtime.agents.decisions import Reject
from twilio_realtime.agents.failures import ApplicationError
from twilio_realtime.agents.hooks import find_hooks
from twilio_realtime.agents.incoming_call import IncomingCall
from twilio_realtime.agents.required_runtime import check_runtime, required_runtime
from twilio_realtime.errors import UsageError
from twilio_realtime.integrations.openai_agents import (
    AgentsSdkAgent,
    TwilioRealtimeModel,
    from_agents_sdk,
)
from twilio_realtime.integrations.openai_agents import handler as handler_module
from twilio_realtime.integrations.openai_agents.settings import session_fields
from twilio_realtime.server.agent_loader import check_agent
from twilio_realtime.sim.model.replies import Reply, SpokenReply, TextReply
from twilio_realtime.testing.impairments import Impairments
from twilio_realtime.testing.model import agent_speech, function_call
from twilio_realtime.testing.phone_call import PhoneCall
from twilio_realtime_core import CallConfig, LocalProtocolError
from twilio_realtime_core.notifications import CallEnded, EndReason, SessionReady, SessionRestored

SHOP = RealtimeAgent[Any](name="Shop", instructions="You sell pizza.")


class Listener(RealtimeModelListener):
    def __init__(self) -> None:
        self.events: list[Any] = []

    async def on_event(self, event: Any) -> None:
        self.events.append(event)

    def of(self, kind: str) -> list[Any]:
        return [each for each in self.events if each.type == kind]


class ModelAgent:
    """An agent that connects a model, does something with it, and waits for the end of the call.
    The configuration of the call is that of `AgentsSdkAgent`, unless `is_plain`."""

    def __init__(
        self,
        act: Callable[[TwilioRealtimeModel, Listener], Awaitable[object]],
        options: Any = None,
        *,
        is_plain: bool = False,
    ) -> None:
        self.act, self.is_plain = act, is_plain
        self.options: Any = {} if options is None else options
        self.listener = Listener()

    def call_config(self, base: CallConfig, decided: CallConfig | None = None) -> CallConfig:
        return base if self.is_plain else from_agents_sdk(SHOP).call_config(base, decided)

    async def __call__(self, call: Call) -> None:
        model = TwilioRealtimeModel(call)
        model.add_listener(self.listener)
        model.add_listener(self.listener)
        await model.connect(self.options)
        ended = asyncio.Event()
        call.watch(lambda event: ended.set() if isinstance(event, CallEnded) else None)
        await self.act(model, self.listener)
        if call.ended is None:
            await ended.wait()
        await asyncio.sleep(0.1)  # the model reads the last notifications


def run(
    act: Callable[[TwilioRealtimeModel, Listener], Awaitable[object]],
    *responses: Any,
    options: Any = None,
    is_plain: bool = False,
) -> tuple[PhoneCall, Listener]:
    """Run a call in which the caller asks something once, and `act` runs from the start on."""
    agent = ModelAgent(act, options, is_plain=is_plain)
    call = PhoneCall(agent=agent)
    call.model.respond_with(*responses)

    async def script(call: PhoneCall) -> None:
        await call.wait(ms=1000)
        await call.say("What do you sell?")
        await call.listen()

    call.run(script)
    return call, agent.listener


async def do_nothing(model: TwilioRealtimeModel, listener: Listener) -> None:
    """The call takes its course."""


def texts_of(call: PhoneCall) -> list[Any]:
    return [
        part
        for item in call.model.conversation
        if item.role == "user"
        for part in item.content or ()
        if part["type"] in ("input_text", "input_image")
    ]


def session_of(call: PhoneCall) -> dict[str, Any]:
    ready = [each for each in call.notifications if isinstance(each, SessionReady)]
    return ready[-1].session


# What is emitted


def test_events_come_in_order_and_once() -> None:
    _, listener = run(do_nothing, "We sell pizza")
    kinds = [each.type for each in listener.events]
    raw = listener.of("raw_server_event")
    assert raw[0].data["type"] == "session.created"
    assert kinds.count("turn_started") == kinds.count("turn_ended") == 1
    assert kinds.index("turn_started") < kinds.index("audio") < kinds.index("audio_done")
    assert kinds.index("usage") < kinds.index("turn_ended")
    assert kinds[-2:] == ["connection_status", "end_of_stream"]
    before = kinds.index("turn_started") - 1
    assert listener.events[before].data["type"] == "response.created"


def test_text_is_emitted_as_text() -> None:
    _, listener = run(do_nothing, Reply((TextReply("Not spoken"),)))
    assert "".join(each.delta for each in listener.of("output_text_delta")) == "Not spoken"
    assert listener.of("transcript_delta") == []


def test_a_refused_request_is_an_error_that_ends_nothing() -> None:
    async def act(model: TwilioRealtimeModel, listener: Listener) -> None:
        message: Any = {"type": "conversation.item.delete", "other_data": {"item_id": "absent"}}
        await model.send_event(RealtimeModelSendRawMessage(message))

    call, listener = run(act, "Still here")
    assert len(listener.of("error")) == 1
    assert call.heard_speech[-1].words == "Still here"


@pytest.mark.parametrize("seed", [10, 13, 21])
def test_an_event_that_is_no_json_is_emitted_as_text(seed: int) -> None:
    agent = ModelAgent(do_nothing)
    impairments = Impairments.seeded(seed, "server events no JSON")
    call = PhoneCall(agent=agent, impairments=impairments)
    call.model.respond_with("We sell pizza")

    async def script(call: PhoneCall) -> None:
        await call.wait(ms=1000)
        await call.say("What do you sell?")
        await call.wait(ms=2000)

    call.run(script)
    raw = [each.data for each in agent.listener.of("raw_server_event")]
    assert any(isinstance(each, str) and each.startswith('{"type":') for each in raw)
    assert isinstance(raw[-1], dict)
    assert agent.listener.of("exception") == []


def test_a_lost_session_is_replaced_and_ends_nothing() -> None:
    agent = ModelAgent(do_nothing)
    call = PhoneCall(agent=agent, impairments=Impairments(("a session that expires",)))
    kinds: list[str] = []

    async def script(call: PhoneCall) -> None:
        await call.wait_for(SessionRestored)
        await call.wait(ms=50)
        kinds.extend(each.type for each in agent.listener.events)

    call.run(script)
    statuses = [each.status for each in agent.listener.of("connection_status")]
    assert statuses[:3] == ["connected", "connecting", "connected"]
    assert "end_of_stream" not in kinds
    assert agent.listener.events[-1].type == "end_of_stream"


def test_the_session_ends_when_the_agent_returns() -> None:
    listener = Listener()

    async def agent(call: Call) -> None:
        model = TwilioRealtimeModel(call)
        model.add_listener(listener)
        await model.connect({})

    PhoneCall(agent=agent).run(lambda call: call.wait(ms=2000))
    assert listener.events[-1].type == "end_of_stream"


def test_nothing_is_emitted_after_close() -> None:
    async def act(model: TwilioRealtimeModel, listener: Listener) -> None:
        await model.close()
        await model.close()
        listener.events.clear()

    call, listener = run(act)
    assert listener.events == []
    (ended,) = [each for each in call.notifications if isinstance(each, CallEnded)]
    assert ended.reason is EndReason.HUNG_UP


def test_a_failing_listener_stops_the_session() -> None:
    class Failing(Listener):
        async def on_event(self, event: Any) -> None:
            await super().on_event(event)
            if event.type == "turn_started":
                raise ValueError("what people said")

    failing = Failing()

    async def act(model: TwilioRealtimeModel, listener: Listener) -> None:
        model.add_listener(failing)

    run(act, "Hello")
    assert failing.events[-1].type == "exception"
    assert isinstance(failing.events[-1].exception, ValueError)


def test_a_plain_configuration_works_without_raw_events() -> None:
    settings = {"instructions": "You sell pizza.", "turn_detection": {"type": "server_vad"}}
    options = {"initial_model_settings": settings, "playback_tracker": RealtimePlaybackTracker()}
    call, listener = run(do_nothing, "We sell pizza", options=options, is_plain=True)
    assert listener.of("raw_server_event") == listener.of("audio") == []
    assert session_of(call)["instructions"] == "You sell pizza."
    assert session_of(call)["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    assert call.heard_speech[-1].words == "We sell pizza"


# What is sent


def test_a_message_with_text_and_image_is_sent() -> None:
    content: Any = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        {"type": "of_another_kind"},
    ]

    async def act(model: TwilioRealtimeModel, listener: Listener) -> None:
        message: Any = {"type": "message", "role": "user", "content": content}
        await model.send_event(RealtimeModelSendUserInput(message))

    call, listener = run(act, "A pizza")
    assert [part["type"] for part in texts_of(call)] == ["input_text", "input_image"]
    (item, *_) = listener.of("item_updated")
    assert [part.type for part in item.item.content] == ["input_text", "input_image"]


def test_audio_of_the_program_is_input_audio() -> None:
    async def act(model: TwilioRealtimeModel, listener: Listener) -> None:
        await model.send_event(RealtimeModelSendAudio(bytes(8000)))
        await model.send_event(RealtimeModelSendAudio(b"", commit=True))

    options = {"initial_model_settings": {"turn_detection": None}}
    call, _ = run(act, options=options)
    items = [each for each in call.model.conversation if each.role == "user"]
    assert len(items) == 1


def test_a_conditional_message_yields_to_a_request() -> None:
    results: list[bool] = []

    async def act(model: TwilioRealtimeModel, listener: Listener) -> None:
        message = RealtimeModelSendUserInput("first")
        results.append(await model.send_event_if(message, lambda: False))
        results.append(await model.send_event_if(message, lambda: True))
        results.append(await model.send_event_if(message, lambda: True))
        results.append(await model.send_event_if(RealtimeModelSendInterrupt(), lambda: True))

    call, _ = run(act, "Hello")
    assert results == [False, True, False, False]
    assert [part["text"] for part in texts_of(call)] == ["first"]


@pytest.mark.parametrize(
    "event",
    [
        RealtimeModelSendInterrupt(playback_only=True, force_response_cancel=True),
        RealtimeModelSendInterrupt(playback_only=True, cancel_response_only=True, response_id="r"),
        RealtimeModelSendInterrupt(cancel_response_only=True),
    ],
)
def test_forbidden_interrupts_are_refused(event: RealtimeModelSendInterrupt) -> None:
    async def act(model: TwilioRealtimeModel, listener: Listener) -> None:
        with pytest.raises(ValueError, match=r"playback_only|cancel_response_only"):
            await model.send_event(event)

    run(act)


LONG = " ".join(["cheese"] * 30)


@pytest.mark.parametrize("is_scoped", [True, False])
def test_an_interrupt_stops_speech_at_what_was_heard(*, is_scoped: bool) -> None:
    class Interrupting(Listener):
        model: TwilioRealtimeModel

        async def on_event(self, event: Any) -> None:
            await super().on_event(event)
            is_heard = type(getattr(event, "data", None)).__name__ == "PlaybackStarted"
            if event.type == "other" and is_heard:
                response_id = event.data.response_id if is_scoped else None
                await self.model.send_event(RealtimeModelSendInterrupt(response_id=response_id))

    listener = Interrupting()

    async def act(model: TwilioRealtimeModel, _: Listener) -> None:
        listener.model = model
        model.add_listener(listener)

    call, _ = run(act, LONG)
    assert call.heard_speech[0].heard_ms < 1000
    assert len(listener.of("audio_interrupted")) == 1
    assert call.speech_in_conversation[0].heard_ms == call.heard_speech[0].heard_ms


def test_an_interrupt_of_an_old_response_leaves_the_current_one() -> None:
    class Interrupting(Listener):
        model: TwilioRealtimeModel

        async def on_event(self, event: Any) -> None:
            if type(getattr(event, "data", None)).__name__ == "PlaybackStarted":
                await self.model.send_event(
                    RealtimeModelSendInterrupt(response_id="resp_old", playback_only=True)
                )

    listener = Interrupting()

    async def act(model: TwilioRealtimeModel, _: Listener) -> None:
        listener.model = model
        model.add_listener(listener)

    call, _ = run(act, "We sell pizza")
    assert call.heard_speech[0].words == "We sell pizza"


def test_an_output_for_an_unknown_call_is_refused() -> None:
    async def act(model: TwilioRealtimeModel, listener: Listener) -> None:
        tool_call = RealtimeModelToolCallEvent("f", "call_unknown", "{}")
        with pytest.raises(LocalProtocolError, match="not that of a function call"):
            await model.send_event(RealtimeModelSendToolOutput(tool_call, "x", start_response=True))

    run(act)


def test_a_tool_is_announced_before_it_is_called() -> None:
    _, listener = run(do_nothing, function_call("look_up", what="cheese"))
    (call,) = listener.of("function_call")
    index = listener.events.index(call)
    assert listener.events[index - 1].item.status == "in_progress"
    assert (call.name, call.arguments) == ("look_up", '{"what": "cheese"}')


# What is refused


def test_a_model_is_for_one_run() -> None:
    async def act(model: TwilioRealtimeModel, listener: Listener) -> None:
        with pytest.raises(RuntimeError, match="for one run"):
            await model.connect({})
        await model.close()
        with pytest.raises(RuntimeError, match="for one run"):
            await model.connect({})

    run(act)


def test_two_sessions_of_one_model_are_refused() -> None:
    async def agent(call: Call) -> None:
        model = TwilioRealtimeModel(call)
        runner = RealtimeRunner(SHOP, model=model)
        async with await runner.run():
            with pytest.raises(RuntimeError, match="for one run"):
                await (await runner.run()).enter()

    call = PhoneCall(agent=agent)
    call.run(lambda each: each.wait(ms=1000))


@pytest.mark.parametrize("name", ["api_key", "headers", "call_id"])
def test_options_of_the_service_are_refused(name: str) -> None:
    async def agent(call: Call) -> None:
        options: Any = {name: "x"}
        with pytest.raises(ValueError, match=name):
            await TwilioRealtimeModel(call).connect(options)

    PhoneCall(agent=agent).run(lambda each: each.wait(ms=100))


def test_a_call_that_ends_before_its_session_is_a_connection_error() -> None:
    failures: list[ConnectionError] = []

    async def agent(call: Call) -> None:
        try:
            await TwilioRealtimeModel(call).connect({})
        except ConnectionError as error:
            failures.append(error)

    call = PhoneCall(agent=agent, impairments=Impairments(("a server that refuses",)))
    call.run(lambda each: each.wait_for_end())
    assert "realtime unreachable" in str(failures[0])


def test_an_agent_whose_call_never_gets_ready_returns() -> None:
    call = PhoneCall(
        agent=from_agents_sdk(SHOP), impairments=Impairments(("a server that refuses",))
    )
    call.run(lambda each: each.wait_for_end())


def test_a_connection_error_of_the_application_ends_the_call() -> None:
    def ask_database(context: Any, agent: Any) -> str:
        raise ConnectionRefusedError("the database is away")

    agent = RealtimeAgent[Any](name="Shop", instructions=ask_database)
    call = PhoneCall(agent=from_agents_sdk(agent))
    with pytest.raises(ApplicationError, match="the agent raised ConnectionRefusedError"):
        call.run(lambda each: each.wait_for_end())


def test_nothing_can_be_sent_before_connect() -> None:
    async def agent(call: Call) -> None:
        with pytest.raises(RuntimeError, match="not connected"):
            await TwilioRealtimeModel(call).send_event(RealtimeModelSendUserInput("x"))

    PhoneCall(agent=agent).run(lambda each: each.wait(ms=100))


# Settings


@function_tool
def look_up(what: str) -> str:
    """Look something up."""
    return what


def test_settings_become_fields_of_the_session() -> None:
    settings: Any = {
        "instructions": "Be brief.",
        "modalities": ["text"],
        "output_modalities": ["audio"],
        "voice": "ash",
        "audio": {
            "input": {
                "format": "pcm16",
                "turn_detection": {"type": "server_vad", "silenceDurationMs": 300, "threshold": 1},
                "noise_reduction": None,
            },
            "output": {"voice": "cedar", "speed": 1.2},
        },
        "input_audio_transcription": {"model": "gpt-transcribe"},
        "tool_choice": "look_up",
        "reasoning": {"effort": "low"},
        "max_output_tokens": 100,
        "tools": [look_up],
        "tracing": None,
    }
    fields = session_fields(settings)
    assert [tool["name"] for tool in fields.pop("tools")] == ["look_up"]
    assert fields == {
        "instructions": "Be brief.",
        "output_modalities": ["audio"],
        "voice": "cedar",
        "speed": 1.2,
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 300, "threshold": 1},
        "noise_reduction": None,
        "transcription": {"model": "gpt-transcribe"},
        "tool_choice": {"type": "function", "name": "look_up"},
        "extra_fields": {"reasoning": {"effort": "low"}},
        "max_output_tokens": 100,
    }


def test_a_tool_that_is_no_function_is_refused() -> None:
    with pytest.raises(UserError, match="web_search cannot be used in a call"):
        session_fields({"tools": [WebSearchTool()]})


def test_a_session_update_keeps_what_it_does_not_name() -> None:
    async def act(model: TwilioRealtimeModel, listener: Listener) -> None:
        update: Any = {"instructions": "You bake."}
        await model.send_event(RealtimeModelSendSessionUpdate(update))

    options = {"initial_model_settings": {"instructions": "x", "voice": "cedar", "model_name": "m"}}
    call, _ = run(act, "Hello", options=options)
    session = session_of(call)
    assert (session["instructions"], session["audio"]["output"]["voice"]) == ("You bake.", "cedar")


# How it is found


def test_an_agent_of_the_sdk_is_found_as_one() -> None:
    found = check_agent(SHOP, "shop:agent")
    assert isinstance(found, AgentsSdkAgent)
    assert required_runtime(found) == "asyncio"
    assert required_runtime(Agent()) is None
    check_runtime(found, "asyncio")
    with pytest.raises(UsageError, match="Agents SDK, which needs asyncio"):
        check_runtime(found, "trio")
    with pytest.raises(UsageError, match="Agents SDK, which needs asyncio"):
        PhoneCall(agent=found, runtime="trio").run(lambda call: call.wait(ms=1))


def test_an_agent_of_the_sdk_has_hooks() -> None:
    agent = from_agents_sdk(SHOP)

    @agent.incoming
    def refuse(incoming: IncomingCall) -> Reject:
        return Reject("busy")

    assert find_hooks(agent).incoming_handler is refuse


def test_an_agent_for_text_is_refused() -> None:
    with pytest.raises(UsageError, match="takes a RealtimeAgent of the SDK, and no Agent"):
        check_agent(TextAgent(name="Text"), "shop:agent")


def test_an_sdk_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def old_version(name: str) -> str:
        assert name == "openai-agents"
        return "0.9.1"

    monkeypatch.setattr(handler_module, "version", old_version)
    with pytest.raises(UsageError, match=r"openai-agents 0\.9\.1 is too old"):
        from_agents_sdk(SHOP)


def test_the_audio_is_the_phone_s() -> None:
    speech = agent_speech("We sell pizza", 1)
    _, listener = run(do_nothing, Reply((SpokenReply(speech.audio, "We sell pizza"),)))
    audio = b"".join(each.data for each in listener.of("audio"))
    assert audio == speech.audio
