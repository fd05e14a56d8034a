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
from ..machine.units import whole_ms
from ..protocols.realtime import CancelResponse, DeleteItem, ServerError, TruncateItem
from ..responses.responses import ModelResponse, Responses
from ..values.playback_position import Heard, Part

__all__ = ["Interruption", "cancel_of", "interrupt", "is_late_cancel", "recognisable"]

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
    cut: tuple[Heard, ...]
    finished: tuple[Part, ...]
    stopped_generating: bool
    own: tuple[Heard, ...] = ()


def interrupt(
    playout: Playout, responses: Responses, now: int, *, cancel: bool, server_cancels: bool
) -> Interruption | None:
    """Interrupt all that plays or is being generated; `None` if there is nothing of the kind.

    `cancel`: cancel what is being generated. `server_cancels`: the server does so by itself for the
    response of the conversation. Afterwards the responses are silenced and the playout is empty.
    """
    clear = playout.playing(now)
    told = playout.heard(now)
    heard = [each for each in told if not each.part.own]
    stopped = _stopped(responses, [each for each in heard if clear or not each.complete])
    going_on = [each for each in responses.generating if _goes_on_unheard(each)]
    to_cancel = [
        each
        for each in (*stopped, *going_on)
        if cancel
        and each.life.state in (ResponseState.GENERATING, ResponseState.INTERRUPTED)
        and not (server_cancels and each.in_conversation)
    ]
    if not clear and not stopped and not to_cancel:
        return None
    cancels = [cancel_of(each.id) for each in to_cancel]
    for each in to_cancel:
        each.cancelled = True
    corrections = [
        event
        for (response_id, item_id), parts in groupby(_by_item(heard), key=_item_of)
        if not responses.is_gone(item_id)
        for event in _correct(responses.get(response_id), item_id, list(parts))
    ]
    stopped_generating = any(each.generating for each in stopped)
    for each in stopped:
        each.life.step(ResponseInput.INTERRUPT)
    playout.clear()
    return Interruption(
        clear,
        events=(*cancels, *corrections),
        cut=tuple(each for each in heard if not _to_the_end(each)),
        finished=tuple(each.part for each in heard if _to_the_end(each)),
        stopped_generating=stopped_generating,
        own=tuple(each for each in told if each.part.own),
    )


def cancel_of(response_id: str) -> CancelResponse:
    """Our cancel of a response."""
    return CancelResponse(response_id, event_id=_CANCEL_ID + response_id)


def recognisable(event: CancelResponse) -> CancelResponse:
    """A cancel of the application, with an event id by which its late error is known; one that has
    an id of its own keeps it, and its error is told."""
    return event if event.event_id else evolve(event, event_id=_CANCEL_ID + "by-hand")


def is_late_cancel(error: ServerError) -> bool:
    """Whether an error only says that a response ended while our cancel of it was under way."""
    ours = error.event_id is not None and error.event_id.startswith(_CANCEL_ID)
    return ours and error.code == "response_cancel_not_active"


def _stopped(responses: Responses, sounding: list[Heard]) -> list[ModelResponse]:
    """What sounds is stopped, and what would sound: of responses still generating without sound,
    those of the conversation; one outside of it may be text that no caller is to hear."""
    heard = {each.part.response_id: responses.get(each.part.response_id) for each in sounding}
    stopped = [each for each in responses.generating if each.in_conversation or each.id in heard]
    stopped += [each for each in heard.values() if not each.generating]
    return [each for each in stopped if each.audible]


def _goes_on_unheard(response: ModelResponse) -> bool:
    """An interruption that was to cancel nothing has left it so."""
    unheard = response.life.state is ResponseState.INTERRUPTED
    return unheard and response.in_conversation and not response.cancelled


def _item_of(heard: Heard) -> tuple[str, str]:
    return heard.part.response_id, heard.part.item_id


def _by_item(heard: list[Heard]) -> list[Heard]:
    """Parts of one item side by side, items in the order in which they began to be sent."""
    first: dict[tuple[str, str], int] = {}
    for each in heard:
        first.setdefault(_item_of(each), len(first))
    return sorted(heard, key=lambda each: first[_item_of(each)])


def _to_the_end(heard: Heard) -> bool:
    return heard.complete and heard.estimated == heard.sent


def _correct(
    response: ModelResponse, item_id: str, parts: list[Heard]
) -> list[TruncateItem | DeleteItem]:
    """What makes the model's memory of an item what the caller heard of it."""
    if not response.in_conversation:
        return []
    if any(whole_ms(each.estimated) or _to_the_end(each) for each in parts):
        response.item_heard(item_id)
    if item_id in response.heard_items:
        return [
            TruncateItem(item_id, each.part.content_index, whole_ms(each.estimated))
            for each in parts
            if not _to_the_end(each)
        ]
    # An item that the server has not finished cannot be deleted yet; it is once it is done.
    return [DeleteItem(item_id)] if item_id in response.done_items else []
