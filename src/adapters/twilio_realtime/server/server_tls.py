"""TLS of the server: its certificate from files, which can be loaded again."""

import ssl
from pathlib import Path

from attrs import define

from ..errors import UsageError

__all__ = ["ServerTls"]


@define(eq=False)
class ServerTls:
    """The TLS context of a server, and the files that it comes from: a certificate chain in PEM,
    and its key, if that is in another file."""

    context: ssl.SSLContext
    certificate: str
    key: str | None

    @classmethod
    def load(cls, certificate: str | None, key: str | None) -> "ServerTls | None":
        """Load the files; `None` without a certificate. Raises as `reload` does."""
        if certificate is None:
            if key is not None:
                raise UsageError(
                    "--key needs --certificate, the certificate chain that it belongs to"
                )
            return None
        tls = cls(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key)
        tls.reload()
        return tls

    def reload(self) -> None:
        """Load the files again, for new connections.

        Raises `OSError` if a file cannot be read and `UsageError` if it is of no use; then what was
        loaded before stays in effect.
        """
        for path in filter(None, (self.certificate, self.key)):
            with Path(path).open("rb"):  # errors of `open` name the file
                pass
        try:
            # First into another context, since a failure would leave half of it in effect.
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):
                # Without `password`, OpenSSL would ask for one on the terminal.
                context.load_cert_chain(self.certificate, self.key, password=lambda: "")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise UsageError(
                    "--key does not belong to --certificate: use the key of that certificate"
                ) from None
            raise UsageError(
                "--certificate or --key is not a PEM file with a certificate chain and its key, "
                "without a password: check their content"
            ) from None
