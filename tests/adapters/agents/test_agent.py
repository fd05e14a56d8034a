"""An `Agent`, in simulated calls on both runtimes."""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from twilio_realtime import Agent, CallEnded, CallHandler, HangUp, IncomingCall, KeyPressed
from twilio_realtime.agents.agent import MAX_GREETING_CLIP_SAMPLES, resolve_call_config
from twilio_realtime.agents.call import Call
from twilio_realtime.agents.hooks import FunctionAgent
from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.audio import encode_wav
from twilio_realtime.sim.model.replies import ResponseRequest
from twilio_realtime.testing.model import function_call
from twilio_realtime.testing.phone_call import PhoneCall
from twilio_realtime.testing.virtual_time import RUNTIMES
from twilio_realtime_core import CallConfig, LocalProtocolError, Peer, SessionConfig
from twilio_realtime_core.config.fields import UNSET
from twilio_realtime_core.notifications import ClipFinished, EndReason
from twilio_realtime_core.transport.http import HttpRequest, Upgrade

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)

CLIP = sample_speech.load("agent_greeting").audio[:4000]


def pizza_agent() -> Agent:
    """The first agent of the documentation."""
    agent = Agent(
        instructions="You answer for a pizza shop. Be brief.",
        voice="marin",
        greeting="Greet the caller.",
    )

    @agent.function
    async def opening_hours(day: str) -> str:
        """When the shop is open on a day of the week."""
        return "closed" if day == "Sunday" else "9 to 5"

    assert opening_hours.__name__ == "opening_hours"
    return agent


def run_call(
    agent: CallHandler,
    script: Callable[[PhoneCall], Awaitable[object]],
    runtime: str = "asyncio",
    config: CallConfig | None = None,
) -> PhoneCall:
    call = PhoneCall(agent=agent, runtime=runtime, config=config or CallConfig())
    call.run(script)
    return call


@each_runtime
def test_the_first_agent_greets_and_answers_with_its_function(runtime: str) -> None:
    async def script(call: PhoneCall) -> None:
        call.model.respond_with("Good evening!", function_call("opening_hours", day="Sunday"))
        call.model.respond_with("We are closed on Sunday.")
        await call.listen()
        await call.say("Are you open on Sunday?")
        await call.listen()

    call = run_call(pizza_agent(), script, runtime)
    assert call.model.function_outputs == ["closed"]
    assert [line.words for line in call.transcript] == [
        "Good evening!",
        "Are you open on Sunday?",
        "We are closed on Sunday.",
    ]


def test_the_session_has_instructions_voice_and_functions() -> None:
    config = resolve_call_config(pizza_agent(), CallConfig())
    session = config.session.to_update_event().session
    assert session["instructions"] == "You answer for a pizza shop. Be brief."
    assert session["audio"]["output"]["voice"] == "marin"
    (tool,) = session["tools"]
    assert tool["name"] == "opening_hours"
    assert tool["description"] == "When the shop is open on a day of the week."


def test_the_greeting_is_added_to_the_instructions_of_the_first_response() -> None:
    requests: list[ResponseRequest] = []

    def respond(request: ResponseRequest) -> str:
        requests.append(request)
        return "Good evening!"

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(respond)
        await call.listen()

    run_call(pizza_agent(), script)
    (request,) = requests
    assert request.params["instructions"] == (
        "You answer for a pizza shop. Be brief.\n\nGreet the caller."
    )


class Markup(str):
    """Text of a template engine: a subclass of `str`."""


@pytest.mark.parametrize(
    ("agent", "instructions"),
    [
        (Agent(greeting="Greet."), "Greet."),
        (Agent(greeting=Markup("Greet.")), "Greet."),
        (Agent("", greeting="Greet."), "Greet."),
        (
            Agent(
                greeting="Greet.", config=CallConfig(session=SessionConfig(instructions="Be kind."))
            ),
            "Be kind.\n\nGreet.",
        ),
    ],
)
def test_a_greeting_goes_with_what_instructions_there_are(agent: Agent, instructions: str) -> None:
    requests: list[ResponseRequest] = []

    def respond(request: ResponseRequest) -> str:
        requests.append(request)
        return "Hello!"

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(respond)
        await call.listen()

    run_call(agent, script)
    assert [each.params["instructions"] for each in requests] == [instructions]


def test_without_a_greeting_the_caller_speaks_first() -> None:
    async def script(call: PhoneCall) -> None:
        call.model.respond_with("Hello!")
        await call.wait(ms=2000)

    assert run_call(Agent("Be brief."), script).heard_ms == 0


@each_runtime
def test_a_greeting_clip_is_played_before_the_greeting(runtime: str) -> None:
    async def script(call: PhoneCall) -> None:
        call.model.respond_with("How can I help?")
        await call.listen()

    agent = Agent(greeting="Greet.", greeting_clip=CLIP)
    call = run_call(agent, script, runtime)
    (clip,) = [each for each in call.notifications if isinstance(each, ClipFinished)]
    assert (clip.name, clip.heard_ms) == ("greeting", len(CLIP) // 8)
    assert [each.words for each in call.heard_speech] == ["How can I help?"]
    assert call.heard_ms >= len(CLIP) // 8 + 4 * 300


@pytest.mark.parametrize("as_path", [False, True])
def test_a_clip_may_be_a_wav_file(tmp_path: Path, *, as_path: bool) -> None:
    path = tmp_path / "greeting.wav"
    path.write_bytes(encode_wav(CLIP))
    agent = Agent(greeting_clip=path if as_path else path.read_bytes())
    assert agent.greeting_clip == CLIP


@pytest.mark.parametrize(
    ("clip", "reason"),
    [
        (b"", "0 samples"),
        (bytes(MAX_GREETING_CLIP_SAMPLES + 1), "480001 samples: use 1 to 480000"),
        (b"RIFF....WAVEfmt ", "not a WAV file"),
    ],
)
def test_a_clip_that_cannot_be_played_is_refused(clip: bytes, reason: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"Agent.greeting_clip.*{reason}"):
        Agent(greeting_clip=clip)


def test_a_file_that_is_no_wav_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "greeting.mp3"
    path.write_bytes(CLIP)
    with pytest.raises(LocalProtocolError, match="not a WAV file"):
        Agent(greeting_clip=path)


def test_a_value_that_the_session_cannot_have_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="voice"):
        Agent(voice="")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"greeting": 5}, "greeting must be text, or None, not int"),
        ({"voicemail": b"x"}, "voicemail must be text, or None, not bytes"),
        ({"on_error": 5}, "on_error must be callable, not int"),
        ({"config": {}}, "config must be CallConfig, or None, not dict"),
        ({"greeting_clip": 5}, "greeting_clip must be bytes, or the path of a file, or None, not"),
        ({"greeting_clip": bytearray(b"x")}, "greeting_clip must be .*, not bytearray"),
    ],
)
def test_fields_of_an_agent_have_their_types(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(LocalProtocolError, match=rf"^Agent\.{message}"):
        Agent(**fields)


def test_hooks_of_an_agent_are_functions() -> None:
    wrong: Any = 5
    with pytest.raises(LocalProtocolError, match=r"Agent\.incoming_handler must be callable"):
        Agent().incoming(wrong)
    with pytest.raises(LocalProtocolError, match=r"FunctionAgent\.function must be callable"):
        FunctionAgent(wrong)


@each_runtime
def test_handlers_get_the_notifications_of_the_call(runtime: str) -> None:
    agent = Agent("Be brief.")
    ends: list[CallEnded] = []

    @agent.on(KeyPressed)
    def key_pressed(call: Call, event: KeyPressed) -> None:
        call.send(HangUp())

    @agent.on(CallEnded)
    async def ended(call: Call, event: CallEnded) -> None:
        ends.append(event)

    async def script(call: PhoneCall) -> None:
        await call.press_keys("0")
        await call.wait_for_end()

    run_call(agent, script, runtime)
    assert [each.reason for each in ends] == [EndReason.HUNG_UP]


def test_fields_of_the_agent_take_precedence_over_its_config() -> None:
    tool = {"type": "function", "name": "of_config", "parameters": {"type": "object"}}
    session = SessionConfig(instructions="Of the config.", voice="cedar", speed=1.2, tools=(tool,))
    config = CallConfig(session=session, model="of-config", notify_agent_audio=True)
    agent = Agent("Of the agent.", model="of-agent", config=config)

    @agent.function(name="of_agent", timeout_ms=5)
    def function() -> None: ...

    resolved = agent.call_config(CallConfig(model="of-base", start_timeout_ms=1000))
    assert resolved.model == "of-agent"
    assert resolved.notify_agent_audio
    assert resolved.start_timeout_ms == CallConfig().start_timeout_ms
    assert (resolved.session.instructions, resolved.session.voice, resolved.session.speed) == (
        "Of the agent.",
        "cedar",
        1.2,
    )
    tools = resolved.session.to_update_event().session["tools"]
    assert [each["name"] for each in tools] == ["of_config", "of_agent"]
    assert config.session is session  # nothing has changed


def test_without_a_config_that_of_the_service_is_used() -> None:
    base = CallConfig(session=SessionConfig(voice="cedar"), start_timeout_ms=1000, model="m")
    resolved = Agent("Be brief.").call_config(base)
    assert (resolved.model, resolved.start_timeout_ms) == ("m", 1000)
    assert resolved.session.voice == "cedar"
    assert resolved.session.tools is UNSET


def test_the_url_of_the_service_takes_precedence() -> None:
    local = CallConfig(url="ws://127.0.0.1:5051/v1/realtime")
    agent = Agent(config=CallConfig(url="wss://model.example/v1/realtime"))
    assert agent.call_config(local).url == local.url
    assert agent.call_config(CallConfig()).url == "wss://model.example/v1/realtime"


def test_a_function_that_is_no_agent_has_the_config_of_the_service() -> None:
    async def agent(call: Call) -> None: ...

    base = CallConfig(model="m")
    assert resolve_call_config(agent, base) is base


def test_a_function_that_fails_is_logged_without_its_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = Agent()

    @agent.function
    def fails() -> None:
        raise ValueError("the caller's words")

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(function_call("fails"), "Sorry.")
        await call.say("Hello")
        await call.listen()

    with caplog.at_level(logging.ERROR):
        call = run_call(agent, script)
    assert call.model.function_outputs == ['{"error":"the function has failed"}']
    assert "the function fails failed: ValueError at test_agent.py:" in caplog.text
    assert "words" not in caplog.text


def test_a_service_configures_the_call_as_the_agent_says() -> None:
    upgrade = HttpRequest("GET", "/media-stream", (("host", "localhost"), ("upgrade", "websocket")))
    answer = Service(ServiceConfig()).respond(upgrade, Agent(model="of-agent"))
    assert isinstance(answer, Upgrade)
    machine = answer.machine
    actions = machine.start(0)
    actions += machine.opened(Peer.TWILIO, 0)
    start = '{"event": "start", "streamSid": "MZ1", "start": {"callSid": "CA1", "mediaFormat": {}}}'
    actions += machine.receive_text(Peer.TWILIO, start, 0)
    assert "model=of-agent" in str([getattr(each, "url", "") for each in actions])


def test_a_configuration_decided_for_a_call_takes_precedence() -> None:
    agent = Agent("Of the agent.", voice="marin", model="of-agent")

    @agent.function
    def function() -> None: ...

    decided = CallConfig(session=SessionConfig(instructions="Of the call."), start_timeout_ms=1000)
    resolved = resolve_call_config(agent, CallConfig(model="of-base"), decided)
    assert (resolved.model, resolved.start_timeout_ms) == ("of-agent", 1000)
    assert (resolved.session.instructions, resolved.session.voice) == ("Of the call.", "marin")
    assert [each["name"] for each in resolved.session.to_update_event().session["tools"]] == [
        "function"
    ]
    other = resolve_call_config(agent, CallConfig(), CallConfig(model="of-call"))
    assert (other.model, other.session.instructions) == ("of-call", "Of the agent.")
    assert resolve_call_config(None, CallConfig(), decided) is decided


GATEWAY = "wss://gateway.example/v1/realtime"


async def plain_agent(call: Call) -> None: ...


class Configurer:
    """An agent with a say in the configuration, which starts from the defaults."""

    def call_config(self, base: CallConfig, decided: CallConfig | None = None) -> CallConfig:
        return decided or CallConfig()

    async def __call__(self, call: Call) -> None: ...


@pytest.mark.parametrize("agent", [None, plain_agent, Agent("Be brief."), Configurer()])
@pytest.mark.parametrize("decided", [None, CallConfig(start_timeout_ms=1000)])
def test_a_decision_without_a_url_keeps_the_server(
    agent: CallHandler | None, decided: CallConfig | None
) -> None:
    base = CallConfig(url=GATEWAY, model="deployment")
    config = resolve_call_config(agent, base, decided)
    assert (config.url, config.model) == (GATEWAY, "deployment")


def test_a_decision_without_a_url_keeps_that_of_the_agent() -> None:
    agent = Agent("Be brief.", config=CallConfig(url=GATEWAY, model="deployment"))
    config = resolve_call_config(agent, CallConfig(), CallConfig(start_timeout_ms=1000))
    assert (config.url, config.model) == (GATEWAY, "deployment")


@pytest.mark.parametrize("agent", [None, Agent("Be brief.", model="of-agent")])
def test_a_decision_with_a_url_or_model_keeps_it(agent: CallHandler | None) -> None:
    base = CallConfig(url=GATEWAY, model="deployment")
    elsewhere = CallConfig(url="wss://other.example/v1/realtime", model="of-call")
    config = resolve_call_config(agent, base, elsewhere)
    assert (config.url, config.model) == (elsewhere.url, "of-call")
    config = resolve_call_config(agent, base, CallConfig(model="of-call"))
    assert (config.url, config.model) == (GATEWAY, "of-call")


def test_the_model_of_the_service_goes_with_its_url() -> None:
    base = CallConfig(url=GATEWAY, model="deployment")
    open_config = CallConfig(start_timeout_ms=1000)
    assert Agent(config=open_config).call_config(base).model == "deployment"
    assert Agent(model="of-agent", config=open_config).call_config(base).model == "of-agent"


def test_a_simulated_call_says_who_calls() -> None:
    seen: list[tuple[object, object]] = []
    incoming = IncomingCall(from_="+15005550006")

    async def agent(call: Call) -> None:
        seen.append((call.incoming, call.config))

    async def script(call: PhoneCall) -> None:
        await call.wait(ms=100)

    call = PhoneCall(agent=agent, incoming=incoming)
    call.run(script)
    assert seen == [(incoming, call.config)]
