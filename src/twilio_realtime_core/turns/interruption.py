"""What an interruption does: one transaction, whatever caused it.

The sound stops first (`clear`). Then the model is told what was heard, so that the conversation
holds no words that the caller never heard: a part heard in part is truncated there, an item of
which nothing was heard is deleted (the server refuses to truncate before any audio, and at 0 ms it
would keep the transcript), one heard to the end is left alone. Responses outside the conversation,
and audio of the application's own, are only silenced: the history does not hold them.

Source: OpenAI API reference, "Realtime", `conversation.item.truncate`, `response.cancel`.
"""

from itertools import groupby
from typing import Final

from attrs import evolve, frozen

from ..downlink.playout import Playout
from ..machine.lifecycles import ResponseInput, ResponseState
from ..machine.units import samples_to_ms
from ..protocols.realtime import CancelResponse, DeleteItem, ServerError, TruncateItem
from ..responses.responses import ResponseRecord, Responses
from ..values.playback_position import PartKey, PlaybackPosition

__all__ = ["Interruption", "cancel_event", "interrupt", "is_late_cancel", "with_event_id"]

_CANCEL_ID: Final = "bridge-cancel-"
"""Begins the event id of our cancels, so that the error of one that came too late is known."""


@frozen
class Interruption:
    """What has to be done, in this order: clear Twilio's queue if `clear`, send `events` to the
    model. `cut` are the parts not heard to the end, `finished` those that were, as far as can be
    known, although no mark has confirmed it; `own` is audio of the application, heard or not.
    `stopped_generating`: more would have been said."""

    clear: bool
    events: tuple[CancelResponse | TruncateItem | DeleteItem, ...]
    cut: tuple[PlaybackPosition, ...]
    finished: tuple[PartKey, ...]
    stopped_generating: bool
    own: tuple[PlaybackPosition, ...] = ()


def interrupt(
    playout: Playout, responses: Responses, now: int, *, cancel: bool, server_cancels: bool
) -> Interruption | None:
    """Interrupt all that plays or is being generated; `None` if there is nothing of the kind.

    `cancel`: cancel what is being generated. `server_cancels`: the server does so by itself for the
    response of the conversation. Afterwards the responses are silenced and the playout is empty.
    """
    clear = playout.is_playing(now)
    told = playout.positions(now)
    heard = [each for each in told if not each.part.is_clip]
    stopped = _stopped(responses, [each for each in heard if clear or not each.is_complete])
    going_on = [each for each in responses.generating if _is_generating_unheard(each)]
    to_cancel = [
        each
        for each in (*stopped, *going_on)
        if cancel
        and each.lifecycle.state in (ResponseState.GENERATING, ResponseState.INTERRUPTED)
        and not (server_cancels and each.is_in_conversation)
    ]
    if not clear and not stopped and not to_cancel:
        return None
    cancels = [cancel_event(each.id) for each in to_cancel]
    for each in to_cancel:
        each.is_cancelled = True
    corrections = [
        event
        for (response_id, item_id), parts in groupby(_by_item(heard), key=_item_of)
        if not responses.is_item_deleted(item_id)
        for event in _corrections_of(responses.get_or_create(response_id), item_id, list(parts))
    ]
    stopped_generating = any(each.is_generating for each in stopped)
    for each in stopped:
        each.lifecycle.step(ResponseInput.INTERRUPT)
    playout.clear()
    return Interruption(
        clear,
        events=(*cancels, *corrections),
        cut=tuple(each for each in heard if not _is_heard_completely(each)),
        finished=tuple(each.part for each in heard if _is_heard_completely(each)),
        stopped_generating=stopped_generating,
        own=tuple(each for each in told if each.part.is_clip),
    )


def cancel_event(response_id: str) -> CancelResponse:
    """Our cancel of a response."""
    return CancelResponse(response_id, event_id=_CANCEL_ID + response_id)


def with_event_id(event: CancelResponse) -> CancelResponse:
    """A cancel of the application, with an event id by which its late error is known; one that has
    an id of its own keeps it, and its error is told."""
    return event if event.event_id else evolve(event, event_id=_CANCEL_ID + "by-hand")


def is_late_cancel(error: ServerError) -> bool:
    """Whether an error only says that a response ended while our cancel of it was under way."""
    ours = error.event_id is not None and error.event_id.startswith(_CANCEL_ID)
    return ours and error.code == "response_cancel_not_active"


def _stopped(responses: Responses, sounding: list[PlaybackPosition]) -> list[ResponseRecord]:
    """What sounds is stopped, and what would sound: of responses still generating without sound,
    those of the conversation; one outside of it may be text that no caller is to hear."""
    heard = {
        each.part.response_id: responses.get_or_create(each.part.response_id) for each in sounding
    }
    stopped = [each for each in responses.generating if each.is_in_conversation or each.id in heard]
    stopped += [each for each in heard.values() if not each.is_generating]
    return [each for each in stopped if each.is_audible]


def _is_generating_unheard(response: ResponseRecord) -> bool:
    """An interruption that was to cancel nothing has left it so."""
    unheard = response.lifecycle.state is ResponseState.INTERRUPTED
    return unheard and response.is_in_conversation and not response.is_cancelled


def _item_of(heard: PlaybackPosition) -> tuple[str, str]:
    return heard.part.response_id, heard.part.item_id


def _by_item(heard: list[PlaybackPosition]) -> list[PlaybackPosition]:
    """Parts of one item side by side, items in the order in which they began to be sent."""
    first: dict[tuple[str, str], int] = {}
    for each in heard:
        first.setdefault(_item_of(each), len(first))
    return sorted(heard, key=lambda each: first[_item_of(each)])


def _is_heard_completely(heard: PlaybackPosition) -> bool:
    return heard.is_complete and heard.estimated_samples == heard.sent_samples


def _corrections_of(
    response: ResponseRecord, item_id: str, parts: list[PlaybackPosition]
) -> list[TruncateItem | DeleteItem]:
    """What makes the model's memory of an item what the caller heard of it."""
    if not response.is_in_conversation:
        return []
    if any(samples_to_ms(each.estimated_samples) or _is_heard_completely(each) for each in parts):
        response.mark_item_heard(item_id)
    if item_id in response.heard_items:
        return [
            TruncateItem(item_id, each.part.content_index, samples_to_ms(each.estimated_samples))
            for each in parts
            if not _is_heard_completely(each)
        ]
    # An item that the server has not finished cannot be deleted yet; it is once it is done.
    return [DeleteItem(item_id)] if item_id in response.done_items else []
