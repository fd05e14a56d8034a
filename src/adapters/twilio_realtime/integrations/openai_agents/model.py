"""The model of a session of the Agents SDK that is a phone call.

session = await RealtimeRunner(agent, model=TwilioRealtimeModel(call)).run()

The bridge configures the session, plays the agent's audio to the caller, and does all that an
interruption takes; the session of the SDK runs tools, handoffs and guardrails, and keeps history.
"""

import asyncio
from base64 import b64decode
from collections.abc import Callable
from typing import Any, Final

from agents.realtime import model_events as events
from agents.realtime.items import RealtimeToolCallItem
from agents.realtime.model import RealtimeModel, RealtimeModelConfig, RealtimeModelListener
from agents.realtime.model_inputs import (
    RealtimeModelSendAudio,
    RealtimeModelSendEvent,
    RealtimeModelSendInterrupt,
    RealtimeModelSendRawMessage,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
)
from attrs import evolve

from twilio_realtime_core import CallConfig, LocalProtocolError
from twilio_realtime_core.commands import (
    Command,
    Configure,
    HangUp,
    Interrupt,
    SendAudio,
    SendEvent,
    SendFunctionOutput,
)
from twilio_realtime_core.config.session import SessionUpdate
from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.machine.peer_json import decode_json
from twilio_realtime_core.notifications import (
    AgentAudio,
    AgentText,
    AgentTranscript,
    CallEnded,
    CallerTranscript,
    EndReason,
    FunctionCallRequested,
    IdleTimeoutTriggered,
    Interrupted,
    ItemAdded,
    ItemDeleted,
    ItemUpdated,
    RealtimeEvent,
    ResponseFinished,
    ResponseRefused,
    ResponseStarted,
    SessionLost,
    SessionReady,
    SessionRestored,
)
from twilio_realtime_core.protocols.realtime import CancelResponse, CommitAudio
from twilio_realtime_core.values.items import ConversationItem

from ...agents.call import Call
from ...agents.phone_events import CallEvent
from .conversion import to_message_command, to_sdk_item, to_usage_event
from .settings import session_fields

__all__ = ["CallOverError", "TwilioRealtimeModel"]

_NORMAL_ENDS: Final = (EndReason.CALLER_HUNG_UP, EndReason.HUNG_UP, EndReason.GOING_AWAY)

_OTHERS_OPTIONS: Final = ("api_key", "headers", "call_id")
"""Options of `connect` that are up to the service: it opens the connection."""


class CallOverError(ConnectionError):
    """The call has ended before its session was ready; the text says how."""


class TwilioRealtimeModel(RealtimeModel):
    """The `RealtimeModel` of one call, for one run of a `RealtimeRunner`, on asyncio.

    It reads the notifications of `call`, so nothing else can iterate over them; `call.watch` works,
    and those that are no event of the SDK are emitted as `RealtimeModelOtherEvent`. Its `audio`
    events are for recording: the bridge has sent the audio to the caller. `send_audio` sends the
    model audio besides the caller's, as G.711 µ-law.

    The end of the session hangs up, and the session ends when the agent that `call` runs returns.
    The configuration of the call is to be that of `AgentsSdkAgent.call_config`; without
    `raw_messages` there are no raw server events, without `notify_agent_audio` no audio, and
    without `configure_timeout_ms` the session begins with the configuration of the service, and is
    updated.
    """

    def __init__(self, call: Call) -> None:
        self._call: Final = call
        self._listeners: list[RealtimeModelListener] = []
        self._is_connected = False
        self._is_closed = False
        self._is_ready = asyncio.Event()
        """Set when the session is ready, or the call has ended."""
        self._reader: asyncio.Task[None] | None = None
        self._items_of_response: dict[str, dict[tuple[str, int], None]] = {}
        """The content parts with audio of each response that is not retired, in order."""
        self._interrupted_responses: set[str] = set()
        """The responses whose interruption the listeners know."""
        self._interrupted_items: set[str] = set()
        self._is_response_requested = False
        """Whether a response was requested that has not started."""
        self._interrupts_itself = True
        """Whether the server cancels its response when the caller speaks."""

    # The interface of the SDK

    async def connect(self, options: RealtimeModelConfig) -> None:
        """Configure the session of the call, and wait until it is ready.

        Raises `RuntimeError` if called twice, `ValueError` for an option that the service decides,
        and `CallOverError`, a `ConnectionError`, if the call ends first.
        """
        if self._is_connected or self._is_closed:
            raise RuntimeError("a TwilioRealtimeModel is for one run: make one for each call")
        for name in _OTHERS_OPTIONS:
            if options.get(name) is not None:
                raise ValueError(
                    f"{name} does not go into model_config: the service opens the connection, with "
                    "the key and the headers of its own settings"
                )
        self._configure(options)
        self._is_connected = True
        self._reader = asyncio.create_task(self._read_notifications())
        try:
            await self._is_ready.wait()
        except BaseException:
            await self.close()
            raise
        if self._call.ended is not None:
            await self.close()
            reason = self._call.ended.reason.value
            raise CallOverError(f"the call has ended before its session was ready: {reason}")

    def add_listener(self, listener: RealtimeModelListener) -> None:
        """Add a listener, once."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def remove_listener(self, listener: RealtimeModelListener) -> None:
        """Remove a listener."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def send_event(self, event: RealtimeModelSendEvent) -> None:
        """Send an event, which takes effect at once, or as soon as the server can take it.

        Raises `LocalProtocolError` where it cannot be sent, and `ValueError` for a combination of
        options that the SDK forbids.
        """
        match event:
            case RealtimeModelSendRawMessage(message=message):
                self._send(SendEvent({**message.get("other_data", {}), "type": message["type"]}))
            case RealtimeModelSendUserInput(user_input=user_input):
                self._send(to_message_command(user_input))
                self._is_response_requested = True
            case RealtimeModelSendAudio(audio=b"", commit=True):
                self._send(CommitAudio())
            case RealtimeModelSendAudio(audio=audio, commit=commit):
                self._send(SendAudio(audio, commit))
            case RealtimeModelSendToolOutput():
                await self._send_tool_output(event)
            case RealtimeModelSendInterrupt():
                await self._interrupt(event)
            case RealtimeModelSendSessionUpdate(session_settings=settings):
                self._send(SessionUpdate(**session_fields(settings)).to_update_event())

    async def send_event_if(
        self, event: RealtimeModelSendEvent, send_if: Callable[[], bool]
    ) -> bool:
        """Send a user's input, unless `send_if` returns false or a response is requested already;
        return whether it was sent. Nothing can happen in between."""
        if not isinstance(event, RealtimeModelSendUserInput):
            return False
        if self._is_response_requested or not send_if():
            return False
        await self.send_event(event)
        return True

    def _retire_response_audio(self, response_id: str) -> None:
        for item_id, _ in self._items_of_response.pop(response_id, ()):
            self._interrupted_items.discard(item_id)
        self._interrupted_responses.discard(response_id)

    async def close(self) -> None:
        """Hang up, and emit nothing more. A second call does nothing."""
        self._is_closed = True
        self._listeners.clear()
        self._call.send(HangUp())
        reader, self._reader = self._reader, None
        if reader is not None and reader is not asyncio.current_task():
            reader.cancel()
            await asyncio.wait([reader])

    # What is sent

    def _configure(self, options: RealtimeModelConfig) -> None:
        settings = options.get("initial_model_settings") or {}
        fields = session_fields(settings)
        base = (self._call.config or CallConfig()).session
        extra = {**base.extra_fields, **fields.pop("extra_fields", {})}
        session = evolve(base, **fields, extra_fields=extra)
        model, url = settings.get("model_name"), options.get("url")
        try:
            self._call.send(Configure(session, model, url))
        except LocalProtocolError:  # it is configured already
            self._call.send(session.to_update_event())

    def _send(self, command: Command) -> None:
        if not self._is_connected:
            raise RuntimeError("the session of the call is not connected")
        self._call.send(command)

    async def _send_tool_output(self, event: RealtimeModelSendToolOutput) -> None:
        tool_call = event.tool_call
        output = str.__str__(event.output)  # a tool may return a subclass of `str`
        # A tool that hangs, or waits for approval, must not keep the others from being answered.
        self._send(
            SendFunctionOutput(
                tool_call.call_id, output, event.start_response, wait_for_others=False
            )
        )
        self._is_response_requested |= event.start_response
        item = _tool_item(
            tool_call.id, tool_call.call_id, tool_call.name, tool_call.arguments, output
        )
        item.previous_item_id = tool_call.previous_item_id
        await self._emit(events.RealtimeModelItemUpdatedEvent(item))

    async def _interrupt(self, event: RealtimeModelSendInterrupt) -> None:
        if event.playback_only and (event.cancel_response_only or event.force_response_cancel):
            raise ValueError(
                "playback_only excludes cancel_response_only and force_response_cancel"
            )
        if event.cancel_response_only:
            if event.response_id is None:
                raise ValueError("cancel_response_only needs a response_id")
            self._send(CancelResponse(event.response_id))
            return
        cancels = not event.playback_only and (
            event.force_response_cancel or not self._interrupts_itself
        )
        self._send(Interrupt(cancels, event.response_id))
        if event.response_id is not None:
            await self._emit_interrupted_response(event.response_id)

    async def _emit_interrupted_response(self, response_id: str) -> None:
        if response_id in self._interrupted_responses:
            return
        self._interrupted_responses.add(response_id)
        for item_id, content_index in self._items_of_response.get(response_id, ()):
            self._interrupted_items.add(item_id)
            await self._emit(events.RealtimeModelAudioInterruptedEvent(item_id, content_index))

    # What is received

    async def _read_notifications(self) -> None:
        """Emit events for the notifications of the call to its end, from one task."""
        try:
            async for event in self._call:
                await self._handle(event)
            if self._call.ended is None:  # the agent has returned, so nobody reads any more
                await self._emit_end()
        except Exception as error:  # of a listener: the session raises it where it is iterated
            await self._emit(events.RealtimeModelExceptionEvent(error, "in a listener"))
        finally:
            self._is_ready.set()

    async def _handle(self, event: CallEvent) -> None:
        match event:
            case RealtimeEvent(text=text):
                data = decode_json(text, dict[str, Any])
                await self._emit(events.RealtimeModelRawServerEvent(text if data is None else data))
            case AgentAudio(response_id=response_id, item_id=item_id, content_index=index):
                if response_id not in self._interrupted_responses:
                    self._items_of_response.setdefault(response_id, {})[item_id, index] = None
                    audio = b64decode(event.audio)
                    await self._emit(
                        events.RealtimeModelAudioEvent(audio, response_id, item_id, index)
                    )
            case AgentTranscript(final=True, item_id=item_id, content_index=index):
                await self._emit(events.RealtimeModelAudioDoneEvent(item_id, index))
            case AgentTranscript(response_id=response_id, item_id=item_id, text=text):
                # What the agent says after it was interrupted is not heard, so it is no history.
                if item_id not in self._interrupted_items:
                    delta = events.RealtimeModelTranscriptDeltaEvent(item_id, text, response_id)
                    await self._emit(delta)
            case AgentText(final=False, response_id=response_id, item_id=item_id, text=text):
                await self._emit(
                    events.RealtimeModelOutputTextDeltaEvent(item_id, text, response_id)
                )
            case Interrupted():
                await self._handle_interruption(event)
            case ItemAdded(item=item, previous_item_id=previous_item_id):
                await self._emit_item(item, previous_item_id)
            case ItemUpdated(item=item):
                await self._emit_item(item, None)
            case ItemDeleted(item_id=item_id):
                await self._emit(events.RealtimeModelItemDeletedEvent(item_id))
            case FunctionCallRequested():
                await self._handle_function_call(event)
            case CallerTranscript(final=True, item_id=item_id, text=text):
                await self._emit(
                    events.RealtimeModelInputAudioTranscriptionCompletedEvent(item_id, text)
                )
            case IdleTimeoutTriggered(item_id=item_id, audio_start_ms=start, audio_end_ms=end):
                await self._emit(
                    events.RealtimeModelInputAudioTimeoutTriggeredEvent(
                        item_id or "", int(start or 0), int(end or 0)
                    )
                )
            case _:
                await self._handle_progress(event)

    async def _handle_progress(self, event: CallEvent) -> None:
        """Handle what says how session, responses and call proceed."""
        match event:
            case SessionReady(session=session):
                self._interrupts_itself = _interrupts_itself(session)
                if not self._is_ready.is_set():
                    self._is_ready.set()
                    await self._emit(events.RealtimeModelConnectionStatusEvent("connected"))
            case SessionLost(attempt=int()):
                await self._emit(events.RealtimeModelConnectionStatusEvent("connecting"))
            case SessionRestored():
                await self._emit(events.RealtimeModelConnectionStatusEvent("connected"))
            case ResponseStarted(response_id=response_id):
                self._is_response_requested = False
                await self._emit(events.RealtimeModelTurnStartedEvent(response_id=response_id))
            case ResponseFinished(response_id=response_id, usage=usage):
                if usage is not None:
                    await self._emit(to_usage_event(usage))
                await self._emit(events.RealtimeModelTurnEndedEvent(response_id=response_id))
            case ResponseRefused(code=code, message=message):
                self._is_response_requested = False
                await self._emit(events.RealtimeModelErrorEvent({"code": code, "message": message}))
            case Fault(kind=FaultKind.SERVER_ERROR, code=code, message=message):
                await self._emit(events.RealtimeModelErrorEvent({"code": code, "message": message}))
            case CallEnded(reason=reason, detail=detail):
                if reason not in _NORMAL_ENDS:
                    await self._emit(
                        events.RealtimeModelErrorEvent({"code": reason.value, "message": detail})
                    )
                await self._emit_end()
            case _:
                await self._emit(events.RealtimeModelOtherEvent(event))

    async def _handle_interruption(self, event: Interrupted) -> None:
        for item in event.items:
            if item.response_id not in self._interrupted_responses:
                self._interrupted_items.add(item.item_id)
                await self._emit(
                    events.RealtimeModelAudioInterruptedEvent(item.item_id, item.content_index)
                )

    async def _handle_function_call(self, event: FunctionCallRequested) -> None:
        item = _tool_item(event.item_id, event.call_id, event.name, event.arguments)
        await self._emit(events.RealtimeModelItemUpdatedEvent(item))
        await self._emit(
            events.RealtimeModelToolCallEvent(
                event.name, event.call_id, event.arguments, id=event.item_id
            )
        )

    async def _emit_item(self, item: ConversationItem, previous_item_id: str | None) -> None:
        converted = to_sdk_item(item, previous_item_id)
        if converted is not None:
            await self._emit(events.RealtimeModelItemUpdatedEvent(converted))

    async def _emit_end(self) -> None:
        await self._emit(events.RealtimeModelConnectionStatusEvent("disconnected"))
        await self._emit(events.RealtimeModelEndOfStreamEvent())

    async def _emit(self, event: events.RealtimeModelEvent) -> None:
        for listener in tuple(self._listeners):
            await listener.on_event(event)


def _tool_item(
    item_id: str | None, call_id: str, name: str, arguments: str, output: str | None = None
) -> RealtimeToolCallItem:
    return RealtimeToolCallItem(
        item_id=item_id or "",
        call_id=call_id,
        status="in_progress" if output is None else "completed",
        arguments=arguments,
        name=name,
        output=output,
    )


def _interrupts_itself(session: dict[str, Any]) -> bool:
    """Whether the server cancels its response when the caller speaks, in a session as the server
    describes it."""
    match session:
        case {"audio": {"input": {"turn_detection": {"interrupt_response": bool(value)}}}}:
            return value
        case {"audio": {"input": {"turn_detection": {}}}}:
            return True
        case _:
            return False
