"""How a call outlives a session of the model: the next one knows what the caller heard.

What the caller hears does not depend on a session: Twilio plays what it has. What belongs to the
old session is concluded (`_conclude`); once the next one is configured, it gets the conversation,
and what the old one has not made use of (`_restore`). A session that is about to expire is replaced
in one step by one that was opened beside it.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from attrs import evolve

from ..conversation.restore import Restoration, Summarize, plan_restoration
from ..errors import Fault, FaultKind, LocalProtocolError, redact
from ..machine.actions import NORMAL_CLOSURE, Peer, Refusal
from ..machine.arguments import UNICODE
from ..machine.reasons import Reason
from ..machine.timers import Timer
from ..machine.units import MS
from ..notifications import EndReason, SessionLost, SessionRestored, SessionRotated
from ..protocols import realtime
from ..protocols.realtime import ClientEvent, CreateItem, DeleteItem, TruncateItem
from ..responses.responses import ResponseRecord
from ..values.identifiers import ROOT
from ..values.items import ConversationItem, FunctionCall, UnknownItem
from .recovery_progress import FORCED_NS
from .state import CallState

__all__ = [
    "abandon_attempt",
    "ask_expired",
    "next_closed",
    "on_next_event",
    "play_waiting_clip",
    "reconnect",
    "refused",
    "rotate_if_quiet",
    "rotation_due",
    "session_closed",
    "session_ended",
    "session_ready",
    "session_refused",
    "time_out",
]

_FINAL_STATUSES: Final = frozenset({401, 403, 404})
_FINAL_CODES: Final = frozenset({1002, 1003, 1007, 1008, 3000, 4000})
"""Close codes after which another attempt fails in the same way."""
_FINAL_ERRORS: Final = frozenset(
    {
        "account_deactivated",
        "billing_hard_limit_reached",
        "insufficient_quota",
        "invalid_api_key",
        "model_not_found",
    }
)
"""Codes of errors after which another attempt fails in the same way (OpenAI developer guide, "Error
codes", https://platform.openai.com/docs/guides/error-codes, read 2026-09-30)."""

_NEXT_RETRY_NS: Final = 10_000 * MS
"""The pause before another attempt to open a session beside one that has not expired yet."""


# A session ends, or cannot be had.


def session_closed(call: CallState, cause: EndReason, code: int, reason: str, now: int) -> None:
    """The connection to the model was closed, or could not be opened."""
    is_final = code in _FINAL_CODES or call.recovery.error_code in _FINAL_ERRORS
    session_ended(call, cause, f"{code} {redact(reason)}".rstrip(), now, is_final=is_final)


def refused(call: CallState, refusal: Refusal, now: int) -> None:
    """The server has refused the connection."""
    is_final = refusal.status in _FINAL_STATUSES or refusal.error_code in _FINAL_ERRORS
    session_ended(
        call,
        EndReason.REALTIME_UNREACHABLE,
        redact(refusal.message),
        now,
        is_final=is_final,
        wait_ms=refusal.retry_after_ms or 0,
    )


def session_ended(
    call: CallState,
    cause: EndReason,
    detail: str,
    now: int,
    *,
    is_final: bool = False,
    wait_ms: int = 0,
) -> None:
    """Have another session, or give up. `is_final`: another attempt would fail in the same way;
    `wait_ms`: the server says to wait for so long."""
    policy, recovery = call.config.reconnect, call.recovery
    if recovery.has_given_up:
        return
    call.timers.stop(Timer.SESSION_ATTEMPT)
    call.timers.stop(Timer.ROTATION)
    call.session.close_next()
    was_ready = call.session.was_ready
    if was_ready and policy is not None:
        recovery.begin(now, policy.timeout_ms)
    attempt = recovery.attempts + 1
    if policy is None or is_final or attempt > policy.max_attempts:
        without = Reason.GIVEN_UP_AS_FINAL if is_final else Reason.GIVEN_UP_AFTER_ATTEMPTS
        call.outbox.explain(Reason.GIVEN_UP_WITHOUT_POLICY if policy is None else without)
        _give_up(call, cause, detail, now)
        return
    delay_ms = max(policy.delay_ms(attempt, call.stream.sid), wait_ms)
    if now + delay_ms * MS >= recovery.give_up_at_ns:
        call.outbox.explain(Reason.GIVEN_UP_AFTER_TIME)
        _give_up(call, cause, detail, now)
        return
    if was_ready or call.responses.has_current:  # a server may speak before it is configured
        call.timers.set(Timer.SESSION, recovery.give_up_at_ns)
        _conclude(call, now)
    recovery.attempts = attempt
    call.outbox.explain(Reason.RETRIED_AFTER_LOSS if was_ready else Reason.RETRIED_AFTER_ATTEMPT)
    call.outbox.notify(SessionLost(cause, detail, attempt, delay_ms))
    call.timers.set(Timer.RECONNECT, now + delay_ms * MS)


def reconnect(call: CallState, now: int) -> None:
    """Try once more to have a session."""
    call.session.reopen(call.config.url)
    call.watch_attempt(now)


def abandon_attempt(call: CallState, now: int) -> None:
    """Give up an attempt that takes too long, and try again."""
    call.session.abandon()
    what = "the session is not ready"
    call.outbox.notify_fault(Peer.REALTIME, FaultKind.TIMED_OUT, what)
    session_ended(call, EndReason.SESSION_NOT_READY, what, now)


def session_refused(call: CallState, detail: str, now: int) -> None:
    """The server does not configure the session as it must be. Where it takes the place of a lost
    one, that is an attempt that has failed, and the next one is configured as the lost one was;
    else it ends the call."""
    if not (call.recovery.is_restoring and call.recovery.had_session):
        call.ending.end(EndReason.SESSION_REFUSED, detail, now)
        return
    call.session.configure_as_before()
    is_final = call.recovery.error_code in _FINAL_ERRORS
    call.session.abandon()
    session_ended(call, EndReason.SESSION_REFUSED, detail, now, is_final=is_final)


def time_out(call: CallState, now: int) -> None:
    """Give up: the time for all attempts is over."""
    call.session.close(NORMAL_CLOSURE)
    what = "the session is not ready"
    call.outbox.notify_fault(Peer.REALTIME, FaultKind.TIMED_OUT, what)
    call.outbox.explain(Reason.GIVEN_UP_AFTER_TIME)
    _give_up(call, EndReason.SESSION_NOT_READY, what, now)


def play_waiting_clip(call: CallState, now: int) -> None:
    """Play what the caller hears while the first session takes long."""
    clip = call.config.waiting_clip
    if call.clips.is_playable(len(clip), now):
        call.clips.queue_hold(clip, "waiting", now)


def _give_up(call: CallState, cause: EndReason, detail: str, now: int) -> None:
    """Go on without a model, as the policy says."""
    for timer in (Timer.SESSION, Timer.SESSION_ATTEMPT, Timer.RECONNECT, Timer.WAITING_CLIP):
        call.timers.stop(timer)
    call.clips.drop_queued_hold()
    call.recovery.has_given_up = True
    call.recovery.cause, call.recovery.detail = cause, detail
    policy = call.config.on_session_lost
    ask_ms = policy.ask_timeout_ms
    if ask_ms or not policy.ends_stream:
        for record in call.responses.generating:  # what is held behind it is heard now
            call.speech.abandon(record, now)
    if ask_ms:
        call.after_playback.is_model_lost = True
        call.outbox.notify(SessionLost(cause, detail, attempt=None, retry_in_ms=None))
        call.timers.set(Timer.SESSION_LOSS_ANSWER, now + ask_ms * MS)
    else:
        _finish_without_model(call, now)


def ask_expired(call: CallState, now: int) -> None:
    """End a call whose model is lost, as the policy says, unless the application ends it."""
    if not call.after_playback.is_hangup_pending:
        _finish_without_model(call, now)


def _finish_without_model(call: CallState, now: int) -> None:
    """End a call whose model is lost, as the policy says."""
    policy, cause, detail = call.config.on_session_lost, call.recovery.cause, call.recovery.detail
    if policy.ends_stream:
        call.ending.end(cause, detail, now)
        return
    clip = policy.goodbye_clip
    if clip and call.clips.is_playable(len(clip), now):
        call.play_clip(clip, "goodbye", now)
    call.after_playback.hang_up(cause, detail, is_model_lost=True)
    call.reset_hangup_watchdog(now)


# From one session to the next.


def session_ready(call: CallState, session: Mapping[str, Any], now: int) -> None:
    """The session is configured, for the first time or again."""
    call.conversation.pace.speed = call.session.voice_speed
    call.turns.session_configured()
    call.requests.open()
    if not call.timers.is_set(Timer.SESSION):
        return  # the answer to a later update
    for timer in (Timer.SESSION, Timer.SESSION_ATTEMPT, Timer.WAITING_CLIP):
        call.timers.stop(timer)
    _begin_session(call, session, now)


def _begin_session(call: CallState, session: Mapping[str, Any], now: int) -> None:
    recovery, policy = call.recovery, call.config.reconnect
    recovery.session_ready(session, now)
    if recovery.is_restoring:
        recovery.is_restoring = False
        _restore(call)
    call.session.send_pending()
    call.turns.session_began(now)
    if policy is not None:
        due_at_ns = recovery.expires_at_ns - policy.rotate_before_ms * MS
        call.timers.set(Timer.ROTATION, max(due_at_ns, now + MS))


def _conclude(call: CallState, now: int) -> None:
    """Conclude all that belongs to the session that has ended."""
    call.recovery.is_restoring = True
    # MCP calls that wait for an approval, or whose response is done: no other request covers them.
    asks_for_calls = call.mcp.has_open_requests or call.mcp.is_at_work_for_ended
    generating = call.responses.generating
    unspoken = [each for each in generating if _is_unspoken(call, each)]
    calling = [each for each in generating if each not in unspoken and _is_calling(call, each)]
    call.recovery.said_again.update(*(each.open_items for each in unspoken))
    unanswered_items = call.turns.take_unanswered_items()
    call.cut_unfinished(generating, now)
    for record in generating:
        call.speech.abandon(record, now)
    call.responses.session_replaced()
    call.requests.session_lost([*unspoken, *calling])
    call.mcp.session_lost()
    if asks_for_calls and call.config.respond_to_mcp:  # the next session makes them anew
        call.request_response(Reason.REQUESTED_FOR_LOST_TURN)
    _queue_turns_again(call, unanswered_items)
    call.session.queue_again(call.conversation.is_edit)
    call.conversation.session_lost()
    for record in generating:
        call.request_followup(record)
    call.timers.stop(Timer.MODEL_SILENCE)


def _is_unspoken(call: CallState, record: ResponseRecord) -> bool:
    """Whether a response is to be requested again: nothing of it has been said or asked for."""
    is_said = record.has_begun or call.downlink.order.is_held(record)
    return record.may_be_heard and not record.is_cancelled and not is_said


def _is_calling(call: CallState, record: ResponseRecord) -> bool:
    """Whether a response is to be requested again since it was about to call a function or a tool:
    what it has said stays said."""
    items = map(call.conversation.get, record.open_items)
    is_call_open = any(isinstance(each, FunctionCall) or _is_mcp_call(each) for each in items)
    return is_call_open and record.may_be_heard and not record.is_cancelled


def _is_mcp_call(item: ConversationItem | None) -> bool:
    return isinstance(item, UnknownItem) and item.type == "mcp_call"


def _queue_turns_again(call: CallState, items: tuple[str, ...]) -> None:
    """Have the next session answer the turns of the caller that were not answered: by their words,
    where they are known; else it gets the audio again."""
    is_replayed = not all(map(call.conversation.is_transcribed, items))
    if is_replayed:
        call.recovery.said_again.update(items)
    elif items:
        call.session.kept_audio.forget_committed()
        if call.session.server_responds:  # else it is for the application to request
            call.request_response(Reason.REQUESTED_FOR_LOST_TURN)
    call.turns.session_lost(is_replayed=is_replayed)


def _restore(call: CallState) -> None:
    """Tell the session of the conversation, in front of all that is queued for it."""
    said_again, call.recovery.said_again = call.recovery.said_again, set()
    restoration = plan_restoration(
        [call.function_calls.complete(each) for each in call.conversation.edited_items],
        _unheard_items(call) | said_again,
        _make_summarizer(call),
        renamed_before=call.recovery.renamed_count,
    )
    call.recovery.renamed_count += len(restoration.renamed)
    call.session.drop_pending(call.conversation.is_edit)
    for notification in call.conversation.session_replaced(restoration):
        call.outbox.notify(notification)
    call.session.adapt_pending(partial(_adapt, restoration))
    for event in restoration.events:
        call.outbox.send_to_realtime(event)
    call.outbox.notify(SessionRestored(restoration.item_ids, restoration.lost, restoration.renamed))


def _make_summarizer(call: CallState) -> Summarize | None:
    """Return the application's function that says in a text what is left out. If it fails, the text
    is empty: that must not keep the session from being restored."""
    summarize = call.config.summarize_history
    if summarize is None:
        return None

    def summary_of(items: tuple[ConversationItem, ...]) -> str:
        try:
            # It may be of a subclass, such as a template's; what is no text raises TypeError.
            summary = str.__str__(summarize(items))
            UNICODE.check("the text of summarize_history", summary)
        except Exception as error:
            what = str(error) if isinstance(error, LocalProtocolError) else type(error).__name__
            message = f"summarize_history has failed, so the oldest items are left out: {what}"
            call.outbox.notify(Fault(None, FaultKind.APPLICATION, message))
            return ""
        return summary

    return summary_of


def _unheard_items(call: CallState) -> frozenset[str]:
    """The items of responses that were stopped before anything of them was heard."""
    return frozenset(
        item_id
        for record in call.responses
        if not record.is_audible
        for item_id in (*record.open_items, *record.done_items)
        if item_id not in record.heard_items
    )


def _adapt(restoration: Restoration, event: ClientEvent) -> ClientEvent | None:
    """Return an event as the next session understands it, which may know an item by another id;
    `None` if it changes an item that the session does not know, or audio that it has not."""
    match event:
        case DeleteItem(item_id=item_id):
            return event if item_id in restoration.item_ids else None
        case TruncateItem():
            return None
        case CreateItem(item={"type": "mcp_approval_response"}):
            return None  # no session knows a request of another one
        case CreateItem(previous_item_id=str(previous_id)) if previous_id != ROOT:
            # Behind an item that the session does not know it goes to the end.
            return evolve(event, previous_item_id=restoration.known_id(previous_id))
        case _:
            return event


# Rotation: the next session is opened before this one expires.


def rotation_due(call: CallState, now: int, reason: Reason = Reason.ROTATED_BY_FORCE) -> None:
    """Open the session that is to replace this one; or let it take over though somebody speaks."""
    if not call.session.is_next_current:
        call.session.close_next()
        call.session.open_next(call.config.url)
    elif call.session.is_next_ready:
        call.outbox.explain(reason)
        _rotate(call, now)
        return
    forced_at_ns = call.recovery.expires_at_ns - FORCED_NS
    call.timers.set(Timer.ROTATION, max(forced_at_ns, now + _NEXT_RETRY_NS))


def on_next_event(call: CallState, text: str, now: int) -> None:
    """Take an event of the session that is to replace this one."""
    match realtime.decode(text):
        case realtime.SessionUpdatedEvent(session):
            wrong = call.session.next_updated(session)
            call.recovery.next_session = session
            if wrong is not None:
                call.outbox.notify_fault(Peer.REALTIME, FaultKind.WRONG_FORMAT, wrong)
                next_closed(call, now)
        case realtime.ErrorEvent(error):
            what, code = redact(error.message), error.code and redact(error.code)
            call.outbox.notify_fault(Peer.REALTIME, FaultKind.SERVER_ERROR, what, code)
            next_closed(call, now)
        case Fault() as fault:
            call.outbox.notify(fault)
        case _:
            pass


def next_closed(call: CallState, now: int) -> None:
    """The session that was to replace this one cannot be had; it is tried again later."""
    call.session.close_next()
    call.timers.set(Timer.ROTATION, now + _NEXT_RETRY_NS)


def rotate_if_quiet(call: CallState, now: int) -> None:
    """Let the next session take over, if nobody speaks and nothing is asked for. Without turn
    detection the caller may always speak, so it gets all that is not committed."""
    is_quiet = not (
        call.turns.is_speaking
        or not (call.session.detects_turns or call.session.kept_audio.is_complete)
        or call.turns.is_caller_turn
        or call.is_speech_pending
        or call.downlink.is_playing(now)
        or call.after_playback.is_hangup_pending
        or call.mcp.has_open_requests
        or call.mcp.is_at_work
    )
    if is_quiet:
        rotation_due(call, now, Reason.ROTATED_IN_SILENCE)


def _rotate(call: CallState, now: int) -> None:
    call.session.switch()
    _conclude(call, now)
    call.turns.session_configured()
    _begin_session(call, call.recovery.next_session, now)
    call.requests.open()
    call.outbox.notify(SessionRotated())
