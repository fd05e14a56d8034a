"""What anybody can post to the webhook: a target, a signature, and a body.

The input is all three, each on a line of its own; the body may hold further line ends.
"""

import sys
from importlib import import_module

from twilio_realtime_core.errors import Fault
from twilio_realtime_core.webhook import compute_signature, is_signature_valid, parse_form

TOKEN = "12345"


def check(data: bytes) -> None:
    """Nothing raises; what is signed with the token matches, and with another does not."""
    target, _, rest = data.partition(b"\n")
    signature, _, body = rest.partition(b"\n")
    url = "https://example.com" + target.decode("utf-8", "surrogateescape")
    form = parse_form(body)
    fields = [] if isinstance(form, Fault) else form
    assert is_signature_valid(TOKEN, compute_signature(TOKEN, url, fields), url, fields)
    assert not is_signature_valid(TOKEN, compute_signature(TOKEN[::-1], url, fields), url, fields)
    is_signature_valid(TOKEN, signature.decode("latin-1"), url, fields)
    is_signature_valid(TOKEN, signature.decode("latin-1"), url, json_body=body)


def main() -> None:
    """Hand `check` to the fuzzer, which reads its options from the command line."""
    atheris = import_module("atheris")
    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
