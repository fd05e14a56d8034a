"""What `serve` and `model` have in common: they listen, number whoever comes, and tell of it."""

from abc import ABC, abstractmethod
from collections.abc import Hashable
from itertools import count

from attrs import define, field

from ..runtime.tcp_acceptor import MAX_CONNECTIONS
from .output import Field, Output, Tone
from .runtime import AnyDriver, Drivers, listen, place, run

__all__ = ["Server"]


@define(eq=False, kw_only=True)
class Server(ABC):
    """Listens until it is told to end. `scheme` and `path` make the URL that is told; `served`
    says what is there."""

    output: Output
    scheme: str
    path: str = ""
    served: str = ""
    max_connections: int = MAX_CONNECTIONS
    api: Drivers = field(init=False)
    numbers: "count[int]" = field(init=False, factory=lambda: count(1))

    @abstractmethod
    def accept(self) -> tuple[AnyDriver, Hashable]:
        """A driver for a new connection, and what its machine calls that."""

    def run(self, host: str, port: int, runtime: str) -> int:
        """Listen; returns the exit status."""

        async def main(api: Drivers) -> int:
            self.api = api
            told = self._tell_addresses
            await listen(
                api,
                host,
                port,
                self.accept,
                on_error=self._report,
                on_listening=told,
                max_connections=self.max_connections,
            )
            return 0

        return run(main, runtime)

    def _report(self, error: Exception) -> None:
        """What has ended a connection without need, or keeps one from being accepted."""
        if isinstance(error, BrokenPipeError):
            raise error  # nobody reads what we say
        self.output.tell("error", {"message": place(error)}, tone=Tone.BAD)

    def _tell_addresses(self, addresses: list[tuple[str, int]]) -> None:
        for host, port in addresses:
            url = f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{port}{self.path}"
            fields: dict[str, Field] = {"url": url, "host": host, "port": port}
            text = f"listening on {url}{self.served}"
            self.output.tell("listening", fields, tone=Tone.GOOD, text=text)
