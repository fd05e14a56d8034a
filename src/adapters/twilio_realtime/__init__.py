"""Phone calls between Twilio and OpenAI Realtime: agents, their server, and the drivers.

    from twilio_realtime import Agent, serve
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
    from twilio_realtime_core.config.session import SessionConfig, SessionUpdate
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

    from .agents.agent import Agent
    from .agents.call import Call, CallHandler, ConnectionStatus
    from .agents.call_acceptor import call_acceptor
    from .agents.decisions import Accept, Decision, Redirect, Reject, StreamEnd
    from .agents.failures import ApplicationError
    from .agents.functions import FunctionError, FunctionResult, Functions
    from .agents.handlers import Handlers
    from .agents.hooks import FunctionAgent
    from .agents.incoming_call import IncomingCall
    from .agents.phone_events import (
        AnsweredBy,
        CallEvent,
        PhoneCallAnswered,
        PhoneCallState,
        PhoneCallStatus,
        TwilioRecordingStatus,
    )
    from .errors import UsageError
    from .server.placing import place_call
    from .server.service import Service
    from .server.service_config import ServiceConfig
    from .server.serving import serve, serving

__all__ = [
    "Accept",
    "Agent",
    "AgentTranscript",
    "AnsweredBy",
    "ApplicationError",
    "Call",
    "CallConfig",
    "CallEnded",
    "CallEvent",
    "CallHandler",
    "CallStarted",
    "CallerSpeechStarted",
    "CallerTranscript",
    "ConnectionStatus",
    "Decision",
    "EndReason",
    "Fault",
    "FunctionAgent",
    "FunctionCallRequested",
    "FunctionError",
    "FunctionResult",
    "Functions",
    "Handlers",
    "HangUp",
    "IncomingCall",
    "Interrupt",
    "Interrupted",
    "KeyPressed",
    "Mute",
    "Notification",
    "PhoneCallAnswered",
    "PhoneCallState",
    "PhoneCallStatus",
    "Play",
    "PlaybackFinished",
    "PressKeys",
    "Redirect",
    "Reject",
    "ResponseFinished",
    "ResponseStarted",
    "SendFunctionOutput",
    "SendMessage",
    "Service",
    "ServiceConfig",
    "SessionConfig",
    "SessionReady",
    "SessionUpdate",
    "StreamEnd",
    "TwilioRecordingStatus",
    "Unmute",
    "UsageError",
    "call_acceptor",
    "place_call",
    "serve",
    "serving",
]

__version__ = "0.1.0"

_NAMES: Final = {
    "twilio_realtime.agents.agent": ("Agent",),
    "twilio_realtime.agents.call": ("Call", "CallHandler", "ConnectionStatus"),
    "twilio_realtime.agents.call_acceptor": ("call_acceptor",),
    "twilio_realtime.agents.decisions": ("Accept", "Decision", "Redirect", "Reject", "StreamEnd"),
    "twilio_realtime.agents.failures": ("ApplicationError",),
    "twilio_realtime.agents.functions": ("FunctionError", "FunctionResult", "Functions"),
    "twilio_realtime.agents.handlers": ("Handlers",),
    "twilio_realtime.agents.hooks": ("FunctionAgent",),
    "twilio_realtime.agents.incoming_call": ("IncomingCall",),
    "twilio_realtime.agents.phone_events": (
        "AnsweredBy",
        "CallEvent",
        "PhoneCallAnswered",
        "PhoneCallState",
        "PhoneCallStatus",
        "TwilioRecordingStatus",
    ),
    "twilio_realtime.errors": ("UsageError",),
    "twilio_realtime.server.service": ("Service",),
    "twilio_realtime.server.service_config": ("ServiceConfig",),
    "twilio_realtime.server.placing": ("place_call",),
    "twilio_realtime.server.serving": ("serve", "serving"),
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
    "twilio_realtime_core.config.session": ("SessionConfig", "SessionUpdate"),
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
