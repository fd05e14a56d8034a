"""The configuration of a random call, drawn from its choices."""

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

from ..choices import Choices
from ..scenarios.parts import TURN_DETECTION

__all__ = ["draw_config", "is_server_responding"]

_TRANSCRIPTION: Final = {"model": "gpt-4o-mini-transcribe"}

_SEMANTIC_VAD: Final[dict[str, Any]] = {"type": "semantic_vad", "eagerness": "high"}

_LIMITS: Final = (
    None,
    None,
    InterruptionLimit(1, per_ms=3000),
    InterruptionLimit(2, per_ms=60_000, instruction=None),
)

_PREDICATE_MS: Final = 500
"""The predicate of a random call refuses interruptions by callers who have heard less and spoken
less."""


def draw_config(choices: Choices) -> CallConfig:
    """Draw the configuration of a call."""
    session = SessionConfig(
        turn_detection=_draw_turn_detection(choices),
        transcription=_TRANSCRIPTION if choices.draw_bool("transcription", 60) else None,
    )
    return CallConfig(
        session=session,
        url="ws://model/v1/realtime",
        configure_timeout_ms=choices.draw_option("configuration after", (0, 1_000)),
        start_timeout_ms=choices.draw_option("start within", (10_000, 1_000)),
        session_timeout_ms=choices.draw_option("session within", (15_000, 1_000)),
        inactivity_timeout_ms=choices.draw_option("inactivity after", (750, None, 100, 40)),
        interruption=_draw_policy(choices),
        start_delay_history=StartDelayHistory(
            (150 * MS,) * choices.draw_option("bursts known of the line", (0, 8))
        ),
        notify_agent_audio=choices.draw_bool("the agent's audio is told", 10),
        raw_messages=frozenset(Peer) if choices.draw_bool("raw messages", 10) else frozenset(),
    )


def is_server_responding(config: CallConfig) -> bool:
    """Return whether the server responds to turns; otherwise the application has to."""
    audio = config.session.to_update_event().session["audio"]
    detection: dict[str, Any] = audio["input"]["turn_detection"]
    return bool(detection.get("create_response", True))


def _draw_turn_detection(choices: Choices) -> dict[str, Any]:
    detection: dict[str, Any] = dict(TURN_DETECTION)
    if choices.draw_bool("turn detection by meaning", 10):
        detection = dict(_SEMANTIC_VAD)
    if choices.draw_bool("the server does not interrupt", 15):
        detection["interrupt_response"] = False
    if choices.draw_bool("the server does not respond", 10):
        detection["create_response"] = False
    return detection


def _draw_policy(choices: Choices) -> InterruptionPolicy:
    """Draw when a caller may interrupt: immediately in most calls, and else under any
    conditions."""
    if not choices.draw_bool("a policy of interruptions", 40):
        return IMMEDIATE
    return InterruptionPolicy(
        allowed=not choices.draw_bool("nobody interrupts", 10),
        after_speech_ms=choices.draw_option("after speech of, ms", (0, 100, 400)),
        after_heard_ms=choices.draw_option("after so much was heard, ms", (0, 0, 300, 1500)),
        protect_first=choices.draw_bool("first words are protected", 30),
        limit=choices.draw_option("limit", _LIMITS),
        predicate=_is_late_attempt if choices.draw_bool("a predicate", 30) else None,
    )


def _is_late_attempt(attempt: InterruptionAttempt) -> bool:
    return (
        max(attempt.heard_ms, attempt.speech_ms) >= _PREDICATE_MS
        or attempt.recent_interruptions > 0
    )
