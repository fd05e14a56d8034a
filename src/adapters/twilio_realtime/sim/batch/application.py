"""The application in a simulated call: it answers requests, and gives scripted and random
commands."""

from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from attrs import define, field

from twilio_realtime_core.commands import (
    AnswerApproval,
    Command,
    Configure,
    GoAway,
    HangUp,
    Interrupt,
    Mute,
    NotifyAfterPlayback,
    Play,
    PressKeys,
    ResetHistory,
    SendAudio,
    SendEvent,
    SendFunctionOutput,
    SendMessage,
    Unmute,
)
from twilio_realtime_core.config.call import SessionConfig
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import (
    CallerSpeechStopped,
    FunctionCallRequested,
    ItemAdded,
    McpApprovalRequested,
    ResponseStarted,
)
from twilio_realtime_core.protocols.realtime import (
    AppendAudio,
    CancelResponse,
    ClearInputAudio,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    RetrieveItem,
    TruncateItem,
    UpdateSession,
)
from twilio_realtime_core.values.items import (
    ConversationItem,
    FunctionCall,
    Message,
    Role,
    TextPart,
    UnknownItem,
    replace_audio_with_text,
)

from ..audio import silence
from ..choices import Choices
from ..scenarios.parts import ScriptedCommand
from ..scenarios.voices import agent_voice, caller_voice

__all__ = ["RANDOM_COMMANDS", "MakeCommand", "SimApplication"]

MakeCommand: TypeAlias = Callable[["SimApplication", Choices], Command]
"""Makes a command for an application at any moment."""

_FUNCTION_NS: Final = 250 * MS
"""How long a function takes; the function `slow` takes ten times as long."""

_BESIDE: Final[dict[str, Any]] = {"conversation": "none", "input": []}
"""The parameters of a response out of band."""

_MAX_BESIDE: Final = 3
"""The most responses out of band that an application requests beside others."""

_APPROVAL_NS: Final = 100 * MS
"""How long it takes to decide on the approval of an MCP tool call."""


_LONG_AUDIO_SAMPLES: Final = 11 * 8000
"""Audio that is sent in two pieces."""


def _plainest_choices() -> Choices:
    return Choices.from_source(lambda _, low, __: low)


@define(eq=False)
class SimApplication:
    """The application of a simulated call.

    It receives the bridge's notifications, and gives commands through `perform_command`, later ones
    through `schedule_after(delay_ns, job)`. With `is_requesting_responses` it requests a response
    whenever the caller has spoken, for sessions in which the server does not; with
    `has_speech_beside` out-of-band speech whenever the agent responds. `choices` decide how
    it answers requests; by default, as plainly as possible. A command that raises
    `LocalProtocolError` is counted in `refused_counts`, every command in `command_counts`.
    """

    scripted_commands: list[ScriptedCommand]
    perform_command: Callable[[Command], None]
    schedule_after: Callable[[int, Callable[[], None]], None]
    is_requesting_responses: bool = False
    has_speech_beside: bool = False
    choices: Choices = field(factory=_plainest_choices)
    command_counts: Counter[str] = field(init=False, factory=Counter[str])
    refused_counts: Counter[str] = field(init=False, factory=Counter[str])
    _beside_count: int = field(init=False, default=0)
    items: list[ConversationItem] = field(init=False, factory=list[ConversationItem])
    """The conversation's items, as they were when they were added."""
    call_ids: list[str] = field(init=False, factory=list[str])
    """The ids of all function calls so far."""
    response_ids: list[str] = field(init=False, factory=list[str])
    """The ids of all responses so far."""
    approval_request_ids: list[str] = field(init=False, factory=list[str])
    """The ids of all approval requests so far."""

    def on_notification(self, event: object) -> None:
        """Handle a notification of the bridge."""
        for scripted in [
            each for each in self.scripted_commands if isinstance(event, each.trigger)
        ]:
            self.scripted_commands.remove(scripted)
            self._send_command_after(scripted.after_ns, scripted.command)
        match event:
            case FunctionCallRequested(call_id, name):
                self.call_ids.append(call_id)
                duration_ns = _FUNCTION_NS * (10 if name == "slow" else 1)
                self._send_command_after(duration_ns, _draw_output(call_id, self.choices))
            case McpApprovalRequested(request_id):
                self.approval_request_ids.append(request_id)
                self._send_command_after(_APPROVAL_NS, _draw_approval(request_id, self.choices))
            case ResponseStarted() if self.has_speech_beside and self._beside_count < _MAX_BESIDE:
                self._beside_count += 1
                delay_ns = self.choices.draw_integer("beside it after, ms", 0, 1500) * MS
                self._send_command_after(delay_ns, SendEvent(CreateResponse(_BESIDE)))
            case CallerSpeechStopped() if self.is_requesting_responses:
                self.send_command(SendEvent(CreateResponse()))
            case ResponseStarted(response_id):
                self.response_ids.append(response_id)
            case ItemAdded(item):
                self.items.append(item)
            case _:
                pass

    def send_command(self, command: Command) -> None:
        """Give a command now."""
        name = type(command.event if isinstance(command, SendEvent) else command).__name__
        self.command_counts[name] += 1
        try:
            self.perform_command(command)
        except LocalProtocolError:
            self.refused_counts[name] += 1

    def _send_command_after(self, delay_ns: int, command: Command) -> None:
        self.schedule_after(delay_ns, lambda: self.send_command(command))


def _draw_output(call_id: str, choices: Choices) -> SendFunctionOutput:
    return SendFunctionOutput(
        call_id,
        '{"found": true}',
        respond=not choices.draw_bool("an output without a response", 10),
        after_playback=choices.draw_bool("an output once all was heard", 25),
        wait_for_others=not choices.draw_bool("an output that waits for no other", 25),
    )


def _draw_approval(request_id: str, choices: Choices) -> AnswerApproval:
    return AnswerApproval(request_id, approve=not choices.draw_bool("no approval", 30))


def _draw_response_id(application: SimApplication, choices: Choices) -> str:
    return choices.draw_option("which response", ["?", *reversed(application.response_ids)])


def _draw_item_id(application: SimApplication, choices: Choices) -> str:
    ids = [each.id for each in application.items]
    return choices.draw_option("which item", [*ids, "item_unknown"])


def _draw_item(application: SimApplication, choices: Choices) -> ConversationItem:
    new = Message("item_new", Role.USER, (TextPart("by the way"),))
    return choices.draw_option("which item stays", [new, *application.items])


def _draw_history(application: SimApplication, choices: Choices) -> ResetHistory:
    """A history of most items, some as text, in which one may be new or moved; items of MCP tools,
    and names that the server refuses, are among the new ones."""
    items = [
        replace_audio_with_text(each) if choices.draw_bool("as text", 20) else each
        for each in application.items
        if not choices.draw_bool("an item less", 20)
    ]
    if choices.draw_bool("an item more", 50):
        place = choices.draw_integer("where", 0, len(items))
        items.insert(place, choices.draw_option("which new item", _NEW_ITEMS))
    if items and choices.draw_bool("an item moved", 20):
        items.append(items.pop(0))
    return ResetHistory(items)


_NEW_ITEMS: Final[tuple[ConversationItem, ...]] = (
    Message("item_more", Role.USER, (TextPart("by the way"),)),
    FunctionCall("item_call", "call_new", "look_up", "{}"),
    UnknownItem("item_mcp", "mcp_call", {"server_label": "docs", "name": "search"}),
    Message("item_" + "x" * 31, Role.USER, (TextPart("an id of 36 characters"),)),
    FunctionCall("item_call", "call_" + "x" * 41, "look_up", "{}"),
    FunctionCall("item_call", "call_new", "look.up", "{}"),
)


_UPDATES: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"audio": {"input": {"turn_detection": {"type": "server_vad", "create_response": False}}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}}},
    {"audio": {"input": {"turn_detection": None}}},
    {"audio": {"output": {"voice": "cedar"}}},
    {"output_modalities": ["text"]},
)


def _draw_update(choices: Choices) -> SendEvent:
    fields = choices.draw_option("update", _UPDATES)
    return SendEvent(UpdateSession({"type": "realtime", "instructions": "x", **fields}))


def _message_fields(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


RANDOM_COMMANDS: Final[tuple[tuple[int, MakeCommand], ...]] = (
    (6, lambda _, choices: Interrupt(cancel=not choices.draw_bool("interrupt without cancel", 30))),
    (3, lambda app, choices: Interrupt(response_id=_draw_response_id(app, choices))),
    (6, lambda _, __: SendEvent(CreateResponse())),
    (1, lambda _, __: SendEvent(CreateResponse(waits_for_caller=False))),
    (
        1,
        lambda _, __: SendEvent(
            CreateResponse({"conversation": "none", "output_modalities": ["text"]})
        ),
    ),
    (4, lambda _, __: SendEvent(CreateResponse({"conversation": "none", "input": []}))),
    (1, lambda _, __: SendEvent(CreateResponse({"output_modalities": ["text"]}))),
    (2, lambda _, __: SendEvent(CreateResponse({"metadata": {"topic": "weather"}}))),
    (
        2,
        lambda _, __: SendEvent(
            CreateResponse({"conversation": "none", "input": [], "metadata": {"topic": "note"}})
        ),
    ),
    (1, lambda _, __: SendEvent({"type": "response.create", "new_field": 1})),
    (1, lambda _, __: SendEvent({"type": "input_audio_buffer.commit", "new_field": 1})),
    (1, lambda _, __: SendAudio(silence(_LONG_AUDIO_SAMPLES))),
    (4, lambda _, choices: SendMessage("hello", respond=choices.draw_bool("respond", 70))),
    (3, lambda _, choices: SendAudio(caller_voice(200), commit=choices.draw_bool("commit", 50))),
    (
        2,
        lambda app, choices: _draw_output(
            choices.draw_option("call", [*app.call_ids, "?"]), choices
        ),
    ),
    (
        1,
        lambda app, choices: _draw_approval(
            choices.draw_option("request", [*app.approval_request_ids, "?"]), choices
        ),
    ),
    (2, lambda app, choices: ResetHistory([_draw_item(app, choices)])),
    (3, _draw_history),
    (1, lambda _, __: ResetHistory(())),
    (3, lambda _, __: Mute()),
    (3, lambda _, __: Unmute()),
    (3, lambda _, __: Play(agent_voice(300, 20), "chime")),
    (3, lambda _, __: Play(agent_voice(1000, 21), "hold", until_agent_speaks=True)),
    (2, lambda _, __: PressKeys("1,2#")),
    (2, lambda _, __: NotifyAfterPlayback("goodbye")),
    (1, lambda _, __: HangUp(after_playback=True)),
    (1, lambda _, choices: GoAway() if choices.draw_bool("go away", 30) else HangUp()),
    (1, lambda _, __: Configure(SessionConfig(instructions="late"))),
    (2, lambda _, __: SendEvent(AppendAudio(b64encode(caller_voice(20)).decode()))),
    (3, lambda _, __: SendEvent(CancelResponse())),
    (2, lambda _, __: SendEvent(CommitAudio())),
    (1, lambda _, __: SendEvent(ClearInputAudio())),
    (2, lambda _, __: SendEvent(CreateItem(_message_fields("and")))),
    (1, lambda _, __: SendEvent(CreateItem({"id": "an.odd.id", **_message_fields("and")}))),
    (2, lambda app, choices: SendEvent(DeleteItem(_draw_item_id(app, choices)))),
    (2, lambda app, choices: SendEvent(RetrieveItem(_draw_item_id(app, choices)))),
    (1, lambda app, choices: SendEvent(TruncateItem(_draw_item_id(app, choices), 0, 100))),
    (2, lambda _, choices: _draw_update(choices)),
)
"""Commands that the application may give at any moment, with their weights. A new command is a line
here."""
