"""Accepts TCP connections, and drives a machine for each."""

import socket
from collections.abc import Callable, Hashable
from typing import TypeAlias

import trio

from ..runtime.tcp_acceptor import MAX_CONNECTIONS, Reception, addresses, bind, close
from .driver import Driver

__all__ = ["MAX_CONNECTIONS", "listen"]

Accept: TypeAlias = Callable[[], tuple[Driver, Hashable]]


async def listen(
    host: str | None,
    port: int,
    accept: Accept,
    *,
    on_error: Callable[[Exception], None],
    on_listening: Callable[[list[tuple[str, int]]], None] = lambda addresses: None,
    max_connections: int = MAX_CONNECTIONS,
) -> None:
    """Accept connections on each address of `host` (`None`: all of this machine) until cancelled,
    which ends the calls as well.

    For each connection `accept` gives a new driver, and the peer that its machine knows the
    connection by. An exception of one call ends that call alone, and goes to `on_error`; so does
    the reason why a connection could not be accepted. `on_listening` is told the addresses, with
    the port that the system chose for port 0 (one for each address). Above `max_connections` new
    ones wait until others end. Raises `OSError` if an address cannot be listened on.
    """
    listeners = bind(
        await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    )
    room = trio.Semaphore(max_connections)
    reception = Reception(accept, on_error, room, trio.lowlevel.wait_readable, trio.sleep)

    def serve(connection: socket.socket) -> None:
        nursery.start_soon(reception.serve, connection)

    try:
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(reception.accept_all, listener, serve)
            on_listening(addresses(listeners))
    finally:
        close(listeners)
