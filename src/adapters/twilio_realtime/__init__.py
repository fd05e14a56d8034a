"""Phone calls between Twilio and OpenAI Realtime: agents, their server, and the drivers.

    from twilio_realtime import Call, HangUp, KeyPressed, Service, ServiceConfig, call_acceptor
    from twilio_realtime.trio import Driver, listen

The names here are what a first agent needs. Each is imported from its module on first use, so that
importing the package loads no event loop. The rest is in the modules of this package, and in
`twilio_realtime_core`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from twilio_realtime_core.commands import (
        HangUp,
        Interrupt,
        Mute,
        Play,
        PressKeys,
        SendFunctionOutput,
        SendMessage,
        Unmute,
    )
    from twilio_realtime_core.config.call import CallConfig
    from twilio_realtime_core.config.session import SessionConfig
    from twilio_realtime_core.errors import Fault
    from twilio_realtime_core.notifications import (
        AgentTranscript,
        CallEnded,
        CallerSpeechStarted,
        CallerTranscript,
        CallStarted,
        EndReason,
        FunctionCallRequested,
        Interrupted,
        KeyPressed,
        Notification,
        PlaybackFinished,
        ResponseFinished,
        ResponseStarted,
        SessionReady,
    )

    from .agents.call import Call, CallHandler
    from .agents.call_acceptor import call_acceptor
    from .agents.failures import ApplicationError
    from .agents.functions import Functions
    from .agents.handlers import Handlers
    from .errors import UsageError
    from .server.service import Service, ServiceConfig

__all__ = [
    "AgentTranscript",
    "ApplicationError",
    "Call",
    "CallConfig",
    "CallEnded",
    "CallHandler",
    "CallStarted",
    "CallerSpeechStarted",
    "CallerTranscript",
    "EndReason",
    "Fault",
    "FunctionCallRequested",
    "Functions",
    "Handlers",
    "HangUp",
    "Interrupt",
    "Interrupted",
    "KeyPressed",
    "Mute",
    "Notification",
    "Play",
    "PlaybackFinished",
    "PressKeys",
    "ResponseFinished",
    "ResponseStarted",
    "SendFunctionOutput",
    "SendMessage",
    "Service",
    "ServiceConfig",
    "SessionConfig",
    "SessionReady",
    "Unmute",
    "UsageError",
    "call_acceptor",
]

_NAMES: Final = {
    "twilio_realtime.agents.call": ("Call", "CallHandler"),
    "twilio_realtime.agents.call_acceptor": ("call_acceptor",),
    "twilio_realtime.agents.failures": ("ApplicationError",),
    "twilio_realtime.agents.functions": ("Functions",),
    "twilio_realtime.agents.handlers": ("Handlers",),
    "twilio_realtime.errors": ("UsageError",),
    "twilio_realtime.server.service": ("Service", "ServiceConfig"),
    "twilio_realtime_core.commands": (
        "HangUp",
        "Interrupt",
        "Mute",
        "Play",
        "PressKeys",
        "SendFunctionOutput",
        "SendMessage",
        "Unmute",
    ),
    "twilio_realtime_core.config.call": ("CallConfig",),
    "twilio_realtime_core.config.session": ("SessionConfig",),
    "twilio_realtime_core.errors": ("Fault",),
    "twilio_realtime_core.notifications": (
        "AgentTranscript",
        "CallEnded",
        "CallStarted",
        "CallerSpeechStarted",
        "CallerTranscript",
        "EndReason",
        "FunctionCallRequested",
        "Interrupted",
        "KeyPressed",
        "Notification",
        "PlaybackFinished",
        "ResponseFinished",
        "ResponseStarted",
        "SessionReady",
    ),
}
"""The public names, by the module that defines them."""

_MODULES: Final = {name: module for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # a type checker sees the imports above instead, and reports unknown names

    def __getattr__(name: str) -> object:
        """Import a public name on its first use (PEP 562)."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_MODULES[name]), name)
        return value

    def __dir__() -> list[str]:
        """Return the public names, imported or not, and the submodules imported so far."""
        return sorted({*globals(), *__all__})
