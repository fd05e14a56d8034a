"""How many words count as heard, and how many were: in simulated speech, and in recorded sessions.

A sentence is said at 120 to 240 words a minute, each word and each pause as long as chance has it.
Its audio is generated at some pace, its transcript half as fast again (as recorded sessions show),
and the caller interrupts at any moment. In recorded sessions words and audio have the order that
the server sent them in; the audio tokens of the usage say how long the audio is, and each word
takes its share of it by its length.
"""

import json
import random
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from attrs import frozen

from twilio_realtime.sim.model.pace import Pace
from twilio_realtime_core.conversation.conversation import Conversation
from twilio_realtime_core.conversation.speaking_pace import WORD, count_units
from twilio_realtime_core.protocols.realtime import Item

from .measuring import quantile

__all__ = ["study_words"]

PACES: Final = (1.2, 1.5, 2.0, 2.5, 3.0, 5.0, 8.0, 12.0)
TRACES: Final = Path(__file__).parents[2] / "core" / "traces"
TOKEN_MS: Final = 50
LEAD: Final = 1.5
FIRST_MS: Final = 250
"""Audio that is there when playback starts."""

SENTENCES: Final = (
    "Your order left the warehouse yesterday, and it should arrive on Thursday before noon.",
    "I am sorry, the kitchen closes at ten, but we can still take orders for cold dishes.",
    "To change your appointment I need your date of birth and the last four digits of your number.",
    "Of course. I have two tables left for tonight, one at seven and one at a quarter past nine.",
    "The technician will call you about half an hour before he arrives at your address.",
    "That makes forty-two euros and fifty cents altogether; would you like to pay by card?",
    "We are open from Monday to Saturday, and on the first Sunday of each month as well.",
    "No, the train at eight is cancelled today, so please take the one at eight forty instead.",
)


@frozen
class Utterance:
    """What is said: its words, when each ends (ms), and how long it takes (ms)."""

    text: str
    ends_ms: Sequence[float]
    total_ms: int

    def count_said(self, position_ms: float) -> int:
        """How many words are complete at a position."""
        return sum(end <= position_ms for end in self.ends_ms)


def study_words(samples: int) -> str:
    """Return the table: for each pace, how many words too many and too few count as heard."""
    head = f"{'pace':20}{'words too many':>24}{'words too few':>20}"
    sub = f"{'':20}{'mean':>8}{'p99':>8}{'max':>8}{'mean':>10}{'p95':>10}"
    lines = [head, sub]
    for pace in PACES:
        lines.append(_line(f"{pace} times", [_simulate(pace, seed) for seed in range(samples)]))
    for path in sorted(TRACES.glob("*.jsonl")):
        if errors := [*_replay(path)]:
            name = path.stem.removeprefix("realtime_").removesuffix("_turn")
            lines.append(_line(name.replace("_", " ")[:19], errors))
    return "\n".join(lines)


def _line(name: str, errors: Sequence[int]) -> str:
    over = [float(max(0, each)) for each in errors]
    under = [float(max(0, -each)) for each in errors]
    return (
        f"{name:20}{fmean(over):8.2f}{quantile(over, 0.99):8.0f}{max(over):8.0f}"
        f"{fmean(under):10.1f}{quantile(under, 0.95):10.0f}"
    )


def _simulate(pace: float, seed: int) -> int:
    """One interruption; in every second call something was said to its end before."""
    chance = random.Random(seed)
    voice = chance.uniform(9.6, 19.2)  # units a second: 120 to 240 words a minute
    conversation = Conversation()
    for number in range(2 * (seed % 2)):
        _say_all(conversation, f"before{number}", _speak(chance, voice))
    said = _speak(chance, voice)
    heard_ms = chance.uniform(0, said.total_ms)
    sent_ms = min(said.total_ms, round(heard_ms * pace) + FIRST_MS)
    received_ms = min(said.total_ms, sent_ms * LEAD)
    words = [word.group() for word in WORD.finditer(said.text)]
    received = " ".join(words[: max(3, said.count_said(received_ms))])
    _add(conversation, "i")
    conversation.transcript_delta("i", 0, received)
    if sent_ms == said.total_ms:
        _complete(conversation, "i", said)
    return _count_heard(conversation, round(heard_ms), sent_ms) - said.count_said(heard_ms)


def _count_heard(conversation: Conversation, heard_ms: int, sent_ms: int) -> int:
    conversation.cut("i", 0, min(heard_ms, sent_ms), sent_ms)
    return len((conversation.split_transcript("i", 0)[0] or "").split())


def _speak(chance: random.Random, voice: float) -> Utterance:
    text = " ".join(chance.sample(SENTENCES, 2))
    lengths_ms: list[float] = []
    for word in WORD.finditer(text):
        pause_ms = chance.uniform(80, 400) if word.group()[-1] in ",.;?" else 0
        length_ms = 1000 * count_units(word.group()) / voice * chance.uniform(0.7, 1.3)
        lengths_ms.append(length_ms + pause_ms)
    ends_ms = [*accumulate(lengths_ms)]
    return Utterance(text, ends_ms, round(ends_ms[-1]))


def _add(conversation: Conversation, item_id: str) -> None:
    item = Item(item_id, "message", "assistant", "in_progress", [{"type": "output_audio"}])
    conversation.item_added(item, "")


def _say_all(conversation: Conversation, item_id: str, said: Utterance) -> None:
    _add(conversation, item_id)
    _complete(conversation, item_id, said)


def _complete(conversation: Conversation, item_id: str, said: Utterance) -> None:
    conversation.audio_completed(item_id, 0, said.total_ms)
    conversation.transcript_done(item_id, 0, said.text)
    content = [{"type": "output_audio", "transcript": said.text}]
    conversation.item_done(Item(item_id, "message", "assistant", "completed", content))


# Recorded sessions.


def _replay(path: Path) -> Iterator[int]:
    """Interrupt what a recorded session says at every moment, at every pace."""
    events: list[Any] = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    kind = "response.output_audio_transcript"
    whole = next((each["transcript"] for each in events if each["type"] == f"{kind}.done"), None)
    if whole is None:  # nothing is spoken
        return
    usage = next(each["response"]["usage"] for each in events if each["type"] == "response.done")
    total_ms = usage["output_token_details"]["audio_tokens"] * TOKEN_MS
    said = _divide(whole, total_ms)
    states = [*_states(events, kind, total_ms)]
    for pace in PACES:
        for heard_ms in range(0, total_ms, TOKEN_MS):
            sent_ms = min(total_ms, round(heard_ms * pace) + FIRST_MS)
            at_ms, received = next(
                (state for state in states if state[0] >= sent_ms), (total_ms, whole)
            )
            conversation = Conversation()
            _add(conversation, "i")
            conversation.transcript_delta("i", 0, received)
            if at_ms >= total_ms:
                _complete(conversation, "i", said)
            counted = _count_heard(conversation, heard_ms, min(at_ms, total_ms))
            yield counted - said.count_said(heard_ms)


def _divide(text: str, total_ms: int) -> Utterance:
    units = [count_units(word.group()) for word in WORD.finditer(text)]
    ends_ms = [total_ms * each / sum(units) for each in accumulate(units)]
    return Utterance(text, ends_ms, total_ms)


def _states(events: Sequence[Any], kind: str, total_ms: int) -> Iterator[tuple[int, str]]:
    """How much audio, and which words, were received after each delta of audio."""
    sizes_ms = Pace().delta_sizes_ms(total_ms)
    audio_ms, words = 0, ""
    for event in events:
        if event["type"] == f"{kind}.delta":
            words += event["delta"]
        elif event["type"] == "response.output_audio.delta":
            audio_ms = min(total_ms, audio_ms + next(sizes_ms, total_ms))
            yield audio_ms, words
