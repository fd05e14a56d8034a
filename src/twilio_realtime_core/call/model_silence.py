"""A model that falls silent with its socket open: when that is, and what is done about it."""

from collections.abc import Iterable
from typing import Final

from ..errors import FaultKind
from ..machine.actions import Peer
from ..machine.reasons import Reason
from ..machine.timers import Timer
from ..machine.units import SECOND, ns_to_ms
from ..notifications import EndReason, ModelSilent
from ..protocols.realtime import TruncateItem
from ..responses.responses import ResponseRecord
from ..values.playback_position import PartKey
from .state import CallState

__all__ = ["SILENCE_NS", "end_what_is_lost", "handle_silence", "watch_model"]

SILENCE_NS: Final = 5 * SECOND
"""How long a model that owes a response may send no event: it answers a request within a second,
and generates several times as fast as it speaks."""


def watch_model(call: CallState, now: int) -> None:
    """Set the timers for what the model owes: answers to requests, and the rest of responses.

    It runs after nearly every event, and computes an instant only for a timer that is to be set.
    """
    requests, timers, order = call.requests, call.timers, call.downlink.order
    is_lost = call.recovery.has_given_up  # there is no model that owes anything
    unfinished = call.responses.unfinished
    if is_lost or not (unfinished or requests.is_any_unfinished):
        timers.stop(Timer.REQUEST)
    elif not timers.is_set(Timer.REQUEST):
        instants = (requests.due_at_ns, call.responses.due_at_ns)
        timers.set(Timer.REQUEST, min(each for each in instants if each is not None))
    is_answer_owed = requests.is_answer_owed or call.turns.is_answer_owed
    if is_lost or not (is_answer_owed or _is_any_missing(call, unfinished)):
        timers.stop(Timer.MODEL_SILENCE)
    elif not timers.is_set(Timer.MODEL_SILENCE):
        timers.set(Timer.MODEL_SILENCE, now + SILENCE_NS)
    if not order.has_held:
        timers.stop(Timer.SPEECH_STALL)
    elif not timers.is_set(Timer.SPEECH_STALL):
        timers.set(Timer.SPEECH_STALL, order.stalls_at_ns)


def _owed(call: CallState, unfinished: Iterable[ResponseRecord]) -> list[ResponseRecord]:
    """The responses of which more has to come to be heard: not one whose audio is complete, or that
    waits for a tool of an MCP server."""
    return [
        each
        for each in unfinished
        if each.is_audible and not each.is_cancelled and not each.is_output_complete
        if not call.mcp.is_running(each)
    ]


def _awaited(call: CallState) -> list[ResponseRecord]:
    """The other responses whose end a request waits for."""
    unfinished = call.responses.unfinished
    owed, not_ended = _owed(call, unfinished), _not_ended(call, unfinished)
    return [each for each in not_ended if each not in owed and call.is_end_awaited(each)]


def _is_any_missing(call: CallState, unfinished: list[ResponseRecord]) -> bool:
    not_ended = _not_ended(call, unfinished)
    return bool(_owed(call, unfinished)) or any(map(call.is_end_awaited, not_ended))


def _not_ended(call: CallState, unfinished: list[ResponseRecord]) -> list[ResponseRecord]:
    """The responses of which more is expected, and the active one, though it may be lost."""
    active = call.requests.active_response
    return unfinished if active is None or active in unfinished else [*unfinished, active]


def end_what_is_lost(call: CallState, now: int) -> None:
    """Give up the requests, and the responses, of which the server has sent nothing in time."""
    expired, lost = call.requests.expire(now), call.responses.mark_lost(now)
    for missing in expired:
        call.outbox.notify_fault(Peer.REALTIME, FaultKind.TIMED_OUT, missing)
    if expired or lost:
        _end(call, lost)


def _end(call: CallState, records: Iterable[ResponseRecord]) -> None:
    """Count responses as ended; what waits for the active one waits on if that is another."""
    if call.requests.is_active:
        call.request_followup(*records)
    else:
        call.responses_ended(*records)


def _lose(call: CallState, records: Iterable[ResponseRecord]) -> None:
    for each in records:
        each.is_lost = True
        if each is call.requests.active_response:
            call.requests.release_slot()


def handle_silence(call: CallState, now: int) -> None:
    """Notify that the model is silent, cancel what it owes, and do as the policy says. A response
    of which its end alone is missing counts as over."""
    silent_at_ns = call.watch.last_event_ns + SILENCE_NS
    if now < silent_at_ns:  # an event was received since the timer was set
        call.timers.set(Timer.MODEL_SILENCE, silent_at_ns)
        return
    policy = call.config.on_model_silent
    call.watch.silence_count += 1
    asks_again = call.watch.silence_count <= policy.ask_again
    owed, awaited = _owed(call, call.responses.unfinished), _awaited(call)
    is_turn_owed = call.turns.take_missing_answer()
    silent_ms = ns_to_ms(now - call.watch.last_event_ns)
    call.outbox.notify(ModelSilent(silent_ms, tuple(each.id for each in owed), asks_again))
    if policy.only_notifies:
        call.outbox.explain(Reason.SILENCE_NOTIFIED)
        return
    call.outbox.explain(Reason.SILENCE_ASKED_AGAIN if asks_again else Reason.SILENCE_GIVEN_UP)
    cut = call.cut_unfinished(owed, now)
    for record in owed:
        call.speech.give_up(record, now)
    _truncate(call, cut)
    call.requests.give_up(owed, asks_again=asks_again)
    if is_turn_owed and asks_again:
        call.request_response(Reason.REQUESTED_FOR_SILENCE)
    _lose(call, awaited)
    _end(call, [*owed, *awaited])
    is_heard = not call.turns.is_speaking  # nothing is said while the caller speaks
    if policy.clip and is_heard and call.clips.is_playable(len(policy.clip), now):
        call.play_clip(policy.clip, "model silent", now)
    if policy.hang_up and not asks_again:
        reason, detail = EndReason.MODEL_SILENT, "the model was silent"
        call.after_playback.hang_up(reason, detail, is_model_lost=True)
        call.reset_hangup_watchdog(now)


def _truncate(call: CallState, parts: Iterable[tuple[PartKey, int]]) -> None:
    """Have the conversation hold of parts what was received of them, in ms."""
    for part, sent_ms in parts:
        record = call.responses.get(part.response_id)
        if record is None or not record.is_in_conversation:
            continue
        record.mark_item_heard(part.item_id)
        if not call.responses.is_item_deleted(part.item_id):
            call.session.send_if_open(TruncateItem(part.item_id, part.content_index, sent_ms))
