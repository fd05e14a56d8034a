"""The configuration of a random call: what an application may set, drawn from its choices."""

from typing import Any, Final

from twilio_realtime_core.config.call import CallConfig, SessionConfig
from twilio_realtime_core.config.interruption_policy import (
    IMMEDIATE,
    InterruptionAttempt,
    InterruptionLimit,
    InterruptionPolicy,
)
from twilio_realtime_core.config.start_delay_history import StartDelayHistory
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.machine.units import MS

from ..scenarios import TURN_DETECTION
from .choices import Choices

__all__ = ["draw_config", "server_responds"]

_TRANSCRIBER: Final = {"model": "gpt-4o-mini-transcribe"}

_BY_MEANING: Final[dict[str, Any]] = {"type": "semantic_vad", "eagerness": "high"}

_LIMITS: Final = (
    None,
    None,
    InterruptionLimit(1, per_ms=3000),
    InterruptionLimit(2, per_ms=60_000, instruction=None),
)

_ENOUGH_MS: Final = 500
"""The predicate of a random call lets nobody interrupt who has heard less, and spoken less."""


def draw_config(choices: Choices) -> CallConfig:
    """How a call is to be."""
    session = SessionConfig(
        turn_detection=_draw_turn_detection(choices),
        transcription=_TRANSCRIBER if choices.happens("transcription", 60) else None,
    )
    return CallConfig(
        session=session,
        url="ws://model/v1/realtime",
        configure_timeout_ms=choices.pick("configuration after", (0, 1_000)),
        start_timeout_ms=choices.pick("start within", (10_000, 1_000)),
        session_timeout_ms=choices.pick("session within", (15_000, 1_000)),
        inactivity_timeout_ms=choices.pick("inactivity after", (750, None, 100, 40)),
        interruption=_draw_policy(choices),
        start_delay_history=StartDelayHistory(
            (150 * MS,) * choices.pick("bursts known of the line", (0, 8))
        ),
        notify_agent_audio=choices.happens("the agent's audio is told", 10),
        raw_messages=frozenset(Peer) if choices.happens("raw messages", 10) else frozenset(),
    )


def server_responds(config: CallConfig) -> bool:
    """Whether turn detection has the caller answered; otherwise the application has to."""
    audio = config.session.to_update_event().session["audio"]
    detection: dict[str, Any] = audio["input"]["turn_detection"]
    return bool(detection.get("create_response", True))


def _draw_turn_detection(choices: Choices) -> dict[str, Any]:
    detection: dict[str, Any] = dict(TURN_DETECTION)
    if choices.happens("turn detection by meaning", 10):
        detection = dict(_BY_MEANING)
    if choices.happens("the server does not interrupt", 15):
        detection["interrupt_response"] = False
    if choices.happens("the server does not respond", 10):
        detection["create_response"] = False
    return detection


def _draw_policy(choices: Choices) -> InterruptionPolicy:
    """When a caller may interrupt: as a rule at once, or all else that a policy can say."""
    if not choices.happens("a policy of interruptions", 40):
        return IMMEDIATE
    return InterruptionPolicy(
        allowed=not choices.happens("nobody interrupts", 10),
        after_speech_ms=choices.pick("after speech of, ms", (0, 100, 400)),
        after_heard_ms=choices.pick("after so much was heard, ms", (0, 0, 300, 1500)),
        protect_first=choices.happens("first words are protected", 30),
        limit=choices.pick("limit", _LIMITS),
        predicate=_has_heard_enough if choices.happens("a predicate", 30) else None,
    )


def _has_heard_enough(attempt: InterruptionAttempt) -> bool:
    return (
        max(attempt.heard_ms, attempt.speech_ms) >= _ENOUGH_MS or attempt.recent_interruptions > 0
    )
