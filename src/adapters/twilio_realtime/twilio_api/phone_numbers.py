"""Phone numbers as Twilio takes them: E.164 (ITU-T), a plus, the country code and the number."""

import re
from typing import Final

from twilio_realtime_core import LocalProtocolError

__all__ = ["check_phone_address", "check_phone_number"]

_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
"""At most 15 digits (ITU-T E.164, section 6); the shortest numbers in use have seven."""

_ADDRESS: Final = re.compile(r"(?:sip|client):[A-Za-z0-9!#$%&'*+./:;=?@\[\]_~-]{1,200}")
"""A SIP address, or the name of a client of Twilio's (Twilio, "TwiML Voice: <Dial>",
https://www.twilio.com/docs/voice/twiml/dial, read 2026-12-01), without spaces and quotes."""


def check_phone_number(number: str, name: str = "the phone number") -> str:
    """Return `number` if it is one in E.164.

    Raises `LocalProtocolError` otherwise. Its text names `name`, and leaves the number out, since
    errors are logged.
    """
    if not _E164.fullmatch(number):
        raise LocalProtocolError(
            f"{name} is not in E.164: write a plus, the country code and the number, with 7 to 15 "
            "digits and nothing else, as in +15005550006"
        )
    return number


def check_phone_address(address: str, name: str = "the number") -> str:
    """Return `address` if it is a number in E.164, `sip:NAME@HOST` or `client:NAME`.

    Raises `LocalProtocolError` otherwise.
    """
    if _ADDRESS.fullmatch(address):
        return address
    return check_phone_number(address, name)
