"""Access to the service: signatures, the URL that they prove, and requests of this machine."""

from attrs import frozen

from twilio_realtime_core import Fault, LocalProtocolError
from twilio_realtime_core.transport.http import HttpRequest, HttpResponse
from twilio_realtime_core.webhook import (
    SIGNATURE_HEADER,
    SIGNATURE_SETTINGS_HEADER,
    is_signature_valid,
    parse_form,
    stream_url,
)

from .call_log import SignatureRefusal
from .public_url import (
    base_url,
    has_foreign_origin,
    is_from_this_machine,
    parse_query,
    proposed_base_urls,
    secure_base_url,
)
from .service_config import MEDIA_STREAM_PATH, ServiceConfig

__all__ = ["RequestGuard", "WebhookRequest"]

_PUBLIC_URL_UNKNOWN = HttpResponse(  # RFC 9110, section 15.5.20
    421,
    b"the URL under which Twilio reaches this server is not known: set TWILIO_AUTH_TOKEN, and it "
    b"is taken from signed requests, or set --public-url, or trust the proxy in front\n",
)
_SIGNATURE_MISSING = b"the request has no X-Twilio-Signature\n"
_SIGNATURE_WRONG = (
    b"X-Twilio-Signature does not match: check that --public-url is what Twilio uses, to the "
    b"letter, and that the auth token is that of the account or of its subaccount\n"
)
_NOT_THIS_MACHINE = HttpResponse(
    403,
    b"without an auth token only this machine is served: set TWILIO_AUTH_TOKEN to the auth token "
    b"of your Twilio account, or say --insecure\n",
)
_FOREIGN_ORIGIN = HttpResponse(403, b"unsigned requests of other sites' pages are refused\n")


@frozen
class WebhookRequest:
    """A request of Twilio's, or of somebody with the same access."""

    base_url: str
    """The URL of this server as Twilio uses it, without the path."""
    parameters: tuple[tuple[str, str], ...]
    """The parameters of the query and the fields of the form."""


@frozen(eq=False)
class RequestGuard:
    """Refuses requests that are not allowed to use the service.

    With auth tokens, a request must be signed. Without, it must come from this machine, unless the
    configuration is `insecure`, and never from the page of another site. `public_url` is that of
    the configuration, from `check_public_url`.
    """

    config: ServiceConfig
    public_url: str | None

    def check_webhook(
        self, request: HttpRequest, target: str, *, is_exposed: bool, root_path: str = ""
    ) -> WebhookRequest | HttpResponse:
        """Check a request for TwiML; return it, or its refusal. `target` is without the prefix of
        the public URL, and without `root_path`, below which another server has mounted this one.
        `is_exposed`: the connection came in at an address that others can reach."""
        form = parse_form(request.body) if _has_form(request) else []
        if isinstance(form, Fault):
            return HttpResponse(400, f"{form.message}\n".encode())
        fields = (*parse_query(target), *form)
        bases = self._base_urls(request, root_path)
        if not bases:
            return _PUBLIC_URL_UNKNOWN
        if not self.config.auth_tokens:
            refusal = self._check_unsigned(request, is_exposed=is_exposed)
            return refusal or WebhookRequest(bases[0], fields)
        for base in bases:
            if self._is_signed(request, base + target, form):
                return WebhookRequest(secure_base_url(base), fields)
        return _refuse_signature(request, bases[0] + target)

    def check_stream(
        self,
        request: HttpRequest,
        base: str | None,
        path: str,
        *,
        is_exposed: bool,
        root_path: str = "",
    ) -> HttpResponse | None:
        """Check a request for the stream at `path`; return its refusal, or `None`. `base` is the
        URL of this server in the TwiML, if it is known."""
        if not self.config.auth_tokens:
            return self._check_unsigned(request, is_exposed=is_exposed)
        bases = self._base_urls(request, root_path) if base is None else [base]
        urls = [url for each in bases if (url := _stream_url(each, path)) is not None]
        if not urls:
            return _PUBLIC_URL_UNKNOWN
        if any(self._is_signed(request, url, []) for url in urls):
            return None
        return _refuse_signature(request, urls[0])

    def _base_urls(self, request: HttpRequest, root_path: str) -> list[str]:
        """Return the URLs of this server that Twilio may have used, and that it can dial: with
        `root_path`, and without, since a proxy may have added it."""
        bases = self._server_urls(request)
        if not root_path:
            return bases
        mounted = [each if each.endswith(root_path) else each + root_path for each in bases]
        return list(dict.fromkeys((*mounted, *bases)))

    def _server_urls(self, request: HttpRequest) -> list[str]:
        """Return those URLs for a service that is not mounted below a path."""
        is_configured = self.public_url is not None or self.config.trust_proxy
        if is_configured or not self.config.auth_tokens:
            base = base_url(request, self.public_url, trust_proxy=self.config.trust_proxy)
            return [base] if base is not None and _stream_url(base) is not None else []
        return [
            each
            for each in proposed_base_urls(request)
            if _stream_url(secure_base_url(each)) is not None
        ]

    def _check_unsigned(self, request: HttpRequest, *, is_exposed: bool) -> HttpResponse | None:
        if has_foreign_origin(request):
            return _FOREIGN_ORIGIN
        if self.config.insecure or (is_from_this_machine(request) and not is_exposed):
            return None
        return _NOT_THIS_MACHINE

    def _is_signed(self, request: HttpRequest, url: str, form: list[tuple[str, str]]) -> bool:
        is_json = request.method == "POST" and not _has_form(request)
        return is_signature_valid(
            self.config.auth_tokens,
            request.header(SIGNATURE_HEADER),
            url,
            form,
            json_body=request.body if is_json else None,
            settings=request.header(SIGNATURE_SETTINGS_HEADER),
        )


def _has_form(request: HttpRequest) -> bool:
    content_type = request.header("content-type") or ""
    return request.method == "POST" and not content_type.startswith("application/json")


def _refuse_signature(request: HttpRequest, url: str) -> SignatureRefusal:
    is_signed = request.header(SIGNATURE_HEADER) is not None
    reason = _SIGNATURE_WRONG if is_signed else _SIGNATURE_MISSING
    return SignatureRefusal(403, reason, checked_url=url)


def _stream_url(base: str, path: str = MEDIA_STREAM_PATH) -> str | None:
    """Return the URL of the stream at `path`, or `None` if Twilio could not dial it."""
    try:
        return stream_url(base, path)
    except LocalProtocolError:
        return None
