"""When a caller who speaks interrupts the agent: a policy, as a value.

Any policy but the one that interrupts at once needs the server not to cancel its response by
itself (`turn_detection.interrupt_response: false`): it would have done so before we hear of the
caller, and the agent would fall silent all the same.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import field, frozen, validators

from ..errors import LocalProtocolError
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
    """The caller speaks while the agent does. `speech_ms`: for so long; `heard_ms`: so much of the
    reply was heard; `recent`: interruptions within the time of the limit, 0 without one."""

    speech_ms: int
    heard_ms: int
    recent_interruptions: int


@frozen
class InterruptionLimit:
    """At most `count` interruptions in any `per_ms`: on a noisy line, the agent would never come to
    an end. `instruction` is told to the model, as a message of the system, when the limit is first
    exceeded; `None`: nothing is."""

    count: int = field(validator=validators.ge(1))
    per_ms: int = field(validator=validators.ge(1))
    instruction: str | None = (
        "The line is noisy, and noise has interrupted you several times. Keep your answers short, "
        "and ask the caller to repeat what is not clear."
    )


@frozen(kw_only=True)
class InterruptionPolicy:
    """When a caller who speaks interrupts. All that is set must hold; the default interrupts at
    once, as turn detection hears the caller. Each time the caller begins to speak is judged once.

    `allowed`: whether at all. `after_speech_ms`: only once the caller has spoken for so long, by
    turn detection. `after_heard_ms`: only once so much of the reply has been heard.
    `protect_first`: not before the agent's first words have been heard to the end. `limit`: only so
    often. `predicate`: the application's own word, asked last; it must be a pure function, and not
    wait. An exception of it is raised by whoever drives the call.

    `Interrupt`, the application's command, always interrupts. Raises `LocalProtocolError` for times
    below 0.
    """

    allowed: bool = True
    after_speech_ms: int = 0
    after_heard_ms: int = 0
    protect_first: bool = False
    limit: InterruptionLimit | None = None
    predicate: Callable[[InterruptionAttempt], bool] | None = field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        for name in ("after_speech_ms", "after_heard_ms"):
            if getattr(self, name) < 0:
                raise LocalProtocolError(f"InterruptionPolicy.{name} must be 0 or more")

    @property
    def interrupts_immediately(self) -> bool:
        """Whether every caller who speaks interrupts, so that the server may do it by itself."""
        return self == IMMEDIATE


IMMEDIATE: Final = InterruptionPolicy()
"""The caller interrupts as soon as turn detection hears speech."""


def disable_server_interruption(
    session: Mapping[str, Any], *, is_initial: bool
) -> Mapping[str, Any]:
    """A `session` object that leaves it to us to interrupt, all else kept. `first`: it is the one
    that configures the session, so that what it leaves out has the server's default.

    Raises `LocalProtocolError` where it explicitly leaves that to the server.
    """
    audio = as_mapping(session.get("audio"))
    heard = as_mapping(audio.get("input"))
    if "turn_detection" not in heard and not is_initial:
        return session
    detection = heard.get("turn_detection", {"type": "server_vad"})
    if detection is None:
        return session
    if as_mapping(detection).get("interrupt_response"):
        raise LocalProtocolError(
            "session.audio.input.turn_detection.interrupt_response must not be true beside an "
            "InterruptionPolicy that does not interrupt at once: the server would not ask it"
        )
    owned = {**as_mapping(detection), "interrupt_response": False}
    return {**session, "audio": {**audio, "input": {**heard, "turn_detection": owned}}}
