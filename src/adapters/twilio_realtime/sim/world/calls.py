"""Whole calls in worlds: a phone, a bridge and a model, joined.

    world = message_call(bridge, phone, model)
    world.run(30 * SECOND)

The machines are named `phone`, `bridge` and `model` in the world. `byte_call` makes the same call
as bytes, with real handshakes and frames.
"""

from collections.abc import Callable, Hashable
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
from .world import LinkDirection, Machine, SimLink, World

__all__ = [
    "MODEL_LATENCY_NS",
    "TWILIO_LATENCY_NS",
    "DirectionPair",
    "byte_call",
    "later_joiner",
    "message_call",
]

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
    make_model: Callable[[], MessageMachine] | None = None,
) -> MessageWorld:
    """Return a world that holds the call at message level.

    One-way latencies are in ns, the same in both directions unless pairs of directions are given:
    from the phone to the bridge and back, from the bridge to the model and back. `connect_ns` is
    how long the bridge's dial of the model takes on top of that; `choices`, or else `seed`, makes
    random decisions; `trace_limit` is the number of last steps that the world keeps. `make_model`
    makes the models of later connections; without it they are refused.
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
        make_model,
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
    make_model: Callable[[], MessageMachine] | None = None,
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

    def make_server() -> HttpConnection:
        machine = model if make_model is None else make_model()
        return _websocket_server(machine, CLIENT, {CLIENT: realtime}, random)

    _join(
        world,
        twilio_directions or _same_both_ways(twilio_latency_ns),
        model_directions or _same_both_ways(model_latency_ns),
        connect_ns,
        None if make_model is None else make_server,
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


def _join(
    world: World[M],
    twilio: DirectionPair,
    model: DirectionPair,
    connect_ns: int,
    make_model: Callable[[], M] | None,
) -> None:
    world.join(("phone", SERVER), ("bridge", Peer.TWILIO), directions=twilio)
    world.join(
        ("bridge", Peer.REALTIME), ("model", CLIENT), directions=model, connect_ns=connect_ns
    )
    world.join_later = later_joiner(world, model, connect_ns, make_model)


def later_joiner(
    world: World[M],
    directions: DirectionPair,
    connect_ns: int,
    make_model: Callable[[], M] | None,
) -> Callable[[str, Hashable], SimLink[M]]:
    """Return the `World.join_later` of a call: each later connection to the model gets a machine of
    its own, named after the key of the connection. Without `make_model` it is refused."""

    def join_later(name: str, peer: Hashable) -> SimLink[M]:
        server: tuple[str, Hashable] = "model", peer
        if make_model is not None:
            server = f"model {peer}", CLIENT
            world.add(server[0], make_model())
        link = world.join((name, peer), server, directions=directions, connect_ns=connect_ns)
        link.is_accepting = make_model is not None
        return link

    return join_later
