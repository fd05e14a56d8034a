"""Agents of the Agents SDK in simulated calls, with the SDK's own session and tasks: the situations
that its integration tests hold in text, in audio and over the phone."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from agents import (
    GuardrailFunctionOutput,
    OutputGuardrail,
    RunContextWrapper,
    function_tool,
)
from agents.realtime import RealtimeAgent, RealtimeSession, realtime_handoff
from agents.tool_context import ToolContext
from agents.tool_guardrails import ToolGuardrailFunctionOutput, ToolInputGuardrail
from attrs import define, field

from twilio_realtime.agents.call import Call
from twilio_realtime.integrations.openai_agents import AgentsSdkAgent, from_agents_sdk
from twilio_realtime.testing.model import function_call
from twilio_realtime.testing.phone_call import PhoneCall
from twilio_realtime_core import HangUp
from twilio_realtime_core.notifications import EndReason, Interrupted

PCMU = {"type": "audio/pcmu"}
Script = Callable[[PhoneCall], Awaitable[object]]


@define(eq=False)
class Observed:
    """The events of the session, and the session."""

    events: list[Any] = field(factory=list[Any])
    sessions: list[RealtimeSession] = field(factory=list[RealtimeSession])
    react: Callable[[RealtimeSession, Any], Awaitable[None]] | None = None

    async def __call__(self, call: Call, session: RealtimeSession, event: Any) -> None:
        self.events.append(event)
        if session not in self.sessions:
            self.sessions.append(session)
        if self.react is not None:
            await self.react(session, event)

    @property
    def types(self) -> list[str]:
        return [each.type for each in self.events]

    def of(self, kind: str) -> list[Any]:
        return [each for each in self.events if each.type == kind]

    def model_events(self, kind: str) -> list[Any]:
        raw = [each.data for each in self.of("raw_model_event")]
        return [each for each in raw if each.type == kind]

    @property
    def history(self) -> list[Any]:
        history: list[Any] = []
        for event in self.events:
            if event.type == "history_updated":
                history = list(event.history)
            elif event.type == "history_added":
                history.append(event.item)
        return history

    @property
    def said(self) -> list[tuple[str, str]]:
        """Who said what, in the history."""
        return [
            (item.role, " ".join(part.transcript or "" for part in item.content))
            for item in self.history
            if item.type == "message"
        ]


@function_tool
def opening_hours(day: str) -> str:
    """Say when the shop is open.

    Args:
        day: A day of the week.
    """
    return "closed" if day == "Sunday" else "9 to 5"


def shop(**fields: Any) -> RealtimeAgent[Any]:
    settings: dict[str, Any] = {"name": "Shop", "instructions": "You sell pizza.", **fields}
    return RealtimeAgent(**settings)


def run(agent: RealtimeAgent[Any], script: Script, **options: Any) -> tuple[PhoneCall, Observed]:
    """Run a simulated call with an agent of the SDK; options are those of `from_agents_sdk`."""
    observed = options.pop("observed", None) or Observed()
    handler: AgentsSdkAgent = from_agents_sdk(agent, on_event=observed, **options)
    call = PhoneCall(agent=handler)
    call.run(script)
    assert call.model.errors == []
    return call, observed


# The ten situations


async def ask_once(call: PhoneCall) -> None:
    call.model.respond_with("We sell pizza with cheese")
    await call.say("What do you sell?")
    await call.listen()


def test_a_spoken_answer_is_heard_and_in_the_history() -> None:
    call, observed = run(shop(), ask_once)
    assert [each.words for each in call.heard_speech] == ["We sell pizza with cheese"]
    assert observed.types.count("agent_start") == observed.types.count("agent_end") == 1
    assert observed.said[1] == ("assistant", "We sell pizza with cheese")
    assert observed.types.count("audio_end") == 1
    audio = b"".join(each.data for each in observed.model_events("audio"))
    assert len(audio) == 8 * 5 * 300  # five words, G.711


def test_a_tool_is_called_once_with_its_arguments() -> None:
    async def script(call: PhoneCall) -> None:
        call.model.respond_with(function_call("opening_hours", day="Sunday"), "We are closed")
        await call.say("Are you open on Sunday?")
        await call.listen()

    call, observed = run(shop(tools=[opening_hours]), script)
    assert call.model.function_outputs == ["closed"]
    (start,), (end,) = observed.of("tool_start"), observed.of("tool_end")
    assert json.loads(start.arguments) == {"day": "Sunday"}
    assert (start.tool.name, end.output) == ("opening_hours", "closed")
    assert call.heard_speech[-1].words == "We are closed"
    (item,) = [each for each in observed.history if each.type == "function_call"]
    assert (item.status, item.output) == ("completed", "closed")


class Markup(str):
    """Text of a template engine: a subclass of `str`."""


def test_text_of_a_subclass_is_taken_as_text() -> None:
    @function_tool
    def page() -> str:
        """Show the page."""
        return Markup("<b>open</b>")

    async def script(call: PhoneCall) -> None:
        call.model.respond_with("Hello", function_call("page"), "We are open")
        await call.listen()
        await call.say("Are you open?")
        await call.listen()

    def instructions(context: Any, agent: Any) -> str:
        return Markup("You sell pizza.")

    agent = shop(instructions=instructions, tools=[page])
    call, _ = run(agent, script, greeting=Markup("Greet the caller."))
    assert effective_session(call)["instructions"] == "You sell pizza."
    assert call.model.function_outputs == ["<b>open</b>"]
    assert [each.words for each in call.heard_speech] == ["Hello", "We are open"]


def test_the_history_has_several_turns_in_order() -> None:
    async def script(call: PhoneCall) -> None:
        call.model.respond_with("Hello", "Goodbye")
        for words in ("Hi there", "That was all"):
            await call.say(words)
            await call.listen()

    _, observed = run(shop(), script)
    assert observed.said == [
        ("user", "Hi there"),
        ("assistant", "Hello"),
        ("user", "That was all"),
        ("assistant", "Goodbye"),
    ]


def test_usage_is_reported_for_each_turn_and_adds_up() -> None:
    async def script(call: PhoneCall) -> None:
        call.model.respond_with("Hello", "Goodbye")
        for words in ("Hi there", "That was all"):
            await call.say(words)
            await call.listen()

    call, observed = run(shop(), script)
    usages = [each.usage for each in observed.model_events("usage")]
    total = observed.events[-1].info.context.usage
    assert len(usages) == total.requests == 2
    assert total.total_tokens == sum(each.total_tokens for each in usages) > 0
    (ended,) = [each for each in call.notifications if type(each).__name__ == "CallEnded"]
    assert total.output_tokens == ended.usage.output.total  # type: ignore[union-attr]


def test_a_handoff_activates_the_other_agent_and_keeps_the_format() -> None:
    baker = RealtimeAgent[Any](
        name="Baker", instructions="You bake.", handoff_description="Bakes pizza."
    )

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(function_call("transfer_to_baker"), "I bake")
        await call.say("Who bakes?")
        await call.listen()

    call, observed = run(shop(handoffs=[realtime_handoff(baker)]), script)
    (handoff,) = observed.of("handoff")
    assert (handoff.from_agent.name, handoff.to_agent.name) == ("Shop", "Baker")
    session = effective_session(call)
    assert session["instructions"] == "You bake."
    assert session["audio"]["input"]["format"] == session["audio"]["output"]["format"] == PCMU
    assert call.heard_speech[-1].words == "I bake"


def effective_session(call: PhoneCall) -> dict[str, Any]:
    """The session in effect at the end of a call."""
    ready = [each for each in call.notifications if type(each).__name__ == "SessionReady"]
    return ready[-1].session  # type: ignore[union-attr]


def test_update_agent_changes_instructions_and_tools() -> None:
    observed = Observed()
    other = shop(name="Other", instructions="You are another.", tools=[opening_hours])

    async def script(call: PhoneCall) -> None:
        await ask_once(call)
        assert "tools" not in effective_session(call) or not effective_session(call)["tools"]
        await observed.sessions[0].update_agent(other)
        await call.wait(ms=500)

    call, _ = run(shop(), script, observed=observed)
    session = effective_session(call)
    assert session["instructions"] == "You are another."
    assert [tool["name"] for tool in session["tools"]] == ["opening_hours"]
    assert session["audio"]["output"]["format"] == PCMU


@function_tool(needs_approval=True)
def cancel_order(number: int) -> str:
    """Cancel an order."""
    return f"order {number} is cancelled"


@pytest.mark.parametrize("is_approved", [True, False])
def test_a_tool_waits_for_approval(*, is_approved: bool) -> None:
    async def decide(session: RealtimeSession, event: Any) -> None:
        if event.type == "tool_approval_required":
            if is_approved:
                await session.approve_tool_call(event.call_id)
            else:
                await session.reject_tool_call(event.call_id)

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(function_call("cancel_order", number=7), "Done")
        await call.say("Cancel my order")
        await call.listen()

    call, observed = run(shop(tools=[cancel_order]), script, observed=Observed(react=decide))
    (output,) = call.model.function_outputs
    assert (output == "order 7 is cancelled") is is_approved
    assert len(observed.of("tool_approval_required")) == 1
    assert call.heard_speech[-1].words == "Done"


def test_the_words_of_the_caller_are_in_the_history() -> None:
    _, observed = run(shop(), ask_once)
    item = observed.history[0]
    assert (item.role, item.content[0].type) == ("user", "input_audio")
    assert item.content[0].transcript == "What do you sell?"
    completed = observed.model_events("input_audio_transcription_completed")
    assert [each.transcript for each in completed] == ["What do you sell?"]


def no_prices() -> OutputGuardrail[Any]:
    async def check(
        context: RunContextWrapper[Any], agent: Any, output: Any
    ) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, tripwire_triggered="euro" in output)

    return OutputGuardrail(check, name="no_prices")


def test_an_output_guardrail_stops_speech_and_recovers_once() -> None:
    async def script(call: PhoneCall) -> None:
        call.model.respond_with(" ".join(["it costs ten euro"] * 10), "I cannot say")
        await call.say("What does it cost?")
        await call.listen()

    run_config: Any = {"guardrails_settings": {"debounce_text_length": 20}}
    agent = shop(output_guardrails=[no_prices()])
    call, observed = run(agent, script, run_config=run_config)
    assert len(observed.of("guardrail_tripped")) == 1
    first, last = call.heard_speech[0], call.heard_speech[-1]
    assert first.heard_ms < first.generated_ms
    assert last.words == "I cannot say"
    texts = [
        part["text"]
        for item in call.model.conversation
        if item.role == "user"
        for part in item.content or ()
        if part.get("type") == "input_text"
    ]
    assert texts == ["guardrail triggered: no_prices"]
    assert call.speech_in_conversation[0].heard_ms == first.heard_ms


def test_a_tool_input_guardrail_refuses_a_call() -> None:
    calls: list[str] = []

    def refuse(data: Any) -> ToolGuardrailFunctionOutput:
        return ToolGuardrailFunctionOutput.reject_content("not on Sundays")

    @function_tool(tool_input_guardrails=[ToolInputGuardrail(guardrail_function=refuse)])
    def order(day: str) -> str:
        """Order a pizza."""
        calls.append(day)
        return "ordered"

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(function_call("order", day="Sunday"), "Sorry")
        await call.say("A pizza for Sunday")
        await call.listen()

    call, _ = run(shop(tools=[order]), script)
    assert calls == []
    assert call.model.function_outputs == ["not on Sundays"]
    assert call.heard_speech[-1].words == "Sorry"


# On the phone


def test_two_interruptions_leave_what_was_heard() -> None:
    async def script(call: PhoneCall) -> None:
        long = " ".join(["and cheese and tomatoes"] * 5)
        call.model.respond_with(f"We sell pizza {long}", f"With ham {long}", "Fine")
        call.interrupt_after(ms=1200, speech="No, wait please")
        await call.say("What do you sell?")
        await call.wait_for(Interrupted)
        call.interrupt_after(ms=900, speech="No, wait please")
        await call.listen()

    call, observed = run(shop(), script)
    interruptions = [each for each in call.notifications if isinstance(each, Interrupted)]
    cut = [each for each in interruptions if each.items]
    assert len(cut) == 2
    # What the model was told is what the caller heard, and each was told once.
    heard = {each.item_id: each.heard_ms for each in call.heard_speech}
    believed = {each.item_id: each.heard_ms for each in call.speech_in_conversation}
    for each in cut:
        item = each.items[0]
        assert heard[item.item_id] == pytest.approx(believed[item.item_id], abs=30)
    interrupted = observed.model_events("audio_interrupted")
    assert [each.item_id for each in interrupted] == [each.items[0].item_id for each in cut]
    assistant = [words for role, words in observed.said if role == "assistant"]
    for each, words in zip(cut, assistant, strict=False):
        assert words == each.items[0].heard


def test_a_hang_up_of_the_caller_ends_the_session() -> None:
    call, observed = run(shop(), ask_once)
    assert observed.model_events("connection_status")[-1].status == "disconnected"
    assert observed.model_events("end_of_stream")
    assert [each for each in call.notifications if type(each).__name__ == "Fault"] == []


def test_a_tool_hangs_up_by_its_context() -> None:
    @function_tool
    def hang_up(context: ToolContext[Call]) -> str:
        """Hang up."""
        context.context.send(HangUp(after_playback=True))
        return "hanging up"

    ends: list[Any] = []

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(["Goodbye", function_call("hang_up")])
        await call.say("That was all")
        ends.append(await call.wait_for_end())

    call, _ = run(shop(tools=[hang_up]), script)
    assert ends[0].reason is EndReason.HUNG_UP
    assert call.heard_speech[0].words == "Goodbye"


def test_the_agent_greets_first() -> None:
    async def script(call: PhoneCall) -> None:
        call.model.respond_with("Welcome to the shop")
        await call.listen()

    call, _ = run(shop(), script, greeting="Greet the caller.")
    assert call.heard_speech[0].words == "Welcome to the shop"


# Agents that behave badly


def test_a_tool_that_raises_is_answered() -> None:
    @function_tool
    def fail() -> str:
        """Fail."""
        raise ValueError("no")

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(function_call("fail"), "Sorry")
        await call.say("Do it")
        await call.listen()

    call, _ = run(shop(tools=[fail]), script)
    assert len(call.model.function_outputs) == 1
    assert call.heard_speech[-1].words == "Sorry"


def test_a_tool_that_hangs_does_not_keep_the_call() -> None:
    @function_tool
    async def hang() -> str:
        """Hang."""
        await asyncio.sleep(3600)
        return ""

    async def script(call: PhoneCall) -> None:
        call.model.respond_with(
            [function_call("hang"), function_call("opening_hours", day="Monday")], "From nine on"
        )
        await call.say("Do it")
        await call.listen()
        await call.hang_up()
        await call.wait_for_end()

    call, _ = run(shop(tools=[hang, opening_hours]), script)
    assert call.model.function_outputs == ["9 to 5"]
    assert call.heard_speech[-1].words == "From nine on"


def test_a_handoff_that_asks_for_pcm_keeps_the_phone_format() -> None:
    run_config: Any = {
        "model_settings": {
            "output_audio_format": "pcm16",
            "audio": {"input": {"format": "pcm16"}, "output": {"voice": "cedar"}},
        }
    }
    call, observed = run(shop(), ask_once, run_config=run_config)
    session = effective_session(call)
    assert session["audio"]["output"]["format"] == session["audio"]["input"]["format"] == PCMU
    assert session["audio"]["output"]["voice"] == "cedar"
    assert observed.of("error") == []


def test_a_guardrail_that_trips_late_leaves_the_next_answer() -> None:
    released: list[asyncio.Event] = []

    async def check(
        context: RunContextWrapper[Any], agent: Any, output: Any
    ) -> GuardrailFunctionOutput:
        is_bad = "euro" in output
        if is_bad:
            released.append(asyncio.Event())
            await released[-1].wait()
        return GuardrailFunctionOutput(None, tripwire_triggered=is_bad)

    async def script(call: PhoneCall) -> None:
        call.model.respond_with("ten euro", "We are open all day and all night")
        await call.say("What does it cost?")
        await call.listen()
        await call.say("When are you open?")
        await call.wait(ms=1500)
        for each in released:
            each.set()
        await call.listen()

    run_config: Any = {"guardrails_settings": {"debounce_text_length": 4}}
    agent = shop(output_guardrails=[OutputGuardrail(check, name="late")])
    call, observed = run(agent, script, run_config=run_config)
    assert len(observed.of("guardrail_tripped")) == 1
    assert call.heard_speech[-1].words == "We are open all day and all night"
    assert call.heard_speech[-1].heard_ms == call.heard_speech[-1].generated_ms
