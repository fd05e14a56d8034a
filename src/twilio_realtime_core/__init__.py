"""Phone calls between Twilio Media Streams and the OpenAI Realtime API, as a sans-IO state machine.

`Bridge` takes every message of both sides, the commands of the application and the time, and
returns the actions to carry out. Nothing here touches a socket, a clock or a thread. Notifications
are in `notifications`, Realtime events in `protocols.realtime`, conversation items in
`values.items`; the way to bytes is in `transport`.
"""

from .bridge import Bridge
from .commands import (
    AnswerApproval,
    Command,
    Configure,
    GoAway,
    HangUp,
    Interrupt,
    Mute,
    NotifyAfterPlayback,
    Play,
    PressKeys,
    ResetHistory,
    SendAudio,
    SendEvent,
    SendFunctionOutput,
    SendMessage,
    Unmute,
)
from .config.call import CallConfig
from .config.interruption_policy import InterruptionAttempt, InterruptionLimit, InterruptionPolicy
from .config.model_silence_policy import ModelSilencePolicy
from .config.reconnect_policy import ReconnectPolicy
from .config.session import SemanticVad, ServerVad, SessionConfig, SessionUpdate, Transcription
from .config.session_loss_policy import SessionLossPolicy
from .config.start_delay_history import StartDelayHistory
from .config.tools import FunctionTool, McpTool
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
    RealtimeLink,
    Refusal,
    Send,
    SendBytes,
    SendPing,
    Shutdown,
)
from .machine.contract import ByteMachine, MessageMachine
from .values.playback_position import Clip, PartKey, PlaybackPosition

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
    "Clip",
    "Close",
    "Command",
    "Configure",
    "Connect",
    "Encodable",
    "Fault",
    "FaultKind",
    "FunctionTool",
    "GoAway",
    "HangUp",
    "Interrupt",
    "InterruptionAttempt",
    "InterruptionLimit",
    "InterruptionPolicy",
    "LocalProtocolError",
    "McpTool",
    "MessageMachine",
    "ModelSilencePolicy",
    "Mute",
    "Notify",
    "NotifyAfterPlayback",
    "Open",
    "PartKey",
    "Peer",
    "Play",
    "PlaybackPosition",
    "PressKeys",
    "RealtimeLink",
    "ReconnectPolicy",
    "Refusal",
    "ResetHistory",
    "SemanticVad",
    "Send",
    "SendAudio",
    "SendBytes",
    "SendEvent",
    "SendFunctionOutput",
    "SendMessage",
    "SendPing",
    "ServerVad",
    "SessionConfig",
    "SessionLossPolicy",
    "SessionUpdate",
    "Shutdown",
    "StartDelayHistory",
    "Transcription",
    "Unmute",
]

__version__ = "0.1.0"
