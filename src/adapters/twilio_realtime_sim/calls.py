"""A whole call in one line: a phone, a bridge and a model, joined in a world.

    world = message_call(bridge, phone, model)
    world.run(30 * SECOND)

The machines are named `phone`, `bridge` and `model` in the world. `byte_call` is the same call as
bytes, with real handshakes and frames.
"""

from collections.abc import Hashable
from random import Random
from typing import Final, TypeVar

from twilio_realtime_core.actions import Peer
from twilio_realtime_core.machine import MessageMachine
from twilio_realtime_core.opening import Opening, Request, Response, Upgrade
from twilio_realtime_core.realtime import MAX_MESSAGE_BYTES as MAX_REALTIME_BYTES
from twilio_realtime_core.stack import Stack
from twilio_realtime_core.times import MS
from twilio_realtime_core.twilio import MAX_MESSAGE_BYTES as MAX_TWILIO_BYTES
from twilio_realtime_core.websocket import LinkConfig

from .byte_world import ByteWorld
from .message_world import MessageWorld
from .realtime_peer import CLIENT
from .twilio_peer import SERVER
from .world import Machine, World

__all__ = ["TO_MODEL_NS", "TO_TWILIO_NS", "byte_call", "message_call"]

TO_TWILIO_NS: Final = 40 * MS
"""One way between phone and bridge, unless a call says otherwise: two regions of one continent."""

TO_MODEL_NS: Final = 25 * MS
"""One way between bridge and model, unless a call says otherwise."""

M = TypeVar("M", bound=Machine)


def message_call(
    bridge: MessageMachine,
    phone: MessageMachine,
    model: MessageMachine,
    *,
    seed: int = 0,
    to_twilio_ns: int = TO_TWILIO_NS,
    to_model_ns: int = TO_MODEL_NS,
    trace_limit: int = 0,
) -> MessageWorld:
    """The call, message by message. One-way latencies are in ns."""
    world = MessageWorld(seed=seed, trace_limit=trace_limit)
    _join(world, phone, bridge, model, to_twilio_ns=to_twilio_ns, to_model_ns=to_model_ns)
    return world


def byte_call(
    bridge: MessageMachine,
    phone: MessageMachine,
    model: MessageMachine,
    *,
    seed: int = 0,
    to_twilio_ns: int = TO_TWILIO_NS,
    to_model_ns: int = TO_MODEL_NS,
    trace_limit: int = 0,
    segment: bool = False,
) -> ByteWorld:
    """The call, byte by byte; with `segment` the bytes are cut anywhere, as `seed` decides."""
    world = ByteWorld(seed=seed, trace_limit=trace_limit, segment=segment)
    random = Random(seed)  # noqa: S311 - a simulation must repeat itself
    twilio = LinkConfig(max_message_bytes=MAX_TWILIO_BYTES)
    realtime = LinkConfig(max_message_bytes=MAX_REALTIME_BYTES)

    links: dict[Hashable, LinkConfig] = {Peer.TWILIO: twilio, Peer.REALTIME: realtime}
    _join(
        world,
        Stack(phone, {SERVER: twilio}, random.randbytes),
        _serving(bridge, Peer.TWILIO, links, random),
        _serving(model, CLIENT, {CLIENT: realtime}, random),
        to_twilio_ns=to_twilio_ns,
        to_model_ns=to_model_ns,
    )
    return world


def _serving(
    machine: MessageMachine, peer: Hashable, links: dict[Hashable, LinkConfig], random: Random
) -> Opening:
    """A server whose every WebSocket is `machine`'s."""

    def respond(request: Request) -> Response | Upgrade:
        del request
        return Upgrade(machine, peer, links)

    return Opening(peer, respond, random.randbytes)


def _join(
    world: World[M], phone: M, bridge: M, model: M, *, to_twilio_ns: int, to_model_ns: int
) -> None:
    for name, machine in (("phone", phone), ("bridge", bridge), ("model", model)):
        world.add(name, machine)
    world.join(("phone", SERVER), ("bridge", Peer.TWILIO), latency_ns=to_twilio_ns)
    world.join(("bridge", Peer.REALTIME), ("model", CLIENT), latency_ns=to_model_ns)
