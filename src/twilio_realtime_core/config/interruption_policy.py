"""The policy by which a caller who speaks interrupts the agent.

Every policy except the one that interrupts immediately needs the server to leave its response alone
(`turn_detection.interrupt_response: false`). Otherwise the server would cancel the response before
the bridge is notified of the caller's speech, and the agent would fall silent anyway.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import field, frozen

from ..errors import LocalProtocolError
from ..machine.arguments import (
    BOOLEAN,
    CALLABLE,
    MAPPING,
    NULL,
    UNICODE,
    instance_of,
    integer,
    milliseconds,
)
from .fields import as_mapping

__all__ = [
    "IMMEDIATE",
    "InterruptionAttempt",
    "InterruptionLimit",
    "InterruptionPolicy",
    "disable_server_interruption",
]


@frozen
class InterruptionAttempt:
    """Facts about a caller who speaks while the agent speaks, from which a predicate decides."""

    speech_ms: int
    """How long the caller has spoken."""
    heard_ms: int
    """How much of the reply was heard."""
    recent_interruptions: int
    """Interruptions within the period of the policy's limit; 0 without a limit."""


@frozen
class InterruptionLimit:
    """A limit on the number of interruptions in a period. Without one, on a noisy line, the agent
    would never finish.

    Raises `LocalProtocolError` for a number below 1, and for a field of the wrong type.
    """

    count: int = field(validator=integer(1, 2**31 - 1))
    """The most interruptions in any period of `per_ms`."""
    per_ms: int = field(validator=milliseconds(1))
    """The length of the period."""
    instruction: str | None = field(
        default=(
            "The line is noisy, and noise has interrupted you several times. Keep your answers "
            "short, and ask the caller to repeat what is not clear."
        ),
        validator=UNICODE | NULL,
    )
    """A system message, sent to the model once in a call, when the limit first blocks an
    interruption. `None`: no message is sent."""


@frozen(kw_only=True)
class InterruptionPolicy:
    """The conditions under which a caller who speaks interrupts the agent; all of them must hold.

    The default interrupts immediately, when turn detection hears the caller. The policy is applied
    once each time the caller starts to speak. The command `Interrupt` is not subject to it.

    Raises `LocalProtocolError` for a duration below 0, and for a field of the wrong type.
    """

    allowed: bool = field(default=True, validator=BOOLEAN)
    """Whether the caller can interrupt at all."""
    after_speech_ms: int = field(default=0, validator=milliseconds(0))
    """How long the caller must have spoken, by turn detection."""
    after_heard_ms: int = field(default=0, validator=milliseconds(0))
    """How much of the reply must have been heard."""
    protect_first: bool = field(default=False, validator=BOOLEAN)
    """Whether the agent's first speech, such as a greeting, must have been heard to the end; this
    protects it for at most 30 s."""
    limit: InterruptionLimit | None = field(
        default=None, validator=instance_of(InterruptionLimit) | NULL
    )
    """How often the caller can interrupt; `None`: without limit."""
    predicate: Callable[[InterruptionAttempt], bool] | None = field(
        default=None, repr=False, validator=CALLABLE | NULL
    )
    """A condition of the application, checked last. It must be a pure function that returns at
    once. An exception that it raises propagates out of the bridge to its driver."""

    @property
    def interrupts_immediately(self) -> bool:
        """Whether every caller who speaks interrupts, so that the server can do it by itself."""
        return self == IMMEDIATE


IMMEDIATE: Final = InterruptionPolicy()
"""The policy that interrupts as soon as turn detection hears the caller."""


def disable_server_interruption(
    session: Mapping[str, Any], *, is_initial: bool
) -> Mapping[str, Any]:
    """Return a `session` object with the server's interruption switched off; the rest is kept.

    `is_initial`: the object is the first configuration of the session, so a field that it leaves
    out has the server's default.

    Raises `LocalProtocolError` if the object switches the server's interruption on, and if its turn
    detection is no object.
    """
    audio = as_mapping(session.get("audio"))
    audio_input = as_mapping(audio.get("input"))
    if "turn_detection" not in audio_input and not is_initial:
        return session
    detection = audio_input.get("turn_detection", {"type": "server_vad"})
    if detection is None:
        return session
    MAPPING.check("session.audio.input.turn_detection", detection)
    if detection.get("interrupt_response"):
        raise LocalProtocolError(
            "session.audio.input.turn_detection.interrupt_response must not be true with an "
            "InterruptionPolicy that does not interrupt immediately: the server would interrupt "
            "regardless of the policy"
        )
    without_interruption = {**detection, "interrupt_response": False}
    audio_input = {**audio_input, "turn_detection": without_interruption}
    return {**session, "audio": {**audio, "input": audio_input}}
