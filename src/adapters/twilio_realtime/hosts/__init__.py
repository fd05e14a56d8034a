"""A call behind somebody else's WebSocket: in ASGI servers, aiohttp, websockets, and any other.

    from twilio_realtime.hosts import asgi_app, handle_aiohttp, handle_websockets, host

Each name is imported on first use: a program needs only the framework that it has.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .aiohttp import aiohttp_routes, handle_aiohttp
    from .any_framework import drain, host
    from .asgi import AsgiApp, asgi_app
    from .socket import HostSocketClosed
    from .uvicorn import DrainingServer
    from .websockets import handle_websockets

__all__ = [
    "AsgiApp",
    "DrainingServer",
    "HostSocketClosed",
    "aiohttp_routes",
    "asgi_app",
    "drain",
    "handle_aiohttp",
    "handle_websockets",
    "host",
]

_MODULES: Final = {
    "AsgiApp": "asgi",
    "DrainingServer": "uvicorn",
    "HostSocketClosed": "socket",
    "aiohttp_routes": "aiohttp",
    "asgi_app": "asgi",
    "drain": "any_framework",
    "handle_aiohttp": "aiohttp",
    "handle_websockets": "websockets",
    "host": "any_framework",
}

if not TYPE_CHECKING:  # a type checker sees the imports above instead

    def __getattr__(name: str) -> object:
        """Import a public name on its first use (PEP 562)."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return value
