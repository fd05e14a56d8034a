"""A long call costs what a short one costs: operations are counted, not timed."""

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from attrs import define, field

from calling import SESSION, SID
from twilio_realtime_core import Bridge, CallConfig, Peer, Send
from twilio_realtime_core.machine.actions import Action
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.protocols.twilio import Mark

TURN_NS: Final = 4 * SECOND
PAYLOAD: Final = "/" * 212 + "///="
MINUTE: Final = 15
"""The turns of a minute."""
TWO_HOURS: Final = 2 * 60 * MINUTE


def count_operations(function: Callable[[], object]) -> int:
    """Return how many functions, of Python and of C, a function calls."""
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        del frame, argument
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


@define(eq=False)
class LongCall:
    """A call in which caller and agent take turns."""

    bridge: Bridge = field(factory=lambda: Bridge(CallConfig(reconnect=None, max_call_ms=None)))
    now: int = 0
    turns: int = 0
    marks: list[str] = field(factory=list[str])

    def __attrs_post_init__(self) -> None:
        self.bridge.start(0)
        self.bridge.opened(Peer.TWILIO, 0)
        self.phone("start", start={"callSid": "CA1"})
        self.bridge.opened(Peer.REALTIME, 0)
        self.model("session.updated", session=SESSION)

    def take(self, actions: list[Action]) -> None:
        self.marks += [
            each.message.name
            for each in actions
            if isinstance(each, Send) and isinstance(each.message, Mark)
        ]

    def phone(self, event: str, **fields: object) -> None:
        text = json.dumps({"event": event, "streamSid": SID, **fields})
        self.take(self.bridge.receive_text(Peer.TWILIO, text, self.now))

    def frame(self) -> None:
        self.phone("media", media={"track": "inbound", "payload": PAYLOAD})

    def model(self, kind: str, **fields: object) -> None:
        text = json.dumps({"type": kind, **fields})
        self.take(self.bridge.receive_text(Peer.REALTIME, text, self.now))

    def delta(self) -> None:
        self.model("response.output_audio.delta", **self.part, delta=PAYLOAD)

    @property
    def part(self) -> dict[str, Any]:
        ids = {"response_id": f"resp_{self.turns}", "item_id": f"item_{self.turns}"}
        return {**ids, "output_index": 0, "content_index": 0}

    def echo(self) -> None:
        while self.marks:
            self.phone("mark", mark={"name": self.marks.pop(0)})

    def wait(self, duration_ns: int) -> None:
        end = self.now + duration_ns
        while (deadline := self.bridge.deadline) is not None and deadline <= end:
            self.now = deadline
            self.take(self.bridge.handle_timeout(deadline))
        self.now = end

    def caller_item(self) -> dict[str, Any]:
        return {
            "id": f"said_{self.turns}",
            "type": "message",
            "role": "user",
            "status": "completed",
            "content": [{"type": "input_audio", "transcript": "A question."}],
        }

    def take_turns(self, count: int) -> None:
        for _ in range(count):
            self.turns += 1
            item = {"id": self.part["item_id"], "type": "message", "role": "assistant"}
            self.frame()
            self.model("input_audio_buffer.speech_started", item_id=f"said_{self.turns}")
            self.model("input_audio_buffer.speech_stopped", item_id=f"said_{self.turns}")
            self.model("input_audio_buffer.committed", item_id=f"said_{self.turns}")
            self.model("conversation.item.added", item=self.caller_item())
            self.model("response.created", response={"id": self.part["response_id"]})
            self.model("response.output_item.added", **self.part, item=item)
            self.model("conversation.item.added", item={**item, "content": []})
            self.model("response.output_audio_transcript.delta", **self.part, delta="An answer.")
            self.delta()
            self.model("response.output_audio.done", **self.part)
            self.wait(500 * MS)
            self.echo()
            self.model("response.output_audio_transcript.done", **self.part, transcript="Answer.")
            self.model("response.output_item.done", **self.part, item=item)
            self.model("conversation.item.done", item={**item, "status": "completed"})
            self.model(
                "response.done", response={"id": self.part["response_id"], "status": "completed"}
            )
            self.wait(TURN_NS - 500 * MS)

    def operations(self) -> dict[str, int]:
        """The operations of a frame of the caller, of audio of the agent, and of its echo."""
        self.turns += 1
        self.model("response.created", response={"id": self.part["response_id"]})
        counts = {"frame": count_operations(self.frame), "delta": count_operations(self.delta)}
        self.model("response.output_audio.done", **self.part)
        self.wait(500 * MS)
        counts["echo"] = count_operations(self.echo)
        self.model(
            "response.done", response={"id": self.part["response_id"], "status": "completed"}
        )
        self.wait(TURN_NS - 500 * MS)
        return counts


def test_two_hours_of_a_call_do_not_make_a_message_dearer() -> None:
    call = LongCall()
    call.take_turns(MINUTE)
    early = call.operations()
    call.take_turns(TWO_HOURS)
    late = call.operations()
    assert not call.bridge.has_ended
    assert len(call.bridge.items) > 2_000
    for what, count in early.items():
        assert late[what] <= 1.05 * count, what


def test_reading_a_long_conversation_makes_only_changed_items_again() -> None:
    call = LongCall()
    call.take_turns(TWO_HOURS)
    before = call.bridge.items
    assert count_operations(lambda: call.bridge.items) < 2 * len(before) + 10
    call.turns += 1
    call.model("conversation.item.added", item=call.caller_item())
    after = call.bridge.items
    known = {item.id: item for item in before}
    assert [item.id for item in after if known.get(item.id) is not item] == [f"said_{call.turns}"]
