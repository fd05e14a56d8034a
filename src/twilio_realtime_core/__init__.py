"""A phone call between Twilio Media Streams and OpenAI Realtime, as a sans-IO state machine.

A `Bridge` receives every message of both peers, every command of the application, and the time. It
returns the actions to perform. Nothing in this package uses a socket, a clock or a thread.
"""

from .bridge import Bridge
from .commands import (
    AnswerApproval,
    Command,
    Configure,
    HangUp,
    Interrupt,
    Mute,
    Play,
    PressKeys,
    ResetHistory,
    SendAudio,
    SendEvent,
    SendFunctionOutput,
    SendMessage,
    Unmute,
)
from .config.call import CallConfig, SessionConfig
from .errors import Fault, FaultKind, LocalProtocolError
from .machine.actions import (
    ABNORMAL_CLOSURE,
    NO_STATUS,
    NORMAL_CLOSURE,
    Action,
    ByteAction,
    Close,
    Connect,
    Encodable,
    Notify,
    Open,
    Peer,
    Send,
    SendBytes,
    SendPing,
    Shutdown,
)
from .machine.contract import ByteMachine, MessageMachine

__all__ = [
    "ABNORMAL_CLOSURE",
    "NORMAL_CLOSURE",
    "NO_STATUS",
    "Action",
    "AnswerApproval",
    "Bridge",
    "ByteAction",
    "ByteMachine",
    "CallConfig",
    "Close",
    "Command",
    "Configure",
    "Connect",
    "Encodable",
    "Fault",
    "FaultKind",
    "HangUp",
    "Interrupt",
    "LocalProtocolError",
    "MessageMachine",
    "Mute",
    "Notify",
    "Open",
    "Peer",
    "Play",
    "PressKeys",
    "ResetHistory",
    "Send",
    "SendAudio",
    "SendBytes",
    "SendEvent",
    "SendFunctionOutput",
    "SendMessage",
    "SendPing",
    "SessionConfig",
    "Shutdown",
    "Unmute",
]
