"""Twilio's webhook for a call: the TwiML that answers it, and the check of its signature.

When a call comes in, Twilio requests a TwiML document. The document of `connect_stream_twiml`
connects the call to a bidirectional Media Stream, which Twilio then opens as a WebSocket; that of
`reject_twiml` refuses the call, and that of `redirect_twiml` names another URL to ask. All requests
of Twilio have a signature in `SIGNATURE_HEADER`, which `is_signature_valid` checks.

The signature covers the exact URL that Twilio uses. A server behind a proxy does not see that URL,
so it must be configured. `stream_url` makes the URL of the stream from it, for the TwiML and for
the check of the upgrade.

Sources: Twilio, "TwiML Voice: <Stream>", https://www.twilio.com/docs/voice/twiml/stream, and
"Webhooks security", https://www.twilio.com/docs/usage/webhooks/webhooks-security.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final, Literal, get_args
from urllib.parse import parse_qsl, urlsplit

from .errors import Fault, FaultKind, LocalProtocolError
from .machine.arguments import MAPPING, NULL, TEXT

__all__ = [
    "HANG_UP_TWIML",
    "HMAC_SHA1",
    "HMAC_SHA256",
    "SIGNATURE_HEADER",
    "SIGNATURE_SETTINGS_HEADER",
    "RejectReason",
    "compute_signature",
    "connect_stream_twiml",
    "is_signature_valid",
    "parse_form",
    "redirect_twiml",
    "reject_twiml",
    "signature_algorithm",
    "stream_url",
]

SIGNATURE_HEADER = "x-twilio-signature"
"""The header with the signature, in lower case, as WebSocket upgrades have it."""

SIGNATURE_SETTINGS_HEADER = "x-twilio-webhooks-signature-settings"
"""The header that names key and algorithm of a request that is signed with a shared key:
`key=ID,algorithm=HMAC_SHA256` (Twilio's library for Python 9.13, `request_validator.py`)."""

HMAC_SHA1: Final = "HMAC_SHA1"
"""The algorithm of signatures with an auth token."""
HMAC_SHA256: Final = "HMAC_SHA256"
"""The algorithm of signatures with a shared key."""

_DIGESTS: Final = {HMAC_SHA1: "sha1", HMAC_SHA256: "sha256"}

RejectReason = Literal["rejected", "busy"]
"""What the caller of a rejected call hears: that the number is not in service, or a busy tone
(Twilio, "TwiML Voice: <Reject>", https://www.twilio.com/docs/voice/twiml/reject)."""

_PARAMETERS: Final = MAPPING | NULL

HANG_UP_TWIML: Final = '<?xml version="1.0" encoding="UTF-8"?><Response><Hangup/></Response>'
"""The TwiML that ends a call."""

_MAX_DOCUMENT_BYTES = 64_000
"""Twilio refuses TwiML over "64 kB" (error 11750); this is the smaller meaning of the unit."""

_MAX_PARAMETER_CHARACTERS = 499
"""The name and value of a <Parameter> together must be "under 500 characters"."""

_MAX_FORM_FIELDS = 1_000
"""Twilio sends some tens of fields; the headers of a SIP call may double that."""

_STREAM_URL = re.compile(
    r"(?P<scheme>wss?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/[!$%&'()*+,./0-9:;=@A-Z_a-z~-]*)?"
)
"""An absolute URL with neither query nor fragment, in the characters of RFC 3986, section 3."""

_LOOPBACK_HOST = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]")
"""Hosts that can be reached from the same machine only (RFC 6761, section 6.3; RFC 6890)."""

_SIGNED_URL = re.compile(
    r"(?P<origin>(?P<scheme>https?|wss?)://[^/?#]*?)(?P<port>:[0-9]+)?(?P<rest>[/?#].*)?",
    re.DOTALL,
)
"""Any URL, split around its port. It is neither changed nor checked, since it is signed exactly."""

_DEFAULT_PORTS = {"http": ":80", "ws": ":80", "https": ":443", "wss": ":443"}

_BODY_HASH = re.compile(r"[?&]bodySHA256=([0-9a-f]{64})(?:[&#]|\Z)")

_NON_XML_CHARACTER = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
"""Characters that an XML document cannot contain, escaped or not (XML 1.0, section 2.2)."""

_ATTRIBUTE_ESCAPES = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        '"': "&quot;",
        # Unescaped, these would be read as spaces (XML 1.0, section 3.3.3).
        "\t": "&#9;",
        "\n": "&#10;",
        "\r": "&#13;",
    }
)


def connect_stream_twiml(
    url: str,
    parameters: Mapping[str, str] | None = None,
    *,
    action: str | None = None,
    status_callback: str | None = None,
) -> str:
    """Return the TwiML that connects a call to the bidirectional Media Stream at `url`.

    `url` is absolute, `wss`, and has neither query nor fragment, since Twilio supports no query
    string (error 31920). `ws` is for loopback hosts only, in local tests. `parameters` are received
    as `start.customParameters`; the name and value of each together are under 500 characters.

    The content type of the response is `text/xml`. The call ends when the stream is closed, since
    no verb follows. With `action`, an absolute URL, Twilio requests that URL then, and does what
    the TwiML of the answer says (Twilio, "TwiML Voice: <Connect>",
    https://www.twilio.com/docs/voice/twiml/connect). Twilio reports the start, the end and errors
    of the stream to the absolute URL `status_callback` (Twilio, "TwiML Voice: <Stream>").

    Raises `LocalProtocolError` for an argument of another type, for a URL or parameters that Twilio
    would refuse, and for a document over 64 kB.
    """
    TEXT.check("url", url)
    _PARAMETERS.check("parameters", parameters)
    _check_stream_url(url)
    connect = "" if action is None else f' action="{_http_url("action", action)}"'
    stream = ""
    if status_callback is not None:
        stream = f' statusCallback="{_http_url("status_callback", status_callback)}"'
    children = "".join(
        _parameter_element(name, value) for name, value in (parameters or {}).items()
    )
    document = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Response><Connect{connect}>"
        f'<Stream url="{url.translate(_ATTRIBUTE_ESCAPES)}"{stream}>{children}'
        "</Stream></Connect></Response>"
    )
    size = len(document.encode())
    if size > _MAX_DOCUMENT_BYTES:
        raise LocalProtocolError(
            f"the TwiML has {size} bytes, Twilio accepts {_MAX_DOCUMENT_BYTES}; give the stream "
            "fewer or shorter parameters"
        )
    return document


def reject_twiml(reason: RejectReason = "rejected") -> str:
    """Return the TwiML that refuses a call without answering it, so that it costs nothing.

    Raises `LocalProtocolError` for any other reason.
    """
    if reason not in get_args(RejectReason):
        raise LocalProtocolError(f"the reason to reject a call is rejected or busy, not {reason!r}")
    return f'<?xml version="1.0" encoding="UTF-8"?><Response><Reject reason="{reason}"/></Response>'


def redirect_twiml(url: str, method: Literal["GET", "POST"] = "POST") -> str:
    """Return the TwiML that has Twilio request `url`, and do what its TwiML says (Twilio, "TwiML
    Voice: <Redirect>", https://www.twilio.com/docs/voice/twiml/redirect).

    `url` may be a path that starts with a slash, at the same server. Raises `LocalProtocolError` if
    it is neither that nor an absolute http or https URL, and for another method than GET and POST.
    """
    if method not in ("GET", "POST"):
        raise LocalProtocolError(f"Twilio redirects a call by GET or POST, not by {method!r}")
    target = _http_url("url", url, is_path_allowed=True)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<Response><Redirect method="{method}">{target}</Redirect></Response>'
    )


def stream_url(public_url: str, path: str) -> str:
    """Return the URL of the Media Stream at `path` of the server whose public URL is `public_url`.

    The scheme becomes that of a WebSocket: `https` becomes `wss`, `http` becomes `ws`. Twilio signs
    the upgrade with the URL in the TwiML, whatever scheme a proxy reports. `path` starts with a
    slash, and is appended to the path of `public_url`.

    Raises `LocalProtocolError` if the result is not a URL that `connect_stream_twiml` accepts.
    """
    TEXT.check("public_url", public_url)
    TEXT.check("path", path)
    if not path.startswith("/"):
        raise LocalProtocolError("the path of the stream must start with a slash")
    url = re.sub(r"^http(?=s?://)", "ws", public_url).rstrip("/") + path
    _check_stream_url(url)
    return url


def signature_algorithm(settings: str | None) -> str:
    """Return the algorithm that `settings`, the value of `SIGNATURE_SETTINGS_HEADER`, names:
    `HMAC_SHA1` if there is none. It may be one that this version does not know."""
    for part in (settings or "").split(","):
        name, _, value = part.partition("=")
        if name.strip() == "algorithm" and value.strip():
            return value.strip().upper()
    return HMAC_SHA1


def compute_signature(
    auth_token: str,
    url: str,
    parameters: Iterable[tuple[str, str]] = (),
    *,
    algorithm: str = HMAC_SHA1,
) -> str:
    """Return the signature with which Twilio signs a request.

    `auth_token` is the auth token of the account, or the secret of a shared key, `url` the whole
    URL as Twilio uses it, `parameters` the fields of a posted form, in any order. The signature is
    the base64 of the HMAC of the URL and, sorted, each name and value without separators (Twilio,
    "Webhooks security", https://www.twilio.com/docs/usage/webhooks/webhooks-security). As in
    Twilio's libraries, a repeated pair counts once.

    Raises `LocalProtocolError` for an empty token, with which anybody could sign, and for another
    `algorithm` than `HMAC_SHA1` and `HMAC_SHA256`.
    """
    if not auth_token:
        raise LocalProtocolError("the auth token is empty; set it before requests are checked")
    if algorithm not in _DIGESTS:
        raise LocalProtocolError(f"the algorithm of a signature is one of {', '.join(_DIGESTS)}")
    signed = url + "".join(name + value for name, value in sorted(set(parameters)))
    digest = hmac.digest(_to_bytes(auth_token), _to_bytes(signed), _DIGESTS[algorithm])
    return b64encode(digest).decode("ascii")


def is_signature_valid(
    auth_token: str | Iterable[str],
    signature: str | None,
    url: str,
    parameters: Iterable[tuple[str, str]] = (),
    *,
    json_body: bytes | None = None,
    settings: str | None = None,
) -> bool:
    """Whether a request comes from Twilio, that is, was signed with `auth_token`.

    `auth_token` is one secret or several, any of which may have signed: the auth tokens of an
    account and its subaccounts, the old and the new one while they are rotated, and the secrets of
    shared keys. `settings` is the value of `SIGNATURE_SETTINGS_HEADER`, which names the algorithm.
    `signature` is the value of `SIGNATURE_HEADER`; `None`: the request has no such header. `url` is
    the whole URL as Twilio uses it, with its query. What else is signed depends on the request:

    - the upgrade to a Media Stream: nothing; `url` is the one given to `connect_stream_twiml`, with
      the scheme `wss`, not the `https` that a proxy may report;
    - a posted form: its fields, `parameters`;
    - a posted JSON body: `json_body`, whose SHA-256 must be in the query of `url` as `bodySHA256`.

    Twilio signs a URL with or without its port, and not always as configured, so both are tried.
    The comparison takes constant time.

    Raises `LocalProtocolError` if there is no token or an empty one, and never for what a peer
    sends.
    """
    tokens = (auth_token,) if isinstance(auth_token, str) else tuple(auth_token)
    if not all(tokens) or not tokens:
        raise LocalProtocolError("the auth token is empty; set it before requests are checked")
    algorithm = signature_algorithm(settings)
    if algorithm not in _DIGESTS:
        return False
    fields = tuple(parameters)
    expected = [
        compute_signature(token, variant, fields, algorithm=algorithm)
        for token in tokens
        for variant in _port_variants(url)
    ]
    if signature is None or (json_body is not None and not _has_body_hash(url, json_body)):
        return False
    given = _to_bytes(signature)
    return any(hmac.compare_digest(given, _to_bytes(each)) for each in expected)


def parse_form(body: bytes) -> list[tuple[str, str]] | Fault:
    """Return the fields of a posted form (`application/x-www-form-urlencoded`), in order.

    Empty values are kept, since they are signed too. A body that is not UTF-8, or has over 1000
    fields, is a `Fault` without a peer. The length of the body is not limited here.
    """
    if body.count(b"&") >= _MAX_FORM_FIELDS:
        return Fault(None, FaultKind.TOO_LARGE, f"the form has over {_MAX_FORM_FIELDS} fields")
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        return Fault(None, FaultKind.BAD_MESSAGE, "the form is not UTF-8")


def _check_stream_url(url: str) -> None:
    # The messages do not contain the URL, since its path may contain a token.
    if "?" in url or "#" in url:
        raise LocalProtocolError(
            "the URL of a stream must have neither a query nor a fragment, which Twilio does not "
            "send; use the path, or parameters of the stream"
        )
    match = _STREAM_URL.fullmatch(url)
    if match is None or not 0 < int(match["port"] or 443) < 1 << 16:
        raise LocalProtocolError(
            "the URL of a stream must be absolute, as in wss://host/path, and ASCII, with other "
            "characters percent-encoded"
        )
    if match["scheme"] == "ws" and not _LOOPBACK_HOST.fullmatch(match["host"]):
        raise LocalProtocolError(
            "Twilio opens streams with wss only (error 31922); ws is for loopback hosts"
        )


def _http_url(name: str, url: str, *, is_path_allowed: bool = False) -> str:
    """Return an absolute http or https URL, or a path, escaped for XML."""
    TEXT.check(name, url)
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    is_absolute = parts.scheme in ("http", "https") and bool(parts.hostname)
    is_path = is_path_allowed and re.match(r"/(?!/)", url) is not None
    is_text_valid = url.isascii() and url.isprintable() and " " not in url
    if not (is_absolute or is_path) or not is_text_valid:
        raise LocalProtocolError(
            f"{name} must be an absolute URL, as in https://host/path, and ASCII, with other "
            "characters percent-encoded"
        )
    return url.translate(_ATTRIBUTE_ESCAPES)


def _parameter_element(name: str, value: str) -> str:
    TEXT.check("each name in parameters", name)
    TEXT.check(f"parameters[{name!r}]", value)
    if not name:
        raise LocalProtocolError("a parameter of the stream has an empty name")
    if len(name) + len(value) > _MAX_PARAMETER_CHARACTERS:
        raise LocalProtocolError(
            "name and value of a parameter of the stream have over "
            f"{_MAX_PARAMETER_CHARACTERS} characters together; pass a key to longer data"
        )
    if _NON_XML_CHARACTER.search(name) or _NON_XML_CHARACTER.search(value):
        raise LocalProtocolError(
            "a parameter of the stream has a character that XML cannot contain, such as a control "
            "character; encode the value, in base64 for example"
        )
    name, value = name.translate(_ATTRIBUTE_ESCAPES), value.translate(_ATTRIBUTE_ESCAPES)
    return f'<Parameter name="{name}" value="{value}"/>'


def _port_variants(url: str) -> list[str]:
    """Return `url`, and the same URL without its port, or with the default one if it has none."""
    match = _SIGNED_URL.fullmatch(url)
    if match is None:
        return [url]
    port = "" if match["port"] else _DEFAULT_PORTS[match["scheme"]]
    return [url, match["origin"] + port + (match["rest"] or "")]


def _has_body_hash(url: str, body: bytes) -> bool:
    match = _BODY_HASH.search(url)
    return match is not None and hmac.compare_digest(match[1], sha256(body).hexdigest())


def _to_bytes(text: str) -> bytes:
    """Return the UTF-8 of any text; headers and targets may have lone surrogates."""
    return text.encode("utf-8", "surrogatepass")
