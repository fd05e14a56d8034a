"""The inputs of a recording: its lines as values, and the calls that repeat its steps."""

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any, Final, cast

from attrs import define, evolve, field

from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.config.interruption_policy import InterruptionAttempt
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.actions import LINK_PREFIX, Notify, Peer, RealtimeLink, Refusal
from twilio_realtime_core.notifications import InterruptionBlocked
from twilio_realtime_core.values.block_cause import BlockCause

from ..errors import UsageError
from .bridge_wrapper import BridgeLike
from .format import decode_line
from .redactor import Redactor, decode_value

__all__ = [
    "STEP_ERRORS",
    "RecordedAnswers",
    "decode_config",
    "decode_object",
    "peer_named",
    "prepare_step",
]

STEP_ERRORS: Final = (
    *(AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError),
    LocalProtocolError,
)
"""What a line that is damaged raises where its values are decoded."""

_BLOCKED_BY_APPLICATION: Final = Redactor().encode(
    Notify(InterruptionBlocked(BlockCause.APPLICATION))
)


@define(eq=False)
class RecordedAnswers:
    """The answers of the application's predicate, derived from the recorded steps: it refused an
    interruption if the step notified that, and raised if the step did."""

    step: Mapping[str, Any] = field(init=False, factory=dict[str, Any])
    """The step that is being replayed, as recorded."""

    def predicate(self, attempt: InterruptionAttempt) -> bool:
        """Answer as the recorded predicate did."""
        del attempt
        if "raised" in self.step:
            raise type(self.step["raised"], (Exception,), {})
        return _BLOCKED_BY_APPLICATION not in self.step.get("actions", ())


def decode_object(number: int, line: str) -> dict[str, Any]:
    """Decode a line, which has this number in its file. Raises `UsageError` if it is no object."""
    try:
        data = decode_line(line)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise UsageError(f"line {number} is not a JSON object: this is not a recording")
    return cast("dict[str, Any]", data)


def decode_config(header: Mapping[str, Any], answers: RecordedAnswers) -> CallConfig:
    """Return the configuration in a header; a predicate in it answers as it did in the call.

    Raises one of `STEP_ERRORS` for a header without one.
    """
    config: CallConfig = decode_value(header["config"])
    if config.interruption.predicate is None:
        return config
    policy = evolve(config.interruption, predicate=answers.predicate)
    return evolve(config, interruption=policy)


def prepare_step(bridge: BridgeLike, step: Mapping[str, Any]) -> Callable[[], object]:
    """Return a function that repeats a recorded step on a bridge, or on what takes its place.

    Raises one of `STEP_ERRORS` for what is not a step.
    """
    now = step["at_ns"]
    if not isinstance(now, int):
        raise TypeError("`at_ns` is not a whole number")
    match step["method"], step["arguments"]:
        case "start" | "handle_timeout" as method, []:
            return partial(getattr(bridge, method), now)
        case "start", [int(unix_ns)]:
            return partial(bridge.start, now, unix_ns)
        case "opened", [peer]:
            return partial(bridge.opened, peer_named(peer), now)
        case "receive_text", [peer, str(text)]:
            return partial(bridge.receive_text, peer_named(peer), text, now)
        case "pong", [peer, str(payload)]:
            return partial(bridge.pong, peer_named(peer), bytes.fromhex(payload), now)
        case "closed", [peer, int(code), str(reason)]:
            return partial(bridge.closed, peer_named(peer), code, reason, now)
        case "refused", [peer, refusal]:
            known = cast("dict[str, Any]", refusal)
            return partial(bridge.refused, peer_named(peer), Refusal(**known), now)
        case "send", [command]:
            return partial(bridge.send, decode_value(command), now)
        case method, _:
            raise ValueError(f"no method {method!r} with these arguments")


def peer_named(name: str) -> Hashable:
    """Return the key of a peer by its name in recordings."""
    if name.startswith(LINK_PREFIX):
        return RealtimeLink(int(name.removeprefix(LINK_PREFIX)))
    return Peer(name) if name in [each.value for each in Peer] else name
