"""The base of `serve` and `model`: it listens, numbers connections, and reports events."""

from abc import ABC, abstractmethod
from collections.abc import Hashable
from itertools import count

from attrs import define, field

from ..runtime.tcp_acceptor import ConnectionRunner, Connections
from .output import EventOutput, FieldValue, LineStyle
from .runtime import RuntimeApi, describe_error, listen, run

__all__ = ["CommandServer"]


@define(eq=False, kw_only=True)
class CommandServer(ABC):
    """The server of a command such as `serve` or `model`: it listens until it is cancelled.

    `scheme` and `path` make the URL that is printed; `listening_note` follows it.
    """

    output: EventOutput
    scheme: str
    path: str = ""
    listening_note: str = ""
    connections: Connections = field(factory=Connections)
    api: RuntimeApi = field(init=False)
    numbers: "count[int]" = field(init=False, factory=lambda: count(1))

    @abstractmethod
    def accept(self) -> tuple[ConnectionRunner, Hashable]:
        """Return the runner of a new connection, and the key of the peer in its machine."""

    def run(self, host: str, port: int, runtime: str) -> int:
        """Listen until cancelled; return the exit status."""

        async def main(api: RuntimeApi) -> int:
            return await self.serve(api, host, port)

        return run(main, runtime, on_signal=self.on_signal)

    async def serve(self, api: RuntimeApi, host: str, port: int) -> int:
        """Listen until cancelled, or until there is an exit status to return."""
        self.api = api
        await listen(
            api,
            host,
            port,
            self.accept,
            on_error=self.report_error,
            on_listening=self._report_addresses,
            connections=self.connections,
        )
        return 0

    def on_signal(self, number: int) -> bool:
        """Handle a signal (see `run`). By default all of them end the command."""
        del number
        return False

    def on_listening(self, addresses: list[tuple[str, int]]) -> None:
        """Called with the addresses once they are printed. By default it does nothing."""
        del addresses

    def report_error(self, error: Exception) -> None:
        """Report an error that ended a connection, or kept it from being accepted."""
        if isinstance(error, BrokenPipeError):
            raise error  # stdout is closed
        self.output.write_event(
            "error", {"message": describe_error(error)}, style=LineStyle.FAILURE
        )

    def _report_addresses(self, addresses: list[tuple[str, int]]) -> None:
        for host, port in addresses:
            url = f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{port}{self.path}"
            fields: dict[str, FieldValue] = {"url": url, "host": host, "port": port}
            text = f"listening on {url}{self.listening_note}"
            self.output.write_event("listening", fields, style=LineStyle.SUCCESS, text=text)
        self.on_listening(addresses)
