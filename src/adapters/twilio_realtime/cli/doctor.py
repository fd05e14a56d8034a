"""`twilio-realtime doctor`: check what a real call needs, one by one, and say what to do."""

import os
import re
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Literal, cast
from urllib.parse import quote, urlsplit

import click
from attrs import frozen

from twilio_realtime_core import CallConfig, Peer
from twilio_realtime_core.config.call import session_url
from twilio_realtime_core.machine.peer_json import decode_json
from twilio_realtime_core.transport.headers import Headers
from twilio_realtime_core.webhook import compute_signature

from ..agents.agent import resolve_call_config
from ..agents.call import CallHandler
from ..agents.required_runtime import required_runtime
from ..errors import UsageError
from ..server.agent_loader import AgentError
from ..server.environment import API_KEY_VARIABLE, AUTH_TOKEN_VARIABLE
from ..server.public_url import check_public_url
from ..server.routes import INCOMING_CALL_PATH
from ..server.service_config import ServiceConfig
from ..server.serving import find_agent, make_service_config
from ..server.settings import LoadedSettings, load_settings, read_env_file
from ..server.twilio_account import make_twilio_client
from ..twilio_api.errors import ADVICE
from .http_client import HttpAnswer, NoAnswerError, exchange
from .options import json_option
from .output import LineStyle, Output
from .phone_webhook import CallRefusedError, request_stream
from .runtime import default_runtime, runs_uvloop
from .setting_options import setting_options

__all__ = ["doctor"]

_Verdict = Literal["ok", "warning", "failure", "skipped"]

_STYLES: Final = {
    "ok": LineStyle.SUCCESS,
    "warning": LineStyle.INTERRUPTION,
    "failure": LineStyle.FAILURE,
    "skipped": LineStyle.DIM,
}

_AUTH_TOKEN: Final = re.compile(r"[0-9a-f]{32}")
_OPENAI_HOST: Final = "api.openai.com"

_SHUTDOWN_DATES: Final = {
    "gpt-realtime": date(2027, 1, 20),
    "gpt-realtime-2025-08-28": date(2027, 1, 20),
    "gpt-realtime-mini": date(2027, 1, 20),
}
"""Announced by OpenAI, "Deprecations", read 2026-11-30; for servers that do not say so."""

_MAX_SKEW_S: Final = 60
"""A clock that is off by more gives wrong times in logs, and tokens that expire too early."""
_CERTIFICATE_DAYS: Final = 14
"""Certificates that are renewed by themselves have more days left than this."""

_CALL: Final = {
    "AccountSid": "AC" + 32 * "0",
    "ApiVersion": "2010-04-01",
    "CallSid": "CA" + 32 * "0",
    "CallStatus": "ringing",
    "Direction": "inbound",
    "From": "+15005550006",
    "To": "+15005550001",
}
"""A call that does not exist, with a number of Twilio's for tests."""

_UPGRADE: Final = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@frozen
class _Finding:
    """What a check has found, and, if it is not well, what to do."""

    subject: str
    verdict: _Verdict
    text: str


@click.command(
    short_help="Check what a real call needs, and say what to do.",
    epilog="""
    \b
    Examples:
      twilio-realtime doctor
      twilio-realtime doctor --public-url https://NAME.ngrok.app

    It takes the settings of `serve`. Nothing is changed, and the model is asked for no response.
    With --public-url it requests the webhook as Twilio would, signed, and opens the stream that it
    names; `serve` must run for that.

    Exit status: 0 no check has failed, 1 otherwise, 2 a setting is not valid.
    """,
)
@click.argument("agent", required=False, metavar="[MODULE:AGENT]")
@setting_options
@click.option(
    "--env-file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Add the variables in FILE to the environment.",
)
@json_option
def doctor(*, as_json: bool, env_file: Path | None, **flags: Any) -> int:
    """Check key, Twilio account, model, Realtime server, public URL, clock and certificate."""
    environment = dict(os.environ)
    if env_file is not None:
        environment = {**read_env_file(env_file), **environment}
    settings = load_settings(flags, environment, Path.cwd())
    output = Output(as_json)
    has_failed = False
    for finding in _examine(settings, environment):
        has_failed |= finding.verdict == "failure"
        output.write_event(
            "check",
            {"subject": finding.subject, "verdict": finding.verdict, "message": finding.text},
            style=_STYLES[finding.verdict],
            text=f"{finding.verdict:8}  {finding.subject:15}  {finding.text}",
        )
    return int(has_failed)


def _examine(settings: LoadedSettings, environment: Mapping[str, str]) -> Iterator[_Finding]:
    """Make all checks that are possible, in the order in which a call needs their subjects."""
    agent = None
    try:
        found = find_agent(settings, Path.cwd())
        agent = found.handler
        yield _Finding("agent", "ok", f"{found.name} is served")
    except AgentError as error:
        yield _Finding("agent", "failure", f"{error}: run `serve` to see the traceback")
    except UsageError as error:
        yield _Finding("agent", "failure", str(error))
    yield _find_runtime(settings, agent)
    yield from _check_secret(settings, "api-key", API_KEY_VARIABLE)
    yield from _check_auth_token(settings)
    yield from _check_twilio_account(settings)
    try:
        config = make_service_config(settings, environment, agent)
    except UsageError as error:
        yield _Finding("settings", "failure", str(error))
        return
    call = config.call if agent is None else resolve_call_config(agent, config.call)
    yield from _check_model(config, call)
    yield from _check_realtime(config, call)
    yield from _check_public_url(settings, config)


def _find_runtime(settings: LoadedSettings, agent: CallHandler | None) -> _Finding:
    """Name the event loop that `serve` would run on."""
    required = None if agent is None else required_runtime(agent)
    runtime = settings["runtime"] or required or default_runtime()
    return _Finding("runtime", "ok", f"{runtime}{', on uvloop' * runs_uvloop(runtime)}")


def _check_secret(settings: LoadedSettings, name: str, variable: str) -> Iterator[_Finding]:
    raw = settings[name]
    if raw is None:
        yield _Finding(name, "skipped", f"{variable} is not set")
        return
    text = raw.strip()
    if text[:1] in ("'", '"') or text[-1:] in ("'", '"'):
        yield _Finding(name, "failure", f"{variable} has quotes around it: leave them out")
    elif any(character.isspace() for character in text):
        yield _Finding(
            name, "failure", f"{variable} has a space or a line break in it: copy it again"
        )
    elif raw != text:
        yield _Finding(
            name, "warning", f"{variable} has space around it, which `serve` removes: remove it"
        )
    else:
        yield _Finding(name, "ok", f"{settings.sources[name]} is set, {len(text)} characters")


def _check_auth_token(settings: LoadedSettings) -> Iterator[_Finding]:
    raw = settings["auth-token"]
    if raw is None:
        text = f"{AUTH_TOKEN_VARIABLE} is not set, so only this machine is served: set it"
        yield _Finding("auth-token", "warning", text)
        return
    tokens = [each.strip() for each in raw.split(",") if each.strip()]
    if all(map(_AUTH_TOKEN.fullmatch, tokens)):
        yield _Finding("auth-token", "ok", f"{settings.sources['auth-token']} is set")
    else:
        text = "it is not 32 characters of 0-9 and a-f, as auth tokens are: right only for a shared"
        yield _Finding("auth-token", "warning", f"{text} key")


def _check_twilio_account(settings: LoadedSettings) -> Iterator[_Finding]:
    """Ask Twilio's REST API about the account, if one is set: calls are placed, transferred and
    recorded with it."""
    if settings["twilio-account-sid"] is None:
        return
    try:
        client = make_twilio_client(settings)
    except UsageError as error:
        yield _Finding("twilio-account", "failure", str(error))
        return
    if client is None:
        text = "there is no auth token or API key for it, or the extra twilio-api is not installed"
        yield _Finding("twilio-account", "warning", text)
        return
    credentials = b64encode(f"{client.username}:{client.password}".encode()).decode()
    url = f"{client.api_url}/2010-04-01/Accounts/{client.account_sid}.json"
    answer = _ask("GET", url, {"Authorization": f"Basic {credentials}"})
    if isinstance(answer, str):
        yield _Finding("twilio-account", "failure", f"Twilio's REST API: {answer}")
    elif answer.status == HTTPStatus.OK:
        yield _Finding("twilio-account", "ok", "Twilio's REST API accepts the credentials")
    else:
        advice = ADVICE[20003] if answer.status == HTTPStatus.UNAUTHORIZED else "see the console"
        text = f"Twilio's REST API answers {answer.status}: {advice}"
        yield _Finding("twilio-account", "failure", text)


def _check_model(config: ServiceConfig, call: CallConfig) -> Iterator[_Finding]:
    """Ask OpenAI about the model. Other servers have nothing to ask."""
    known = _SHUTDOWN_DATES.get(call.model)
    if urlsplit(call.url).hostname != _OPENAI_HOST:
        if known is not None:
            yield _judge_shutdown(call.model, known)
        else:
            yield _Finding("model", "skipped", f"{call.model}: the server cannot be asked about it")
        return
    url = f"https://{_OPENAI_HOST}/v1/models/{quote(call.model, safe='')}"
    answer = _ask("GET", url, _realtime_headers(config))
    if isinstance(answer, str):
        yield _Finding("model", "failure", f"{_OPENAI_HOST}: {answer}: check the network")
        return
    yield from _check_clock(answer)
    yield _judge_model(call.model, answer, known)


def _judge_model(model: str, answer: HttpAnswer, known: date | None) -> _Finding:
    match answer.status:
        case HTTPStatus.OK:
            shutdown = _shutdown_date(answer.body) or known
            return (
                _Finding("model", "ok", model)
                if shutdown is None
                else _judge_shutdown(model, shutdown)
            )
        case HTTPStatus.UNAUTHORIZED:
            text = "the key is not valid: make a new one at platform.openai.com/api-keys"
        case HTTPStatus.NOT_FOUND:
            text = f"there is no model {model} for this key: see --model and --project"
        case status:
            text = f"{_OPENAI_HOST} answered {status}{_error_code(answer.body)}"
    return _Finding("model", "failure", text)


def _judge_shutdown(model: str, shutdown: date) -> _Finding:
    days = (shutdown - datetime.now(UTC).date()).days
    if days < 0:
        text = f"{model} was shut down on {shutdown}: use gpt-realtime-2.1"
        return _Finding("model", "failure", text)
    text = f"{model} is shut down on {shutdown}, in {days} days: use gpt-realtime-2.1"
    return _Finding("model", "warning", text)


def _shutdown_date(body: bytes) -> date | None:
    value = (decode_json(body, dict[str, Any]) or {}).get("shutdown_date")
    try:
        if isinstance(value, int):
            return datetime.fromtimestamp(value, UTC).date()
        return None if value is None else date.fromisoformat(str(value)[:10])
    except (ValueError, OverflowError, OSError):
        return None


def _check_realtime(config: ServiceConfig, call: CallConfig) -> Iterator[_Finding]:
    """Open a session and close it at once. It costs nothing, since nothing is said."""
    url = session_url(call.url, call.model)
    host = urlsplit(url).netloc
    answer = _ask("GET", url, {**_realtime_headers(config), **_UPGRADE})
    if isinstance(answer, str):
        text = f"{host} cannot be reached: {answer}: check --realtime-url and the network"
        yield _Finding("realtime", "failure", text)
    elif answer.status == HTTPStatus.SWITCHING_PROTOCOLS:
        yield _Finding("realtime", "ok", f"{host} opens a session")
    else:
        code = _error_code(answer.body)
        yield _Finding("realtime", "failure", f"{host} answered {answer.status}{code}")


def _check_public_url(settings: LoadedSettings, config: ServiceConfig) -> Iterator[_Finding]:
    """Do what Twilio does for a call, up to the open stream."""
    if settings["public-url"] is None:
        text = "say --public-url https://... to check what Twilio would find"
        yield _Finding("public-url", "skipped", text)
        return
    base = check_public_url(settings["public-url"])
    parts = urlsplit(base)
    if parts.scheme == "https":
        yield from _check_certificate(base)
    token = next(iter(config.auth_tokens), None)
    try:
        stream = request_stream(base + INCOMING_CALL_PATH, _CALL, token)
    except (UsageError, CallRefusedError) as error:
        yield _Finding("webhook", "failure", _advise(str(error)))
        return
    yield _Finding("webhook", "ok", f"{parts.netloc} answers with a stream")
    headers = dict(_UPGRADE)
    if token is not None:
        headers["X-Twilio-Signature"] = compute_signature(token, stream.url)
    answer = _ask("GET", stream.url, headers)
    if isinstance(answer, str):
        yield _Finding("stream", "failure", f"{answer}: does the proxy pass WebSockets on?")
    elif answer.status == HTTPStatus.SWITCHING_PROTOCOLS:
        yield _Finding("stream", "ok", "it opens")
    else:
        said = answer.body.decode("utf-8", "replace").strip()[:200]
        text = f"it was refused with {answer.status} ({said}): does the proxy pass WebSockets on?"
        yield _Finding("stream", "failure", text)


def _advise(failure: str) -> str:
    advice = {
        " 403": "the auth token, or the URL, differs from that of `serve`",
        " 404": "the URL leads to another server, or has another path",
        " 421": "`serve` has no auth token: set TWILIO_AUTH_TOKEN for it",
        " 502": "the proxy does not reach `serve`: does it run, and on this port?",
    }
    for status, text in advice.items():
        if f"answered{status}" in failure:
            return f"{failure}: {text}"
    return failure


def _check_certificate(base: str) -> Iterator[_Finding]:
    answer = _ask("GET", f"{base}/healthz", {})
    if isinstance(answer, str):
        yield _Finding("certificate", "failure", f"{answer}: Twilio would log 11220 or 11205")
        return
    yield from _check_clock(answer)
    expiry = (answer.certificate or {}).get("notAfter")
    if isinstance(expiry, str):
        days = int((ssl.cert_time_to_seconds(expiry) - time.time()) // 86_400)
        verdict: _Verdict = "ok" if days >= _CERTIFICATE_DAYS else "warning"
        advice = "" if days >= _CERTIFICATE_DAYS else ": renew it"
        yield _Finding("certificate", verdict, f"it is valid for {days} days{advice}")


def _check_clock(answer: HttpAnswer) -> Iterator[_Finding]:
    try:
        theirs = parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError):
        return
    skew_s = round(abs((datetime.now(UTC) - theirs).total_seconds()))
    if skew_s > _MAX_SKEW_S:
        text = f"it differs from the server's by {skew_s} s: set it by NTP"
        yield _Finding("clock", "failure", text)
    else:
        yield _Finding("clock", "ok", "it agrees with the server's")


def _realtime_headers(config: ServiceConfig) -> dict[str, str]:
    headers = config.link_configs()[Peer.REALTIME].headers
    found = headers() if callable(headers) else headers  # or the constant token of the settings
    return dict(cast(Headers, found))


def _ask(method: str, url: str, headers: Mapping[str, str]) -> HttpAnswer | str:
    """Return the answer to a request, or why there is none."""
    try:
        return exchange(method, url, headers)
    except (NoAnswerError, ValueError) as error:
        return str(error)


def _error_code(body: bytes) -> str:
    """Return the code of an error of the API, to be appended."""
    match decode_json(body, dict[str, Any]):
        case {"error": {"code": str(code)}} | {"error": {"type": str(code)}} if code:
            return f" ({code})" if code.replace("_", "").isalnum() else ""
        case _:
            return ""
