"""Whole calls in worlds: a phone, a bridge and a model, joined.

    world = message_call(bridge, phone, model)
    world.run(30 * SECOND)

The machines are named `phone`, `bridge` and `model` in the world. `byte_call` makes the same call
as bytes, with real handshakes and frames.
"""

from collections.abc import Hashable
from random import Random
from typing import Final, TypeAlias, TypeVar

from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.machine.contract import MessageMachine
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.protocols.realtime import MAX_MESSAGE_BYTES as MAX_REALTIME_BYTES
from twilio_realtime_core.protocols.twilio import MAX_MESSAGE_BYTES as MAX_TWILIO_BYTES
from twilio_realtime_core.transport.http import HttpConnection, HttpRequest, HttpResponse, Upgrade
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig

from ..choices import Choices
from ..model.realtime_peer import CLIENT
from ..phone.twilio_peer import SERVER
from .byte_world import ByteWorld
from .message_world import MessageWorld
from .world import LinkDirection, Machine, World

__all__ = ["MODEL_LATENCY_NS", "TWILIO_LATENCY_NS", "DirectionPair", "byte_call", "message_call"]

TWILIO_LATENCY_NS: Final = 40 * MS
"""The default one-way latency between phone and bridge: two regions of one continent."""

MODEL_LATENCY_NS: Final = 25 * MS
"""The default one-way latency between bridge and model."""

DirectionPair: TypeAlias = tuple[LinkDirection, LinkDirection]
"""The two directions of a link, there and back."""

M = TypeVar("M", bound=Machine)


def message_call(
    bridge: MessageMachine,
    phone: MessageMachine,
    model: MessageMachine,
    *,
    seed: int = 0,
    twilio_latency_ns: int = TWILIO_LATENCY_NS,
    model_latency_ns: int = MODEL_LATENCY_NS,
    twilio_directions: DirectionPair | None = None,
    model_directions: DirectionPair | None = None,
    connect_ns: int = 0,
    trace_limit: int = 0,
    choices: Choices | None = None,
) -> MessageWorld:
    """Return a world that holds the call at message level.

    One-way latencies are in ns, the same in both directions unless pairs of directions are given:
    from the phone to the bridge and back, from the bridge to the model and back. `connect_ns` is
    how long the bridge's dial of the model takes on top of that; `choices`, or else `seed`, makes
    random decisions; `trace_limit` is the number of last steps that the world keeps.
    """
    world = MessageWorld(
        seed=seed, trace_limit=trace_limit, choices=choices or Choices.from_seed(seed)
    )
    for name, machine in (("phone", phone), ("bridge", bridge), ("model", model)):
        world.add(name, machine)
    _join(
        world,
        twilio_directions or _same_both_ways(twilio_latency_ns),
        model_directions or _same_both_ways(model_latency_ns),
        connect_ns,
    )
    return world


def byte_call(
    bridge: MessageMachine,
    phone: MessageMachine,
    model: MessageMachine,
    *,
    seed: int = 0,
    twilio_latency_ns: int = TWILIO_LATENCY_NS,
    model_latency_ns: int = MODEL_LATENCY_NS,
    twilio_directions: DirectionPair | None = None,
    model_directions: DirectionPair | None = None,
    connect_ns: int = 0,
    trace_limit: int = 0,
    choices: Choices | None = None,
    is_segmented: bool = False,
) -> ByteWorld:
    """Return a world that holds the call at byte level; see `message_call`.

    With `is_segmented`, each write arrives in pieces with random boundaries.
    """
    world = ByteWorld(
        seed=seed,
        trace_limit=trace_limit,
        choices=choices or Choices.from_seed(seed),
        is_segmented=is_segmented,
    )
    random = Random(seed)  # noqa: S311 - a simulation must be repeatable
    twilio = LinkConfig(max_message_bytes=MAX_TWILIO_BYTES)
    realtime = LinkConfig(max_message_bytes=MAX_REALTIME_BYTES)

    links: dict[Hashable, LinkConfig] = {Peer.TWILIO: twilio, Peer.REALTIME: realtime}
    world.add("phone", Stack(phone, {SERVER: twilio}, random.randbytes))
    world.add("bridge", _websocket_server(bridge, Peer.TWILIO, links, random))
    world.add("model", _websocket_server(model, CLIENT, {CLIENT: realtime}, random))
    _join(
        world,
        twilio_directions or _same_both_ways(twilio_latency_ns),
        model_directions or _same_both_ways(model_latency_ns),
        connect_ns,
    )
    return world


def _websocket_server(
    machine: MessageMachine, peer: Hashable, links: dict[Hashable, LinkConfig], random: Random
) -> HttpConnection:
    """Return a server that hands each WebSocket to `machine`."""

    def respond(request: HttpRequest) -> HttpResponse | Upgrade:
        del request
        return Upgrade(machine, peer, links)

    return HttpConnection(peer, respond, random.randbytes)


def _same_both_ways(latency_ns: int) -> DirectionPair:
    return LinkDirection(latency_ns), LinkDirection(latency_ns)


def _join(world: World[M], twilio: DirectionPair, model: DirectionPair, connect_ns: int) -> None:
    world.join(("phone", SERVER), ("bridge", Peer.TWILIO), directions=twilio)
    world.join(
        ("bridge", Peer.REALTIME), ("model", CLIENT), directions=model, connect_ns=connect_ns
    )
