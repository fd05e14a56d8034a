"""What a server answers to Twilio's webhook, and how it knows that a request is Twilio's.

When a call comes in, Twilio requests a TwiML document. The document of `connect_stream` joins the
call to a bidirectional Media Stream, which Twilio then opens as a WebSocket. Both requests carry
a signature in `SIGNATURE_HEADER`, which `is_signature_valid` checks.

The signature covers the URL that Twilio uses, to the letter. A server behind a proxy does not see
that URL and has to be told it; `stream_url` makes the URL of the stream from it, once, for the
TwiML and for the check of the upgrade alike.

Sources: Twilio, "TwiML Voice: <Stream>" and "Webhooks security".
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from urllib.parse import parse_qsl

from .errors import Fault, FaultKind, LocalProtocolError

__all__ = [
    "SIGNATURE_HEADER",
    "compute_signature",
    "connect_stream_twiml",
    "is_signature_valid",
    "parse_form",
    "stream_url",
]

SIGNATURE_HEADER = "x-twilio-signature"
"""The header that carries the signature, in lower case as WebSocket upgrades have it."""

_MAX_DOCUMENT_BYTES = 64_000
"""Twilio refuses TwiML over "64 kB" (error 11750); this is the smaller reading of the unit."""

_MAX_PARAMETER_CHARACTERS = 499
"""Name and value of a <Parameter> together have to be "under 500 characters"."""

_MAX_FORM_FIELDS = 1_000
"""Twilio sends some tens of fields; headers of a SIP call may add as many again."""

_STREAM_URL = re.compile(
    r"(?P<scheme>wss?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/[!$%&'()*+,./0-9:;=@A-Z_a-z~-]*)?"
)
"""An absolute URL with neither query nor fragment, in the characters of RFC 3986, section 3."""

_LOOPBACK_HOST = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]")
"""Hosts that only the machine itself can reach (RFC 6761, section 6.3; RFC 6890)."""

_SIGNED_URL = re.compile(
    r"(?P<origin>(?P<scheme>https?|wss?)://[^/?#]*?)(?P<port>:[0-9]+)?(?P<rest>[/?#].*)?",
    re.DOTALL,
)
"""Any URL cut around its port, never changed or checked: it is signed to the letter."""

_DEFAULT_PORTS = {"http": ":80", "ws": ":80", "https": ":443", "wss": ":443"}

_BODY_HASH = re.compile(r"[?&]bodySHA256=([0-9a-f]{64})(?:[&#]|\Z)")

_NON_XML_CHARACTER = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
"""Characters that no XML document can hold, escaped or not (XML 1.0, section 2.2)."""

_ATTRIBUTE_ESCAPES = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        # As themselves these would be read as spaces (XML 1.0, section 3.3.3).
        "\t": "&#9;",
        "\n": "&#10;",
        "\r": "&#13;",
    }
)


def connect_stream_twiml(url: str, parameters: Mapping[str, str] | None = None) -> str:
    """The TwiML that joins a call to the bidirectional Media Stream at `url`.

    `url` is what Twilio dials: absolute, `wss`, with neither query nor fragment, since Twilio
    takes no query string (error 31920); `ws` only on loopback, for local tests. `parameters`
    arrive as `start.customParameters`: name and value of each together under 500 characters.

    The answer has the content type `text/xml`. The call ends when the stream is closed, since no
    verb follows (Twilio, "TwiML Voice: <Connect>").

    Raises `LocalProtocolError` for a URL or parameters that Twilio would refuse, and where the
    document would be over 64 kB.
    """
    _check_stream_url(url)
    children = "".join(
        _parameter_element(name, value) for name, value in (parameters or {}).items()
    )
    document = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<Response><Connect><Stream url="{url.translate(_ATTRIBUTE_ESCAPES)}">{children}'
        "</Stream></Connect></Response>"
    )
    size = len(document.encode())
    if size > _MAX_DOCUMENT_BYTES:
        raise LocalProtocolError(
            f"the TwiML has {size} bytes, Twilio takes {_MAX_DOCUMENT_BYTES}; give the stream "
            "fewer or shorter parameters"
        )
    return document


def stream_url(public_url: str, path: str) -> str:
    """The URL of the stream at `path` of a server that the world reaches at `public_url`.

    The scheme becomes that of a WebSocket, `https` to `wss` and `http` to `ws`: Twilio signs the
    upgrade with the URL as the TwiML gives it, whatever scheme a proxy reports. `path` begins
    with a slash and is put after whatever path `public_url` has.

    Raises `LocalProtocolError` where that makes no URL that `connect_stream` takes.
    """
    if not path.startswith("/"):
        raise LocalProtocolError("the path of the stream has to begin with a slash")
    url = re.sub(r"^http(?=s?://)", "ws", public_url).rstrip("/") + path
    _check_stream_url(url)
    return url


def compute_signature(auth_token: str, url: str, parameters: Iterable[tuple[str, str]] = ()) -> str:
    """The signature that Twilio gives a request.

    `token` is the auth token of the account, `url` the whole URL as Twilio uses it, `parameters`
    the fields of a form that was posted, in any order. The signature is the base64 of the
    HMAC-SHA1 of the URL and, sorted, each name and value without separators (Twilio, "Webhooks
    security"); as in Twilio's own helpers a repeated pair counts once.

    Raises `LocalProtocolError` for an empty token, with which everybody could sign.
    """
    if not auth_token:
        raise LocalProtocolError("the auth token is empty; set it before requests are checked")
    signed = url + "".join(name + value for name, value in sorted(set(parameters)))
    return b64encode(hmac.digest(_to_bytes(auth_token), _to_bytes(signed), "sha1")).decode("ascii")


def is_signature_valid(
    auth_token: str,
    signature: str | None,
    url: str,
    parameters: Iterable[tuple[str, str]] = (),
    *,
    json_body: bytes | None = None,
) -> bool:
    """Whether a request comes from Twilio: whether it was signed with `token`.

    `signature` is the value of `SIGNATURE_HEADER`, `None` where there is no such header; `url` is
    the whole URL as Twilio uses it, its query included. What else is signed depends on the
    request:

    - the upgrade to a Media Stream: nothing; `url` is what `connect_stream` was given, with the
      scheme `wss`, not the `https` that a proxy may report;
    - a form that was posted: its fields, `parameters`;
    - a JSON body that was posted: `json_body`, whose SHA-256 the query of `url` must hold as
      `bodySHA256`.

    Twilio signs a URL with or without its port, and not always in the way in which it was
    configured, so both are tried. How long a comparison takes says nothing of what was expected.

    Never raises for anything that a peer sends; raises `LocalProtocolError` for an empty token.
    """
    fields = tuple(parameters)
    expected = [compute_signature(auth_token, variant, fields) for variant in _port_variants(url)]
    if signature is None or (json_body is not None and not _has_body_hash(url, json_body)):
        return False
    given = _to_bytes(signature)
    return any(hmac.compare_digest(given, _to_bytes(one)) for one in expected)


def parse_form(body: bytes) -> list[tuple[str, str]] | Fault:
    """The fields of a posted form (`application/x-www-form-urlencoded`), in their order.

    Empty values are kept, since they are signed like any other. A body that is not UTF-8, or has
    over 1000 fields, gives a `Fault` without a peer; whoever reads the body limits its bytes.
    """
    if body.count(b"&") >= _MAX_FORM_FIELDS:
        return Fault(None, FaultKind.TOO_LARGE, f"the form has over {_MAX_FORM_FIELDS} fields")
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        return Fault(None, FaultKind.BAD_MESSAGE, "the form is not UTF-8")


def _check_stream_url(url: str) -> None:
    # The URL is left out of the messages: its path may hold a token.
    if "?" in url or "#" in url:
        raise LocalProtocolError(
            "the URL of a stream takes neither a query nor a fragment, Twilio does not pass them "
            "on; use the path, or parameters of the stream"
        )
    match = _STREAM_URL.fullmatch(url)
    if match is None or not 0 < int(match["port"] or 443) < 1 << 16:
        raise LocalProtocolError(
            "the URL of a stream has to be absolute, as in wss://host/path, in ASCII, with all "
            "else percent-encoded"
        )
    if match["scheme"] == "ws" and not _LOOPBACK_HOST.fullmatch(match["host"]):
        raise LocalProtocolError(
            "Twilio opens streams with wss only (error 31922); ws is for loopback hosts"
        )


def _parameter_element(name: str, value: str) -> str:
    if not name:
        raise LocalProtocolError("a parameter of the stream has an empty name")
    if len(name) + len(value) > _MAX_PARAMETER_CHARACTERS:
        raise LocalProtocolError(
            "name and value of a parameter of the stream have over "
            f"{_MAX_PARAMETER_CHARACTERS} characters together; pass a key to what is longer"
        )
    if _NON_XML_CHARACTER.search(name) or _NON_XML_CHARACTER.search(value):
        raise LocalProtocolError(
            "a parameter of the stream holds a character that XML cannot hold, such as a control "
            "character; encode the value, in base64 for example"
        )
    return f'<Parameter name="{name.translate(_ATTRIBUTE_ESCAPES)}" value="{value.translate(_ATTRIBUTE_ESCAPES)}"/>'


def _port_variants(url: str) -> list[str]:
    """`url`, and the same URL without its port or with the default one."""
    match = _SIGNED_URL.fullmatch(url)
    if match is None:
        return [url]
    port = "" if match["port"] else _DEFAULT_PORTS[match["scheme"]]
    return [url, match["origin"] + port + (match["rest"] or "")]


def _has_body_hash(url: str, body: bytes) -> bool:
    match = _BODY_HASH.search(url)
    return match is not None and hmac.compare_digest(match[1], sha256(body).hexdigest())


def _to_bytes(text: str) -> bytes:
    """UTF-8 of any text: headers and targets may hold lone surrogates."""
    return text.encode("utf-8", "surrogatepass")
