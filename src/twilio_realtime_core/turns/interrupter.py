"""The interruption of the agent: the sound is stopped, and the model is told what was heard.

What is done is planned first (`interruption`); the application is notified of it last.
"""

from typing import Final

from attrs import define

from ..conversation.conversation import Conversation, ItemNotification
from ..downlink.agent_speech import AgentSpeech
from ..downlink.clips import ClipPlayer
from ..downlink.downlink import Downlink
from ..machine.lifecycles import ResponseInput
from ..machine.outbox import Outbox
from ..machine.reasons import Reason
from ..machine.units import samples_to_ms
from ..notifications import Interrupted, InterruptedItem, InterruptionCause
from ..protocols.realtime import DeleteItem
from ..responses.cancels import cancel_event
from ..responses.requests import Requests
from ..responses.responses import Responses
from ..session.session import Session
from ..values.playback_position import PartKey, PlaybackPosition
from .interruption import InterruptionPlan, plan_interruption

__all__ = ["Interrupter"]

_MADE: Final = {
    InterruptionCause.CALLER: Reason.INTERRUPTED_BY_CALLER,
    InterruptionCause.APPLICATION: Reason.INTERRUPTED_BY_APPLICATION,
}


@define(eq=False)
class Interrupter:
    """What interrupts the agent of one call."""

    _outbox: Outbox
    _session: Session
    _responses: Responses
    _requests: Requests
    _conversation: Conversation
    _downlink: Downlink
    _clips: ClipPlayer
    _speech: AgentSpeech

    def is_response_current(self, response_id: str, now: int) -> bool:
        """Whether a response is being generated to be heard, or some of it is still to be heard."""
        record = self._responses.get(response_id)
        if record is None or not record.is_audible:
            return False
        return (
            record.is_stoppable
            or self._downlink.order.is_held(record)
            or any(
                isinstance(each.source, PartKey)
                and each.source.response_id == response_id
                and each.estimated_samples < each.sent_samples
                for each in self._downlink.positions(now)
            )
        )

    def interrupt(
        self,
        cause: InterruptionCause,
        now: int,
        *,
        cancel: bool,
        server_interrupts: bool,
        includes_requests: bool = True,
    ) -> bool:
        """Interrupt all that plays or is being generated, and tell the model what was heard.
        Returns whether there was anything of the kind.

        `cancel`: cancel what is being generated. `server_interrupts`: the server cancels the
        response of the conversation by itself. `includes_requests`: a response that is requested
        and was not created is interrupted as well.
        """
        plan = plan_interruption(
            self._downlink.positions(now),
            self._responses,
            is_playing=self._downlink.is_playing(now),
            cancel=cancel,
            server_interrupts=server_interrupts,
        )
        self._outbox.explain(Reason.NOTHING_TO_STOP if plan is None else _MADE[cause])
        if plan is not None:
            self._apply(plan, cause, now)
        if includes_requests:
            self._requests.interrupted(cancel=cancel)
        if plan is None:
            return False
        self._clips.drop_queued_hold()
        return True

    def _apply(self, plan: InterruptionPlan, cause: InterruptionCause, now: int) -> None:
        stops_generation = plan.stops_generation  # of what is about to be stopped
        for reason in plan.reasons:
            self._outbox.explain(reason)
        self._speech.drop_rest()
        if plan.clears:
            self._downlink.clear(now)
        else:
            self._downlink.forget()
        for record in plan.cancelled:
            record.is_cancelled = True
            self._session.send_if_open(cancel_event(record.id))
        for record, item_id in plan.heard_items:
            record.mark_item_heard(item_id)
        for event in plan.corrections:
            self._session.send_if_open(event)
            if isinstance(event, DeleteItem):
                self._conversation.deletion_sent(event.item_id, is_unheard=True)
        for record in plan.stopped:
            record.lifecycle.step(ResponseInput.INTERRUPT)
        self._downlink.start_playback(plan.started)
        self._downlink.finish_playback(plan.completed)
        self._downlink.finish_clips(plan.clips)
        if plan.cut or stops_generation:
            self._notify_interrupted(plan, cause)

    def _notify_interrupted(self, plan: InterruptionPlan, cause: InterruptionCause) -> None:
        updates: list[ItemNotification] = []
        for part, position in plan.cut:
            heard_ms = samples_to_ms(position.estimated_samples)
            sent_ms = samples_to_ms(position.sent_samples)
            updates += self._conversation.cut(part.item_id, part.content_index, heard_ms, sent_ms)
        for item_id in dict.fromkeys(part.item_id for part, _ in plan.cut):
            for edit in self._conversation.correct_restored(item_id):
                self._session.send(edit)
        items = tuple(self._interrupted_item(part, position) for part, position in plan.cut)
        self._outbox.notify(Interrupted(cause, items))
        for update in updates:
            self._outbox.notify(update)

    def _interrupted_item(self, part: PartKey, position: PlaybackPosition) -> InterruptedItem:
        heard, unheard = self._conversation.split_transcript(part.item_id, part.content_index)
        return InterruptedItem(
            part.response_id,
            part.item_id,
            part.content_index,
            heard_ms=samples_to_ms(position.estimated_samples),
            sent_ms=samples_to_ms(position.sent_samples),
            heard=heard,
            unheard=unheard,
        )
