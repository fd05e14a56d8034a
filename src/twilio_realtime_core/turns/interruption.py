"""What an interruption does: planned by a pure function, then applied once.

The sound stops first (`clear`). Then the model learns what was heard, so that the conversation
holds no words that the caller never heard: a part heard in part is truncated there; an item of
which nothing was heard is deleted (the server refuses to truncate before any audio, and at 0 ms it
would keep the transcript); one heard to the end is left alone. Out-of-band responses and clips are
only silenced: the conversation does not hold them.

Source: OpenAI API reference, "Realtime", `conversation.item.truncate`, `response.cancel`,
https://platform.openai.com/docs/api-reference/realtime-client-events.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, TypeAlias

from attrs import frozen

from ..machine.lifecycles import ResponseState
from ..machine.reasons import Reason
from ..machine.units import samples_to_ms
from ..protocols.realtime import DeleteItem, TruncateItem
from ..responses.responses import ResponseRecord, Responses
from ..values.playback_position import Clip, PartKey, PlaybackPosition

__all__ = ["InterruptionPlan", "plan_interruption"]

_CANCELLABLE: Final = (ResponseState.GENERATING, ResponseState.INTERRUPTED)

_Spoken: TypeAlias = tuple[PartKey, PlaybackPosition]


@frozen
class InterruptionPlan:
    """What an interruption does, in this order."""

    clears: bool
    """Whether Twilio's queue is cleared: something may still be audible."""
    cancelled: tuple[ResponseRecord, ...]
    """The responses that are cancelled."""
    corrections: tuple[TruncateItem | DeleteItem, ...]
    """The events that make the conversation hold what was heard."""
    heard_items: tuple[tuple[ResponseRecord, str], ...]
    """The items of which some was heard."""
    stopped: tuple[ResponseRecord, ...]
    """The responses of which nothing more is played."""
    started: tuple[PartKey, ...]
    """The completed parts that were not known to be heard: their marks are lost."""
    completed: tuple[PartKey, ...]
    """The parts that were heard to their end, as far as can be known."""
    cut: tuple[tuple[PartKey, PlaybackPosition], ...]
    """The other parts, and how far each was heard."""
    clips: tuple[PlaybackPosition, ...]
    """How far the clips were heard."""
    reasons: tuple[Reason, ...]
    """Why so."""

    @property
    def stops_generation(self) -> bool:
        """Whether more of a response would have come."""
        return any(each.is_generating for each in self.stopped)


def plan_interruption(
    positions: Sequence[PlaybackPosition],
    responses: Responses,
    *,
    is_playing: bool,
    cancel: bool,
    server_interrupts: bool,
) -> InterruptionPlan | None:
    """Plan the interruption of all that plays or is being generated; `None`: there is nothing.

    `positions` say how far everything has been heard, and `is_playing` whether anything may still
    be audible. `cancel`: cancel what is being generated. `server_interrupts`: the server cancels
    the response of the conversation by itself.
    """
    spoken = [(each.source, each) for each in positions if isinstance(each.source, PartKey)]
    sounding = [part for part, each in spoken if is_playing or not each.is_complete]
    stopped = _stopped(responses, sounding)
    unheard = [each for each in responses.generating if _is_generating_unheard(each)]
    cancels = [
        (each, _decide_cancel(each, cancel=cancel, server_interrupts=server_interrupts))
        for each in (*stopped, *unheard)
    ]
    cancelled = [each for each, why in cancels if why is Reason.CANCELLED_BY_INTERRUPTION]
    if not is_playing and not stopped and not cancelled:
        return None
    reasons = [Reason.CLEARED_AUDIO if is_playing else Reason.KEPT_NO_AUDIO]
    reasons += [why for _, why in cancels]
    corrections: list[TruncateItem | DeleteItem] = []
    heard_items: list[tuple[ResponseRecord, str]] = []
    for (response_id, item_id), parts in groupby(_by_item(spoken), key=_item_of):
        record = _record(responses, response_id)
        if record.is_in_conversation and not responses.is_item_deleted(item_id):
            of_item = list(parts)
            is_heard = _is_any_heard(of_item) or item_id in record.heard_items
            if is_heard:
                heard_items.append((record, item_id))
            if record.is_of_old_session:
                reasons.append(Reason.KEPT_OF_OLD_SESSION)
                continue  # the session holds its words as text, if at all
            corrections += _corrections_of(record, item_id, of_item, reasons, is_heard=is_heard)
        else:
            is_deleted = record.is_in_conversation
            reasons.append(Reason.KEPT_AS_DELETED if is_deleted else Reason.KEPT_OUT_OF_BAND)
    completed = [(part, each) for part, each in spoken if each.is_heard_completely]
    return InterruptionPlan(
        is_playing,
        tuple(cancelled),
        tuple(corrections),
        tuple(heard_items),
        tuple(stopped),
        started=tuple(part for part, each in completed if not each.is_started),
        completed=tuple(part for part, _ in completed),
        cut=tuple((part, each) for part, each in spoken if not each.is_heard_completely),
        clips=tuple(each for each in positions if isinstance(each.source, Clip)),
        reasons=tuple(reasons),
    )


def _decide_cancel(record: ResponseRecord, *, cancel: bool, server_interrupts: bool) -> Reason:
    if not cancel:
        return Reason.CANCEL_NOT_WANTED
    if record.lifecycle.state not in _CANCELLABLE or not record.is_nameable:
        return Reason.CANCEL_TOO_LATE
    if server_interrupts and record.is_in_conversation:
        return Reason.CANCEL_BY_SERVER
    return Reason.CANCELLED_BY_INTERRUPTION


def _stopped(responses: Responses, sounding: Iterable[PartKey]) -> list[ResponseRecord]:
    """The responses that sound, and those that would: of responses being generated without sound,
    all but an out-of-band one that is text alone."""
    ids = dict.fromkeys(part.response_id for part in sounding)
    stopped = [each for each in responses.generating if each.is_stoppable or each.id in ids]
    records = [_record(responses, response_id) for response_id in ids]
    stopped += [each for each in records if not each.is_generating]
    return [each for each in stopped if each.is_audible]


def _is_generating_unheard(record: ResponseRecord) -> bool:
    """Whether an earlier interruption, which cancelled nothing, left a response running."""
    is_interrupted = record.lifecycle.state is ResponseState.INTERRUPTED
    return is_interrupted and not record.is_cancelled


def _record(responses: Responses, response_id: str) -> ResponseRecord:
    """The record of a response that sounds. One that is forgotten, since more than a thousand were
    created while it plays, counts as one of the conversation."""
    return responses.get(response_id) or ResponseRecord(response_id)


def _item_of(spoken: _Spoken) -> tuple[str, str]:
    part, _ = spoken
    return part.response_id, part.item_id


def _by_item(spoken: Iterable[_Spoken]) -> list[_Spoken]:
    """The parts of one item side by side, items in the order of their first sound."""
    order: dict[tuple[str, str], int] = {}
    for each in spoken:
        order.setdefault(_item_of(each), len(order))
    return sorted(spoken, key=lambda each: order[_item_of(each)])


def _is_any_heard(parts: Iterable[_Spoken]) -> bool:
    return any(
        samples_to_ms(each.estimated_samples) or each.is_heard_completely for _, each in parts
    )


def _corrections_of(
    record: ResponseRecord,
    item_id: str,
    parts: Iterable[_Spoken],
    reasons: list[Reason],
    *,
    is_heard: bool,
) -> list[TruncateItem | DeleteItem]:
    """The events that make the conversation hold of an item what the caller heard of it; `reasons`
    gets why."""
    if is_heard:
        truncates: list[TruncateItem | DeleteItem] = [
            TruncateItem(item_id, part.content_index, samples_to_ms(each.estimated_samples))
            for part, each in parts
            if not each.is_heard_completely
        ]
        reasons += [Reason.TRUNCATED_AS_HEARD] * len(truncates) or [Reason.KEPT_AS_HEARD]
        return truncates
    # An item that the server has not finished cannot be deleted yet; it is once it is done.
    is_done = item_id in record.done_items
    reasons.append(Reason.DELETED_AS_UNHEARD if is_done else Reason.KEPT_UNTIL_DONE)
    return [DeleteItem(item_id)] if item_id in record.done_items else []
