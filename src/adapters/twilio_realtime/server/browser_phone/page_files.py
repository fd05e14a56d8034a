"""The files of the page, and the headers that keep it to itself."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from twilio_realtime_core.transport.http import HttpResponse

from ...sim import sample_speech

__all__ = ["load_page_files", "page_response"]

_CONTENT_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "ulaw": "application/octet-stream",
}
_PACKAGE: Final = "twilio_realtime.server.browser_phone"
_INDEX: Final = "index.html"
_SAMPLE: Final = "caller_question"


def load_page_files() -> Mapping[str, HttpResponse]:
    """Return the answers to requests for the files of the page, by name; that of the page itself is
    empty. They are read once, so that no request waits for a disk."""
    folder = files(_PACKAGE).joinpath("page")
    contents = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
    contents[""] = contents.pop(_INDEX)
    contents[f"{_SAMPLE}.ulaw"] = sample_speech.load(_SAMPLE).audio
    return {
        name: HttpResponse(
            200, content, content_type=_CONTENT_TYPES[(name or _INDEX).rpartition(".")[2]]
        )
        for name, content in contents.items()
    }


def page_response(response: HttpResponse, scheme: str, host: str) -> HttpResponse:
    """Return a response with the headers of the page, for the server at `scheme` and `host`."""
    sockets = f"{'wss' if scheme == 'https' else 'ws'}://{host}"
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src 'self' {sockets}; worker-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = (
        ("Content-Security-Policy", policy),
        ("Cache-Control", "no-store"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Permissions-Policy", "microphone=(self)"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
    )
    return HttpResponse(
        response.status, response.body, headers=headers, content_type=response.content_type
    )
