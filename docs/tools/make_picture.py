"""Draws `docs/explanation/barge-in.svg` from a simulated call: run this script to write it."""

from pathlib import Path
from typing import Final

from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.model.realtime_peer import RealtimePeer
from twilio_realtime.sim.model.replies import Reply, SpokenReply
from twilio_realtime.sim.phone.caller import AfterDelay, CallerSays, WhenAgentHeard
from twilio_realtime.sim.phone.twilio_peer import CueStarted, TwilioPeer
from twilio_realtime.sim.world.calls import message_call
from twilio_realtime.sim.world.world import Step
from twilio_realtime_core import Bridge, CallConfig, Peer, Send, SessionConfig
from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.machine.units import MS, SECOND, samples_to_ns
from twilio_realtime_core.notifications import Interrupted
from twilio_realtime_core.protocols import twilio

PICTURE: Final = Path(__file__).parents[1] / "explanation/barge-in.svg"

WIDTH, HEIGHT = 860, 330
LEFT, RIGHT = 118, 24
FROM_NS, TO_NS = 0, int(7.6 * SECOND)
CALLER, MODEL, HEARD, CUT = "#2563eb", "#d97706", "#059669", "#dc2626"
INK, FAINT = "#1f2937", "#9ca3af"


class Observed:
    """What happened in a call in which the caller interrupts once."""

    def __init__(self) -> None:
        question, wait = map(sample_speech.load, ("caller_question", "caller_interruption"))
        answer, goodbye = map(sample_speech.load, ("agent_answer", "agent_goodbye"))
        script = (
            AfterDelay(300 * MS, CallerSays(question.audio)),
            WhenAgentHeard(1500, CallerSays(wait.audio)),
        )
        replies = [Reply((SpokenReply(each.audio, each.transcript),)) for each in (answer, goodbye)]
        detection = {"type": "server_vad", "silence_duration_ms": 500}
        config = CallConfig(session=SessionConfig(turn_detection=detection))
        phone = TwilioPeer(url="ws://bridge/media-stream", seed=1, script=script)
        world = message_call(Bridge(config), phone, RealtimePeer(replies, seed=2))
        world.step_observers.append(self.observe)
        self.sent: list[tuple[int, int]] = []
        world.run(TO_NS)
        cues = [event for _, _, event in world.notifications if isinstance(event, CueStarted)]
        self.said = [
            (cue.at_ns, cue.at_ns + samples_to_ns(len(each.audio)))
            for cue, each in zip(cues, (question, wait), strict=True)
        ]
        self.heard = [(each.start_ns, each.end_ns) for each in phone.segments(TO_NS)]
        self.clear = phone.clears[0]
        self.told = next(
            event for _, _, event in world.notifications if isinstance(event, Interrupted)
        )

    def observe(self, step: Step) -> None:
        """Note the audio that leaves the bridge: when, and how many samples."""
        for action in step.outputs:
            if isinstance(action, Send) and action.peer is Peer.TWILIO:
                message = action.message
                if isinstance(message, twilio.Media):
                    self.sent.append((step.at_ns, count_samples(message.payload) or 0))

    def waiting_ns(self, now: int) -> int:
        """How much audio waits at Twilio."""
        sent = sum(samples_to_ns(samples) for when, samples in self.sent if when <= now)
        played = sum(max(0, min(end, now) - start) for start, end in self.heard if start <= now)
        gone = samples_to_ns(self.clear.discarded_bytes) if now >= self.clear.at_ns else 0
        return max(0, sent - played - gone)


def x(now: int) -> float:
    """Where a moment lies in the picture."""
    return LEFT + (WIDTH - LEFT - RIGHT) * (now - FROM_NS) / (TO_NS - FROM_NS)


def text(left: float, top: float, words: str, colour: str = INK, anchor: str = "start") -> str:
    """A line of words."""
    return f'<text x="{left:.1f}" y="{top:g}" fill="{colour}" text-anchor="{anchor}">{words}</text>'


def bar(start: int, end: int, top: int, colour: str) -> str:
    """A span of time in a lane."""
    return (
        f'<rect x="{x(start):.1f}" y="{top}" width="{x(end) - x(start):.1f}" height="26" rx="4" '
        f'fill="{colour}"/>'
    )


def draw() -> str:
    """The picture."""
    call = Observed()
    reply = [when for when, _ in call.sent if when < call.clear.at_ns]
    generated = sum(samples for when, samples in call.sent if when < call.clear.at_ns) / 8000
    cut = call.clear.at_ns
    lanes = [
        text(LEFT - 10, 67, "caller says", CALLER, "end"),
        *(bar(start, end, 50, CALLER) for start, end in call.said),
        text(LEFT - 10, 117, "model sends", MODEL, "end"),
        bar(reply[0], reply[-1], 100, MODEL),
        text(x(reply[0]) - 8, 117, f"{generated:.1f} s of speech at once", MODEL, "end"),
        text(LEFT - 10, 167, "caller hears", HEARD, "end"),
        *(bar(start, end, 150, HEARD) for start, end in call.heard),
        text(LEFT - 10, 240, "waits at Twilio", FAINT, "end"),
    ]
    moments = range(FROM_NS, TO_NS + 1, 20 * MS)
    deepest = max(call.waiting_ns(now) for now in moments)
    curve = " ".join(
        f"{x(now):.1f},{285 - 70 * call.waiting_ns(now) / deepest:.1f}" for now in moments
    )
    depth = deepest / SECOND
    (item,) = call.told.items
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
                'role="img" font-family="system-ui, sans-serif" font-size="13">'
            ),
            "<title>A barge-in: what is said, sent, heard and told</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>',
            *lanes,
            f'<polygon points="{x(FROM_NS):.1f},285 {curve} {x(TO_NS):.1f},285" fill="#e5e7eb"/>',
            text(x(reply[-1]), 208, f"up to {depth:.1f} s", FAINT, "end"),
            (
                f'<line x1="{x(cut):.1f}" x2="{x(cut):.1f}" y1="40" y2="288" stroke="{CUT}" '
                'stroke-width="2" stroke-dasharray="5 3"/>'
            ),
            text(x(cut) + 8, 184, "clear: silence at once", CUT),
            text(x(cut) + 8, 202, f"truncate: “{item.heard_ms} ms were heard”", CUT),
            text(x(cut) + 8, 220, f"in truth: {call.clear.heard_bytes / 8:.1f} ms", CUT),
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="285" y2="285" stroke="{FAINT}"/>',
            *(
                text(x(second * SECOND), 305, f"{second} s", FAINT, "middle")
                for second in range(TO_NS // SECOND + 1)
            ),
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    print(f"wrote {PICTURE}")
