"""What can go wrong with a request to Twilio's REST API, in Twilio's numbers, and what to do."""

from collections.abc import Mapping
from typing import Final

from twilio_realtime_core.errors import redact

__all__ = ["ADVICE", "TwilioApiError"]

ADVICE: Final[Mapping[int, str]] = {
    10004: "wait for other calls to end, or raise the concurrency of the account",
    20001: "a parameter is missing or has a value that Twilio does not take",
    20003: "check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or the API key and its secret",
    20005: "the account is suspended or closed: see the console",
    20006: "use the credentials of the account that owns the call",
    20008: "test credentials place no calls: use those of the account",
    20404: "the call is unknown, or is another account's; calls are kept for a limited time",
    20429: "make fewer requests at a time",
    20500: "Twilio has failed: try again later",
    20503: "Twilio is overloaded: try again later",
    21201: "give a number to call",
    21203: "enable international calls for the account",
    21205: "the URL has to be absolute, and reachable from the internet",
    21210: "the number to call from has to be one of the account's, or verified",
    21211: "the number to call is no number that can be called",
    21212: "the number to call from has to be one of the account's, in E.164",
    21213: "give a number to call from",
    21214: "the number to call cannot be reached by Twilio",
    21215: "permit calls to this country in the console: Voice, Geographic permissions",
    21216: "the account may not call this number: see the console",
    21217: "the number to call is not in E.164",
    21219: "a trial account calls verified numbers only: verify it, or upgrade",
    21220: "the call is over, or was not answered yet, so that it cannot be changed",
    21221: "a recording needs a call that is in progress",
    21626: "the events of the status callback have names that Twilio does not know",
    21628: "the number to call is not in E.164",
}
"""What to do about an error, by Twilio's number (Twilio, "Error and warning dictionary",
https://www.twilio.com/docs/api/errors, read 2026-12-01)."""

_BY_STATUS: Final = {
    401: ADVICE[20003],
    403: ADVICE[20006],
    404: ADVICE[20404],
    429: ADVICE[20429],
}


class TwilioApiError(Exception):
    """A request to Twilio's REST API has failed.

    The text says what was asked, what Twilio answered, and what to do. It holds no phone number,
    account or key.
    """

    def __init__(
        self,
        action: str,
        reason: str,
        *,
        status: int | None = None,
        code: int | None = None,
        is_uncertain: bool = False,
    ) -> None:
        self.status = status
        """The HTTP status of the answer; `None` if there was none."""
        self.code = code
        """Twilio's number of the error, or `None`."""
        self.is_uncertain = is_uncertain
        """Whether Twilio may have done what was asked all the same."""
        number = "" if code is None else f" (Twilio's error {code})"
        advice = ADVICE.get(code or 0) or _BY_STATUS.get(status or 0)
        if advice is None and is_uncertain:
            advice = "Twilio may have done it all the same: look at the call before asking again"
        text = f"{action}: {redact(reason)}{number}"
        super().__init__(text if advice is None else f"{text}: {advice}")
