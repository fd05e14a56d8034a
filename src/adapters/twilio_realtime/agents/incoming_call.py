"""The caller and the call: the request of Twilio's webhook for a call."""

from collections.abc import Iterable, Mapping
from typing import Final, Self

from attrs import field, frozen

__all__ = ["IncomingCall"]

_SIP_HEADER_PREFIX: Final = "SipHeader_"


@frozen
class IncomingCall:
    """The request of Twilio's webhook for a call (Twilio, "TwiML Voice: Twilio's request to your
    application", https://www.twilio.com/docs/voice/twiml#request-parameters, read 2026-11-30).

    Phone numbers and parameters are left out of its `repr`, and so of logs.
    """

    from_: str = field(default="", repr=False)
    """Who calls: a phone number as +15005550006, a SIP address, `client:NAME`, or a word such as
    "anonymous"."""
    to: str = field(default="", repr=False)
    """The number or address that is called."""
    call_sid: str = ""
    account_sid: str = field(default="", repr=False)
    direction: str = ""
    """"inbound", "outbound-api" or "outbound-dial"."""
    call_status: str = ""
    """As a rule "ringing", or "in-progress" if the call was answered before."""
    answered_by: str | None = None
    """Of an outbound call with answering machine detection: "human", "machine_start", "fax" or
    "unknown"."""
    caller_name: str | None = field(default=None, repr=False)
    """The name that the caller's number is registered for, if the look-up is on."""
    forwarded_from: str | None = field(default=None, repr=False)
    """The number that has forwarded the call, if the carrier says so."""
    sip_headers: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    """Headers of a SIP call that begin with X- , by their names."""
    parameters: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    """All parameters of the request by Twilio's names; of a repeated one the last value."""

    @classmethod
    def from_parameters(cls, fields: Iterable[tuple[str, str]]) -> Self:
        """Make one of the fields of the request's form or query."""
        parameters = dict(fields)
        return cls(
            from_=parameters.get("From", ""),
            to=parameters.get("To", ""),
            call_sid=parameters.get("CallSid", ""),
            account_sid=parameters.get("AccountSid", ""),
            direction=parameters.get("Direction", ""),
            call_status=parameters.get("CallStatus", ""),
            answered_by=parameters.get("AnsweredBy"),
            caller_name=parameters.get("CallerName"),
            forwarded_from=parameters.get("ForwardedFrom"),
            sip_headers={
                name.removeprefix(_SIP_HEADER_PREFIX): value
                for name, value in parameters.items()
                if name.startswith(_SIP_HEADER_PREFIX)
            },
            parameters=parameters,
        )
