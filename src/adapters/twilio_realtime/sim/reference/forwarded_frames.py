"""Judge the most frequent step by itself: a frame of the caller that is only forwarded.

Nine of ten steps of a call are such frames, and next to nothing can be wrong with them. A frame is
*only forwarded* if

- it is of the stream, is audio, and the caller is not muted;
- the call is live, the session is ready, and nothing waits to be sent to it;
- the one output is an append of the same audio, as text, and the deadline is what it was.

Then no part of the reference model changes, so a judge that has passed the step before passes this
one. Judges that note when frames were received do so in `check_frame`. A judge takes part by
`is_frame_judge`; where another one is concerned with frames, all of them are judged in full.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from twilio_realtime_core.machine.actions import Action, Peer, Send

from .expected.call import ExpectedCall
from .expected.links import LinkState
from .received import ReceivedMedia
from .sent import SentAppend
from .step_record import ExpectedState, Invariant, Judge, is_concerned
from .wire import count_samples

__all__ = ["ForwardedFrames", "is_forwarded"]

_CheckFrame: TypeAlias = Callable[[ReceivedMedia, int, int, int | None], str | None]


class ForwardedFrames:
    """The judges of a call, as far as frames that are only forwarded concern them."""

    def __init__(
        self,
        call: ExpectedCall,
        invariants: Sequence[Invariant],
        states: Sequence[ExpectedState],
    ) -> None:
        self._links, self._uplink = call.links, call.uplink
        judges: list[Judge] = [*invariants, *states]
        self.is_possible = all(map(_passes_frames, judges))
        """Whether no judge has to see each frame in full."""
        self.checks: list[_CheckFrame] = [
            each.check_frame
            for each in invariants
            if type(each).check_frame is not Invariant.check_frame
        ]

    def count_samples(self, frame: ReceivedMedia) -> int | None:
        """Return the samples of a frame that may only be forwarded, as things stand before the
        step; `None` if more may have to happen."""
        links, uplink = self._links, self._uplink
        is_quiet = (
            links.is_session_ready
            and links.is_streaming
            and links.is_live
            and links.states[Peer.REALTIME] is LinkState.OPEN
            and not uplink.queue
            and not uplink.is_muted
        )
        if not is_quiet or frame.stream_sid != links.stream_sid:
            return None
        return count_samples(frame.payload)


def _passes_frames(judge: Judge) -> bool:
    concerns_frames = is_concerned(judge, ReceivedMedia) or is_concerned(judge, SentAppend)
    return judge.is_frame_judge or not concerns_frames


def is_forwarded(frame: ReceivedMedia, actions: Sequence[Action]) -> bool:
    """Whether the one output to a frame is an append of its audio."""
    if len(actions) != 1 or type(action := actions[0]) is not Send:
        return False
    expected = f'{{"type":"input_audio_buffer.append","audio":"{frame.payload}"}}'
    return action.peer is Peer.REALTIME and action.message.encode() == expected
