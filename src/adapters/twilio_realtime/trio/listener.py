"""The TCP listener on trio, which drives a machine for each connection."""

import socket
from collections.abc import Callable

import trio

from ..runtime.tcp_acceptor import (
    MAX_CONNECTIONS,
    Accept,
    Acceptor,
    Connections,
    bind_listeners,
    close_listeners,
    listener_addresses,
)

__all__ = ["MAX_CONNECTIONS", "listen"]


async def listen(
    host: str | None,
    port: int,
    accept: Accept,
    *,
    on_error: Callable[[Exception], None],
    on_listening: Callable[[list[tuple[str, int]]], None] = lambda addresses: None,
    max_connections: int = MAX_CONNECTIONS,
    connections: Connections | None = None,
) -> None:
    """Accept connections on each address of `host` (`None`: all addresses of this machine) until
    cancelled, which ends the calls as well, in good order (`BaseDriver.go_away`).

    For each connection, `accept` returns a new driver and its machine's key of the connection. An
    exception of one call ends that call alone and is passed to `on_error`, and so is an error that
    keeps a connection from being accepted. `on_listening` gets the addresses, with the port that
    the system chose for port 0 (one for each address). Above `max_connections`, a new connection
    takes the place of the oldest one that is not established (see `Connections`). `connections`
    replaces `max_connections`; it shows and ends those that are open.

    Raises `OSError` if an address cannot be listened on.
    """
    address_infos = await trio.socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listeners = bind_listeners(address_infos)
    if connections is None:
        connections = Connections(max_connections)
    acceptor = Acceptor(accept, on_error, connections, trio.lowlevel.wait_readable, trio.sleep)

    def start_serving(connection: socket.socket) -> None:
        nursery.start_soon(acceptor.serve, connection)

    try:
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(acceptor.accept_all, listener, start_serving)
            on_listening(listener_addresses(listeners))
    finally:
        close_listeners(listeners)
