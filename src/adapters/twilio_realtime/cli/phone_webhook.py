"""The webhook of a call, as the `phone` command requests it: a signed form, answered with TwiML."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode, urljoin, urlsplit
from xml.etree import ElementTree

from attrs import field, frozen

from twilio_realtime_core.errors import redact
from twilio_realtime_core.webhook import compute_signature

from ..errors import UsageError
from .http_client import NoAnswerError, exchange

__all__ = ["CallRefusedError", "StreamInstruction", "request_stream"]

_MAX_REDIRECTS: Final = 10
_MAX_TWIML_BYTES: Final = 64_000
"""Twilio refuses longer documents (error 11750)."""

_SPOKEN: Final = ("Say", "Play", "Pause", "Gather", "Start", "Stop")
"""Verbs that a call passes by on its way to the stream; the simulated phone does nothing then."""


class CallRefusedError(Exception):
    """The webhook connects the call to no stream. `code` is what Twilio would log, if it would."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


@frozen
class StreamInstruction:
    """The stream that the TwiML names."""

    url: str = field(repr=False)
    parameters: Mapping[str, str] = field(repr=False)


def request_stream(
    url: str, fields: Mapping[str, str], auth_token: str | None
) -> StreamInstruction:
    """Request the webhook at `url`, follow redirects, and return the stream to open.

    `fields` is Twilio's form; with an `auth_token`, requests are signed. Raises `CallRefusedError`
    if the call is not connected, and `UsageError` if the server cannot be reached.
    """
    method = "POST"
    for _ in range(_MAX_REDIRECTS):
        twiml = _request(method, url, fields, auth_token)
        for verb in twiml:
            match verb.tag:
                case "Connect":
                    return _find_stream(verb)
                case "Reject":
                    reason = verb.get("reason", "rejected")
                    raise CallRefusedError(f"the call was refused: {redact(reason)}")
                case "Hangup":
                    raise CallRefusedError("the call was ended before its stream")
                case "Redirect":
                    url = urljoin(url, (verb.text or "").strip())
                    method = verb.get("method", "POST").upper()
                    break
                case tag if tag in _SPOKEN:
                    continue
                case tag:
                    raise CallRefusedError(
                        f"the phone does not know the verb <{redact(tag)}>", 12200
                    )
        else:
            raise CallRefusedError("the TwiML ends without a stream")
    raise CallRefusedError(f"the webhook redirected the call {_MAX_REDIRECTS} times", 11206)


def _find_stream(connect: ElementTree.Element) -> StreamInstruction:
    stream = connect.find("Stream")
    if stream is None:
        raise CallRefusedError("<Connect> has no <Stream>", 12200)
    parameters = {
        each.get("name", ""): each.get("value", "") for each in stream.findall("Parameter")
    }
    return StreamInstruction(stream.get("url", ""), parameters)


def _request(
    method: str, url: str, fields: Mapping[str, str], auth_token: str | None
) -> ElementTree.Element:
    body = urlencode(fields)
    headers = {"User-Agent": "TwilioProxy/1.1", "Accept": "*/*"}
    if method == "GET":
        url += f"{'&' if urlsplit(url).query else '?'}{body}"
    else:
        headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
    if auth_token is not None:
        signed = fields.items() if method == "POST" else ()
        headers["X-Twilio-Signature"] = compute_signature(auth_token, url, signed)
    try:
        answer = exchange(
            method,
            url,
            headers,
            body if method == "POST" else None,
            max_body_bytes=_MAX_TWIML_BYTES + 1,
        )
    except ValueError:
        raise UsageError("the URL of the webhook is not http://HOST/PATH or https://...") from None
    except NoAnswerError as error:
        raise UsageError(
            f"cannot reach {urlsplit(url).netloc.rpartition('@')[2]}: {error} (Twilio would log "
            "11200): check that the server is running, and the URL"
        ) from None
    content = answer.body
    if answer.status != HTTPStatus.OK:
        said = content[:200].decode("utf-8", "replace").strip().partition("\n")[0]
        raise CallRefusedError(f"the webhook answered {answer.status}: {redact(said)}", 11200)
    if len(content) > _MAX_TWIML_BYTES:
        raise CallRefusedError(f"the TwiML has more than {_MAX_TWIML_BYTES} bytes", 11750)
    try:
        twiml = ElementTree.fromstring(content)  # noqa: S314 - expat limits what entities become
    except ElementTree.ParseError:
        raise CallRefusedError("the webhook did not answer with XML", 12100) from None
    if twiml.tag != "Response":
        raise CallRefusedError("the TwiML does not begin with <Response>", 12102)
    return twiml
