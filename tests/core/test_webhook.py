import importlib
import re
import string
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any, Literal, Protocol, cast
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from twilio_realtime_core.errors import Fault, FaultKind, LocalProtocolError
from twilio_realtime_core.webhook import (
    HANG_UP_TWIML,
    HMAC_SHA1,
    HMAC_SHA256,
    SIGNATURE_HEADER,
    RejectReason,
    compute_signature,
    connect_stream_twiml,
    is_signature_valid,
    parse_form,
    redirect_twiml,
    reject_twiml,
    signature_algorithm,
    stream_url,
)

TOKEN = "12345"
STREAM = "wss://example.com/media-stream"


class Validator(Protocol):
    """What is used of the checker in Twilio's own library, which has no types."""

    def compute_signature(
        self, uri: str, params: dict[str, str], algorithm: str | None = None
    ) -> str: ...

    def validate(
        self,
        uri: str,
        params: dict[str, str] | str,
        signature: str,
        algorithm: str | None = None,
    ) -> bool: ...


class Repeated(dict[str, list[str]]):
    """A form with repeated names, in the shape in which Twilio's library takes one."""

    def getall(self, name: str) -> list[str]:
        return self[name]


def twilios_own(token: str) -> Validator:
    module = importlib.import_module("twilio.request_validator")
    return cast(Validator, module.RequestValidator(token))


hosts = st.sampled_from(["example.com", "a.b.example", "127.0.0.1"])
ports = st.sampled_from(["", ":443", ":80", ":8443"])
paths = st.text(string.ascii_letters + string.digits + "/-._~%", max_size=20)
queries = st.text(string.ascii_letters + string.digits + "=&%+", min_size=1, max_size=20)
urls = st.builds("{}://{}{}/{}".format, st.sampled_from(["https", "http"]), hosts, ports, paths)
urls_with_query = st.one_of(urls, st.builds("{}?{}".format, urls, queries))
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
xml_words = st.text(
    st.one_of(st.characters(exclude_categories=["Cs", "Cc"]), st.sampled_from("\t\n\r")),
    max_size=40,
).filter(lambda text: not re.search("[\ufffe\uffff]", text))


# The TwiML


def test_twiml_connects_the_call_to_the_stream() -> None:
    assert connect_stream_twiml(STREAM) == (
        '<?xml version="1.0" encoding="UTF-8"?><Response><Connect>'
        '<Stream url="wss://example.com/media-stream"></Stream></Connect></Response>'
    )


def test_twiml_carries_the_parameters_in_their_order() -> None:
    stream = parse(connect_stream_twiml(STREAM, {"tenant": "blue", "Agent": "sales & more"}))
    assert [child.tag for child in stream] == ["Parameter", "Parameter"]
    assert [dict(child.attrib) for child in stream] == [
        {"name": "tenant", "value": "blue"},
        {"name": "Agent", "value": "sales & more"},
    ]


@given(st.dictionaries(xml_words.filter(bool), xml_words, max_size=5))
def test_twiml_read_as_xml_gives_back_url_and_parameters(parameters: dict[str, str]) -> None:
    stream = parse(connect_stream_twiml("wss://example.com/a&b'c", parameters))
    assert stream.attrib == {"url": "wss://example.com/a&b'c"}
    assert [(child.attrib["name"], child.attrib["value"]) for child in stream] == list(
        parameters.items()
    )


@pytest.mark.parametrize(
    "url",
    [
        "wss://example.com",
        "wss://example.com:8443/",
        "wss://[2001:db8::1]:443/a/b",
        "wss://xn--bcher-kva.example/%C3%BC/~token_1.2-3",
        "ws://localhost:8080/media-stream",
        "ws://127.0.0.1/media-stream",
        "ws://[::1]:5000/media-stream",
    ],
)
def test_twiml_takes_a_url_that_can_be_dialled(url: str) -> None:
    assert parse(connect_stream_twiml(url)).attrib["url"] == url


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("wss://example.com/media?token=secret", "use the path, or parameters"),
        ("wss://example.com/media#secret", "use the path, or parameters"),
        ("/media-stream/secret", "absolute"),
        ("example.com/secret", "absolute"),
        ("https://example.com/secret", "absolute"),
        ("wss:///secret", "absolute"),
        ("wss://user:secret@example.com/", "absolute"),
        ("wss://example.com/secret of mine", "percent-encoded"),
        ("wss://example.com/secret\n", "percent-encoded"),
        ("wss://bücher.example/secret", "ASCII"),
        ("wss://example.com:0/secret", "absolute"),
        ("wss://example.com:65536/secret", "absolute"),
        ("wss://[::1/secret", "absolute"),
        ("ws://example.com/secret", "wss only"),
        ("ws://localhost.example.com/secret", "wss only"),
        ("", "absolute"),
    ],
)
def test_twiml_refuses_a_url_that_twilio_would_not_dial(url: str, hint: str) -> None:
    with pytest.raises(LocalProtocolError, match=hint) as raised:
        connect_stream_twiml(url)
    assert "secret" not in str(raised.value)


def test_name_and_value_of_a_parameter_stay_under_500_characters() -> None:
    assert "v" * 495 in connect_stream_twiml(STREAM, {"name": "v" * 495})
    with pytest.raises(LocalProtocolError, match="over 499 characters together"):
        connect_stream_twiml(STREAM, {"name": "v" * 496})


def test_a_parameter_has_a_name() -> None:
    with pytest.raises(LocalProtocolError, match="empty name"):
        connect_stream_twiml(STREAM, {"": "value"})


@pytest.mark.parametrize("character", ["\0", "\x0b", "\x1f", "\ud800", "\ufffe", "\uffff"])
def test_text_that_xml_cannot_hold_is_refused(character: str) -> None:
    with pytest.raises(LocalProtocolError, match="encode the value"):
        connect_stream_twiml(STREAM, {"name": f"a{character}b"})
    with pytest.raises(LocalProtocolError, match="encode the value"):
        connect_stream_twiml(STREAM, {f"a{character}b": "value"})


def test_a_document_stays_within_64_kb() -> None:
    assert connect_stream_twiml(STREAM, {f"name {n}": "v" * 400 for n in range(140)})
    with pytest.raises(LocalProtocolError, match="64000; give the stream fewer"):
        connect_stream_twiml(STREAM, {f"name {n}": "v" * 400 for n in range(150)})


def test_the_size_of_a_document_counts_in_bytes() -> None:
    with pytest.raises(LocalProtocolError, match="64000"):
        connect_stream_twiml(STREAM, {f"name {n}": "ü" * 400 for n in range(78)})


def test_twiml_names_the_urls_for_the_end_and_the_state_of_the_stream() -> None:
    document = connect_stream_twiml(
        STREAM,
        {"a": "b"},
        action="https://example.com/after?a=1&b=2",
        status_callback="https://example.com/status",
    )
    (connect,) = ElementTree.fromstring(document)  # noqa: S314
    (stream,) = connect
    assert connect.attrib == {"action": "https://example.com/after?a=1&b=2"}
    assert stream.attrib == {"url": STREAM, "statusCallback": "https://example.com/status"}
    assert len(stream) == 1


BAD_HTTP_URLS = ["", "example.com", "wss://example.com", "https://", "https://[::1", "https://a b"]


@pytest.mark.parametrize("url", [*BAD_HTTP_URLS, "/after", "https://bücher.example"])
def test_other_urls_than_http_ones_are_refused(url: str) -> None:
    with pytest.raises(LocalProtocolError, match="action must be an absolute URL"):
        connect_stream_twiml(STREAM, action=url)
    with pytest.raises(LocalProtocolError, match="status_callback must be an absolute URL"):
        connect_stream_twiml(STREAM, status_callback=url)


@pytest.mark.parametrize("reason", ["rejected", "busy"])
def test_twiml_rejects_a_call_with_a_reason(reason: RejectReason) -> None:
    (reject,) = ElementTree.fromstring(reject_twiml(reason))  # noqa: S314
    assert (reject.tag, reject.attrib) == ("Reject", {"reason": reason})


def test_another_reason_to_reject_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="rejected or busy, not 'asleep'"):
        reject_twiml(cast(RejectReason, "asleep"))


@pytest.mark.parametrize("url", ["https://example.com/a?b=c&d=e", "http://example.com", "/other"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_twiml_redirects_a_call(url: str, method: Literal["GET", "POST"]) -> None:
    (redirect,) = ElementTree.fromstring(redirect_twiml(url, method))  # noqa: S314
    assert (redirect.tag, redirect.text) == ("Redirect", url)
    assert redirect.attrib == {"method": method}


@pytest.mark.parametrize("url", [*BAD_HTTP_URLS, "//example.com", "/a b"])
def test_a_redirect_to_another_kind_of_url_is_refused(url: str) -> None:
    with pytest.raises(LocalProtocolError, match="url must be an absolute URL"):
        redirect_twiml(url)


def test_a_redirect_by_another_method_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="GET or POST, not by 'PUT'"):
        redirect_twiml(STREAM, cast(Any, "PUT"))


def test_twiml_ends_a_call() -> None:
    (hang_up,) = ElementTree.fromstring(HANG_UP_TWIML)  # noqa: S314
    assert hang_up.tag == "Hangup"


# The URL of the stream


@pytest.mark.parametrize(
    ("public_url", "expected"),
    [
        ("https://example.com", "wss://example.com/media-stream"),
        ("https://example.com/", "wss://example.com/media-stream"),
        ("https://example.com:8443/calls/", "wss://example.com:8443/calls/media-stream"),
        ("wss://example.com", "wss://example.com/media-stream"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/media-stream"),
    ],
)
def test_the_stream_url_has_the_scheme_of_a_websocket(public_url: str, expected: str) -> None:
    assert stream_url(public_url, "/media-stream") == expected


@pytest.mark.parametrize(
    ("public_url", "path"),
    [
        ("https://example.com", "media-stream"),
        ("https://example.com?a=b", "/media-stream"),
        ("https://example.com", "/media-stream?a=b"),
        ("http://example.com", "/media-stream"),
        ("example.com", "/media-stream"),
        ("", "/media-stream"),
    ],
)
def test_a_stream_url_that_twilio_would_not_dial_is_refused(public_url: str, path: str) -> None:
    with pytest.raises(LocalProtocolError):
        stream_url(public_url, path)


# Signing


def test_a_form_is_signed_as_twilio_documents() -> None:
    parameters = [
        ("To", "+18005551212"),
        ("Digits", "1234"),
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309"),
        ("From", "+14158675309"),
    ]
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert compute_signature(TOKEN, url, parameters) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_an_upgrade_is_signed_by_its_url_alone() -> None:
    # printf 'wss://example.com/media-stream' | openssl dgst -sha1 -hmac 12345 -binary | base64
    assert compute_signature(TOKEN, STREAM) == "XFfwGS2Ev7f9qAP9MmRoMS7C724="


@given(words.filter(bool), urls_with_query, st.dictionaries(words, words, max_size=6))
def test_signatures_are_those_of_twilios_library(
    token: str, url: str, parameters: dict[str, str]
) -> None:
    expected = twilios_own(token).compute_signature(url, parameters)
    assert compute_signature(token, url, parameters.items()) == expected


@given(words.filter(bool), urls_with_query, st.dictionaries(words, words, max_size=6))
def test_sha256_signatures_are_those_of_twilios_library(
    secret: str, url: str, parameters: dict[str, str]
) -> None:
    expected = twilios_own(secret).compute_signature(url, parameters, HMAC_SHA256)
    assert compute_signature(secret, url, parameters.items(), algorithm=HMAC_SHA256) == expected
    settings = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
    assert is_signature_valid(secret, expected, url, parameters.items(), settings=settings)
    assert not is_signature_valid(secret, expected, url, parameters.items())


@pytest.mark.parametrize(
    ("settings", "algorithm"),
    [
        (None, HMAC_SHA1),
        ("", HMAC_SHA1),
        ("key=k", HMAC_SHA1),
        ("key=k,algorithm=", HMAC_SHA1),
        ("key=k,algorithm=HMAC_SHA256", HMAC_SHA256),
        (" algorithm = hmac_sha256 , key=k", HMAC_SHA256),
        ("key=k,algorithm=HMAC_SHA1", HMAC_SHA1),
        ("algorithm=HMAC_MD5", "HMAC_MD5"),
    ],
)
def test_the_settings_header_names_the_algorithm(settings: str | None, algorithm: str) -> None:
    assert signature_algorithm(settings) == algorithm


def test_an_unknown_algorithm_matches_nothing_and_signs_nothing() -> None:
    signature = compute_signature(TOKEN, STREAM)
    assert not is_signature_valid(TOKEN, signature, STREAM, settings="algorithm=HMAC_MD5")
    with pytest.raises(LocalProtocolError, match="HMAC_SHA1, HMAC_SHA256"):
        compute_signature(TOKEN, STREAM, algorithm="HMAC_MD5")


@pytest.mark.parametrize("token", ["subaccount", "account"])
def test_any_of_several_tokens_may_have_signed(token: str) -> None:
    signature = compute_signature(token, STREAM)
    assert is_signature_valid(["subaccount", "account"], signature, STREAM)
    assert not is_signature_valid(["another", "third"], signature, STREAM)


@given(st.dictionaries(words, st.lists(words, min_size=1, max_size=3), max_size=4))
def test_repeated_fields_are_signed_as_in_twilios_library(fields: dict[str, list[str]]) -> None:
    theirs = cast(dict[str, str], Repeated(fields))
    pairs = [(name, value) for name, values in fields.items() for value in values]
    assert compute_signature(TOKEN, STREAM, pairs) == twilios_own(TOKEN).compute_signature(
        STREAM, theirs
    )


def test_an_empty_token_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="token is empty"):
        compute_signature("", STREAM)
    with pytest.raises(LocalProtocolError, match="token is empty"):
        is_signature_valid("", None, STREAM)
    for tokens in ([], ["account", ""]):
        with pytest.raises(LocalProtocolError, match="token is empty"):
            is_signature_valid(tokens, None, STREAM)


# Checking


def test_the_signature_of_an_upgrade_matches_its_url() -> None:
    signature = "XFfwGS2Ev7f9qAP9MmRoMS7C724="
    assert is_signature_valid(TOKEN, signature, STREAM)
    assert is_signature_valid(TOKEN, signature, stream_url("https://example.com", "/media-stream"))
    assert not is_signature_valid(TOKEN, signature, "https://example.com/media-stream")
    assert not is_signature_valid(TOKEN, signature, STREAM + "/")
    assert not is_signature_valid(TOKEN, signature, STREAM, [("From", "+15550100")])
    assert not is_signature_valid("54321", signature, STREAM)


@pytest.mark.parametrize(
    ("with_port", "without"),
    [
        ("wss://example.com:443/a", "wss://example.com/a"),
        ("ws://127.0.0.1:80/a", "ws://127.0.0.1/a"),
        ("https://example.com:443?b=c", "https://example.com?b=c"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://user:password@example.com:443/a:1", "https://user:password@example.com/a:1"),
    ],
)
def test_a_url_is_tried_with_and_without_its_port(with_port: str, without: str) -> None:
    assert is_signature_valid(TOKEN, compute_signature(TOKEN, with_port), without)
    assert is_signature_valid(TOKEN, compute_signature(TOKEN, without), with_port)


def test_only_a_signature_may_leave_out_the_port() -> None:
    assert is_signature_valid(
        TOKEN, compute_signature(TOKEN, STREAM), "wss://example.com:8443/media-stream"
    )
    assert not is_signature_valid(
        TOKEN,
        compute_signature(TOKEN, "wss://example.com:8443/media-stream"),
        "wss://example.com/media-stream",
    )


@given(st.dictionaries(words, words, max_size=4), urls_with_query, urls_with_query)
def test_requests_are_accepted_as_by_twilios_library(
    parameters: dict[str, str], url: str, other: str
) -> None:
    for signed in (url, other):
        signature = compute_signature(TOKEN, signed, parameters.items())
        assert is_signature_valid(TOKEN, signature, url, parameters.items()) == twilios_own(
            TOKEN
        ).validate(url, parameters, signature)


@given(st.text(max_size=40), urls_with_query)
def test_a_json_body_is_checked_by_its_hash(body: str, url: str) -> None:
    hashed = sha256(body.encode("utf-8", "replace")).hexdigest()
    signed = f"{url}{'&' if '?' in url else '?'}bodySHA256={hashed}"
    signature = compute_signature(TOKEN, signed)
    raw = body.encode("utf-8", "replace")
    assert is_signature_valid(TOKEN, signature, signed, json_body=raw)
    assert twilios_own(TOKEN).validate(signed, raw.decode(), signature)
    assert not is_signature_valid(TOKEN, signature, signed, json_body=raw + b" ")
    assert not is_signature_valid(TOKEN, signature, url, json_body=raw)
    assert not is_signature_valid(TOKEN, compute_signature(TOKEN, url), url, json_body=raw)


def test_a_request_without_a_signature_does_not_match() -> None:
    headers = {"host": "example.com"}
    assert not is_signature_valid(TOKEN, headers.get(SIGNATURE_HEADER), STREAM)


@given(st.one_of(st.text(), st.text("ABab01+/=", max_size=30)), st.text())
def test_no_header_and_no_url_raises(signature: str, url: str) -> None:
    assume(signature != compute_signature(TOKEN, url))
    assert not is_signature_valid(TOKEN, signature, url)


def test_lone_surrogates_in_url_and_header_are_only_another_text() -> None:
    url = "wss://example.com/\udcff"
    assert is_signature_valid(TOKEN, compute_signature(TOKEN, url), url)
    assert not is_signature_valid(TOKEN, "\udcff", url)


# The form


def test_a_form_has_its_fields_in_order() -> None:
    body = b"From=%2B15550100&City=&Name=J%C3%BCrgen+K&Name=x&Flag"
    assert parse_form(body) == [
        ("From", "+15550100"),
        ("City", ""),
        ("Name", "Jürgen K"),
        ("Name", "x"),
        ("Flag", ""),
    ]


def test_an_empty_form_has_no_fields() -> None:
    assert parse_form(b"") == []


@pytest.mark.parametrize("body", [b"a=%FF", b"a=\xff", b"%C3=a"])
def test_a_form_that_is_not_utf_8_is_a_fault(body: bytes) -> None:
    fault = parse_form(body)
    assert fault == Fault(None, FaultKind.BAD_MESSAGE, "the form is not UTF-8")


def test_a_form_with_too_many_fields_is_a_fault() -> None:
    assert len(fields_of(b"&".join([b"a=b"] * 1000))) == 1000
    fault = parse_form(b"&".join([b"a=b"] * 1001))
    assert fault == Fault(None, FaultKind.TOO_LARGE, "the form has over 1000 fields")


@given(st.binary())
def test_no_body_raises(body: bytes) -> None:
    match parse_form(body):
        case Fault(kind=kind):
            assert kind is FaultKind.BAD_MESSAGE
        case fields:
            assert isinstance(compute_signature(TOKEN, STREAM, fields), str)


def fields_of(body: bytes) -> list[tuple[str, str]]:
    fields = parse_form(body)
    assert not isinstance(fields, Fault)
    return fields


def parse(document: str) -> ElementTree.Element:
    """The `<Stream>` of a TwiML document that holds nothing else."""
    response = ElementTree.fromstring(document)  # noqa: S314
    (connect,) = response
    (stream,) = connect
    assert [response.tag, connect.tag, stream.tag] == ["Response", "Connect", "Stream"]
    return stream


Make = Callable[[Any], str]
REFUSED: list[tuple[Make, str]] = [
    (connect_stream_twiml, "url must be text"),
    (partial(connect_stream_twiml, STREAM), "parameters must be a mapping, or None"),
    (lambda bad: connect_stream_twiml(STREAM, {bad: "x"}), "each name in parameters must be text"),
    (lambda bad: connect_stream_twiml(STREAM, {"a": bad}), r"parameters\['a'\] must be text"),
    (lambda bad: connect_stream_twiml(STREAM, action=bad), "action must be text"),
    (redirect_twiml, "url must be text"),
    (lambda bad: stream_url(bad, "/"), "public_url must be text"),
    (partial(stream_url, "https://x"), "path must be text"),
]


@pytest.mark.parametrize(("make", "reason"), REFUSED)
@pytest.mark.parametrize("bad", [5, b"secret"])
def test_arguments_of_another_type_are_refused(make: Make, reason: str, bad: object) -> None:
    with pytest.raises(LocalProtocolError, match=reason) as caught:
        make(bad)
    assert "secret" not in str(caught.value)
