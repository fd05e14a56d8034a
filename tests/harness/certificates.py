"""TLS contexts for tests, with certificates of an authority for tests."""

import ssl
from datetime import UTC, datetime
from functools import cache

import trustme

__all__ = ["client_context", "self_signed_context", "server_context"]

_YEAR_2000 = datetime(2000, 1, 1, tzinfo=UTC)
_YEAR_3000 = datetime(3000, 1, 1, tzinfo=UTC)


@cache
def authority(name: str) -> trustme.CA:
    return trustme.CA(organization_name=name)


@cache
def server_context(
    *names: str,
    issuer: str = "authority",
    not_before: datetime = _YEAR_2000,
    not_after: datetime = _YEAR_3000,
) -> ssl.SSLContext:
    """Return the context of a server whose certificate for `names` is from `issuer`."""
    leaf = authority(issuer).issue_cert(*names, not_before=not_before, not_after=not_after)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with leaf.private_key_and_cert_chain_pem.tempfile() as path:
        context.load_cert_chain(path)
    return context


def self_signed_context() -> ssl.SSLContext:
    """Return the context of a server with a self-signed certificate."""
    issuer = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with issuer.private_key_pem.tempfile() as key, issuer.cert_pem.tempfile() as certificate:
        context.load_cert_chain(certificate, key)
    return context


@cache
def client_context() -> ssl.SSLContext:
    """Return the context of a client that trusts the authority."""
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=authority("authority").cert_pem.bytes().decode())
    return context
