"""The configuration of a random call, drawn from its choices."""

from typing import Any, Final

from twilio_realtime_core.config.call import CallConfig, SessionConfig
from twilio_realtime_core.config.fields import UNSET
from twilio_realtime_core.config.interruption_policy import (
    IMMEDIATE,
    InterruptionAttempt,
    InterruptionLimit,
    InterruptionPolicy,
)
from twilio_realtime_core.config.model_silence_policy import ModelSilencePolicy
from twilio_realtime_core.config.reconnect_policy import ReconnectPolicy
from twilio_realtime_core.config.session_loss_policy import SessionLossPolicy
from twilio_realtime_core.config.start_delay_history import StartDelayHistory
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.machine.units import MS

from ..choices import Choices
from ..scenarios.parts import TURN_DETECTION
from ..scenarios.voices import agent_voice

__all__ = ["draw_config", "is_server_responding"]

_TRANSCRIPTIONS: Final = ({"model": "gpt-realtime-whisper"}, {"model": "gpt-transcribe"})
_LOGPROBS: Final = ("item.input_audio_transcription.logprobs",)

_SEMANTIC_VAD: Final[dict[str, Any]] = {"type": "semantic_vad", "eagerness": "high"}

_LIMITS: Final = (
    None,
    None,
    InterruptionLimit(1, per_ms=3000),
    InterruptionLimit(2, per_ms=60_000, instruction=None),
)

_SILENCE_POLICIES: Final = (
    ModelSilencePolicy(),
    ModelSilencePolicy(),
    ModelSilencePolicy(ask_again=0),
    ModelSilencePolicy(ask_again=2, clip=agent_voice(300, 22)),
    ModelSilencePolicy(ask_again=0, hang_up=False),
)

_LOSS_POLICIES: Final = (
    SessionLossPolicy(),
    SessionLossPolicy(),
    SessionLossPolicy(goodbye_clip=agent_voice(300, 24)),
    SessionLossPolicy(ends_stream=True),
    SessionLossPolicy(ask_timeout_ms=500),
)

_PREDICATE_MS: Final = 500
"""The predicate of a random call refuses interruptions by callers who have heard less and spoken
less."""


def draw_config(choices: Choices, frame_ms: int = 20) -> CallConfig:
    """Draw the configuration of a call whose caller sends frames of `frame_ms`."""
    session = SessionConfig(
        turn_detection=_draw_turn_detection(choices),
        transcription=_draw_transcription(choices),
        include=_LOGPROBS if choices.draw_bool("probabilities of transcripts", 30) else UNSET,
    )
    return CallConfig(
        session=session,
        model=choices.draw_option("model", ("gpt-realtime-2.1", "gpt-realtime")),
        url="ws://model/v1/realtime",
        configure_timeout_ms=choices.draw_option("configuration after", (0, 1_000)),
        start_timeout_ms=choices.draw_option("start within", (10_000, 1_000)),
        session_timeout_ms=choices.draw_option("session within", (15_000, 1_000)),
        inactivity_timeout_ms=choices.draw_option(
            "inactivity after", (750, None, 5 * frame_ms, 2 * frame_ms)
        ),
        interruption=_draw_policy(choices),
        on_model_silent=choices.draw_option("on a silent model", _SILENCE_POLICIES),
        reconnect=_draw_reconnect(choices),
        on_session_lost=choices.draw_option("on a lost session", _LOSS_POLICIES),
        waiting_clip=agent_voice(300, 23) if choices.draw_bool("a clip for waiting", 20) else b"",
        start_delay_history=StartDelayHistory(
            (150 * MS,) * choices.draw_option("bursts known of the line", (0, 8))
        ),
        notify_agent_audio=choices.draw_bool("the agent's audio is told", 10),
        notify_typed_events=choices.draw_bool("typed events", 10),
        respond_to_mcp=not choices.draw_bool("MCP tools are not followed up", 40),
        raw_messages=frozenset(Peer) if choices.draw_bool("raw messages", 10) else frozenset(),
    )


def _draw_reconnect(choices: Choices) -> ReconnectPolicy | None:
    if choices.draw_bool("the call ends with its session", 50):
        return None
    return ReconnectPolicy(
        max_attempts=choices.draw_option("attempts", (5, 1)),
        initial_delay_ms=choices.draw_option("delay of attempts, ms", (250, 0)),
        timeout_ms=choices.draw_option("session again within, ms", (15_000, 1_000)),
        rotate_before_ms=choices.draw_option(
            "rotation before the end, ms", (120_000, 3_597_000, 3_594_000)
        ),
    )


def is_server_responding(config: CallConfig) -> bool:
    """Return whether the server responds to turns; otherwise the application has to."""
    audio = config.session.to_update_event().session["audio"]
    detection: dict[str, Any] = audio["input"]["turn_detection"]
    return bool(detection.get("create_response", True))


def _draw_transcription(choices: Choices) -> dict[str, Any] | None:
    if not choices.draw_bool("transcription", 60):
        return None
    return choices.draw_option("transcription by", _TRANSCRIPTIONS)


def _draw_turn_detection(choices: Choices) -> dict[str, Any]:
    detection: dict[str, Any] = dict(TURN_DETECTION)
    if choices.draw_bool("turn detection by meaning", 10):
        detection = dict(_SEMANTIC_VAD)
    elif choices.draw_bool("an idle time-out", 20):
        detection["idle_timeout_ms"] = 5000
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
