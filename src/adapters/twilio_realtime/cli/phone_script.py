"""What the caller of the `phone` command does, from its options."""

from collections.abc import Sequence
from typing import Final

from twilio_realtime_core.machine.units import MS

from ..errors import UsageError
from ..sim import sample_speech
from ..sim.phone.caller import (
    AfterDelay,
    CallerHangsUp,
    CallerPressesKey,
    CallerSays,
    Cue,
    WhenAgentHeard,
    WhenAgentQuiet,
)
from .wav import load_wav

__all__ = ["make_script"]

_PAUSE_BEFORE_SPEECH_NS: Final = 500 * MS
"""From the stream's start until the caller speaks."""
_KEY_INTERVAL_NS: Final = 250 * MS
_KEYS: Final = "0123456789*#ABCD"


def make_script(
    wavs: Sequence[str],
    *,
    quiet_ms: int,
    waits: bool = False,
    keys: str = "",
    interrupt_after_ms: int | None = None,
    hangs_up: bool = True,
) -> list[Cue]:
    """Return the script of a caller who says one file after the other, each once the agent has
    answered and then been silent for `quiet_ms`, presses keys, and hangs up.

    `waits`: the caller first listens to the greeting. `interrupt_after_ms`: after so much of the
    first answer the caller interrupts with the second file, or with a sample. Without `hangs_up`,
    the agent has to.

    Raises `OSError` and `UsageError` as `load_wav` does, and `UsageError` for a key that a phone
    does not have.
    """
    if wrong := set(keys) - set(_KEYS):
        raise UsageError(f"a phone has no key {min(wrong)}: use {_KEYS}")
    speeches = [load_wav(each) for each in wavs]
    if not speeches and not keys:
        speeches = [sample_speech.load("caller_question").audio]
    if interrupt_after_ms is not None and len(speeches) == 1:
        speeches.append(sample_speech.load("caller_interruption").audio)
    quiet_ns = quiet_ms * MS
    acts = [CallerSays(each) for each in speeches]
    script: list[Cue] = []
    for number, act in enumerate(acts):
        if number == 0 and not waits:
            script.append(AfterDelay(_PAUSE_BEFORE_SPEECH_NS, act))
        elif number == 1 and interrupt_after_ms is not None:
            script.append(WhenAgentHeard(interrupt_after_ms, act))
        else:
            script.append(WhenAgentQuiet(quiet_ns, act))
    for number, key in enumerate(keys):
        press = CallerPressesKey(key)
        if number:
            script.append(AfterDelay(_KEY_INTERVAL_NS, press))
        elif script or waits:
            script.append(WhenAgentQuiet(quiet_ns, press))
        else:
            script.append(AfterDelay(_PAUSE_BEFORE_SPEECH_NS, press))
    if hangs_up:
        script.append(WhenAgentQuiet(quiet_ns, CallerHangsUp()))
    return script
