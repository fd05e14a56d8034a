"""How far the bridge is in replacing a session: attempts, time limits, and when one expires."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import define, field

from ..machine.units import MS, SECOND
from ..notifications import EndReason

__all__ = ["FORCED_NS", "SESSION_NS", "RecoveryProgress"]

SESSION_NS: Final = 3600 * SECOND
"""How long a session lasts (OpenAI developer guide, "Realtime conversations",
https://platform.openai.com/docs/guides/realtime-conversations, read 2026-09-30)."""

FORCED_NS: Final = 15 * SECOND
"""How long before a session expires the next one takes over though somebody speaks."""


@define(eq=False)
class RecoveryProgress:
    """The state of the attempts to have a session. `attempts` counts those in a row that failed."""

    attempts: int = field(init=False, default=0)
    timeout_ns: int = field(init=False, default=0)
    give_up_at_ns: int = field(init=False, default=0)
    is_restoring: bool = field(init=False, default=False)
    """Whether a session was lost, so that the next one gets the conversation."""
    had_session: bool = field(init=False, default=False)
    """Whether any session was ready."""
    has_given_up: bool = field(init=False, default=False)
    """Whether no session will be had any more."""
    error_code: str | None = field(init=False, default=None)
    """The code of the last error of this session, which may say why it is closed."""
    cause: EndReason = field(init=False, default=EndReason.REALTIME_LOST)
    """Why no session will be had."""
    detail: str = field(init=False, default="")
    renamed_count: int = field(init=False, default=0)
    """How many items got another id in a later session."""
    said_again: set[str] = field(init=False, factory=set[str])
    """The caller's items whose audio the next session gets again, so that it makes new ones."""
    next_session: Mapping[str, Any] = field(init=False, factory=dict[str, Any])
    """The configuration of the session that is to replace this one."""
    expires_at_ns: int = field(init=False, default=0)
    """When the session expires."""
    unix_ns: int | None = field(init=False, default=None)
    """The wall clock at `now` = 0 (ns since 1970); `None`: unknown."""

    def begin(self, now: int, timeout_ms: int) -> None:
        """Start to try to have a session."""
        self.attempts = 0
        self.timeout_ns = timeout_ms * MS
        self.give_up_at_ns = now + self.timeout_ns

    def session_ready(self, session: Mapping[str, Any], now: int) -> None:
        """Note that a session is ready, and when it expires: as it says, if that can be, and is
        not past; else an hour from now."""
        self.attempts = 0
        self.had_session = True
        self.error_code = None
        self.expires_at_ns = now + SESSION_NS
        expires_at_s = session.get("expires_at")
        if self.unix_ns is not None and type(expires_at_s) is int:
            expires_at_ns = expires_at_s * SECOND - self.unix_ns
            if now < expires_at_ns < now + SESSION_NS:
                self.expires_at_ns = expires_at_ns
