"""Calls to measure: messages of both peers; bridges and stacks in the middle of a call."""

import base64
import json
import os

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection

from twilio_realtime_core import Bridge, Peer, SendBytes
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.protocols.realtime import MAX_MESSAGE_BYTES as MAX_REALTIME_BYTES
from twilio_realtime_core.protocols.twilio import MAX_MESSAGE_BYTES as MAX_TWILIO_BYTES
from twilio_realtime_core.transport.frames import TEXT, encode_frame
from twilio_realtime_core.transport.http import HttpRequest
from twilio_realtime_core.transport.stack import Stack
from twilio_realtime_core.transport.websocket import LinkConfig

STREAM = "MZ00000000000000000000000000000000"
FRAME_BYTES = 160
DELTA_BYTES = 4000
DELTA_NS = 500 * MS
_DELTA = base64.b64encode(os.urandom(DELTA_BYTES)).decode()


def start_message() -> str:
    """Return Twilio's `start`."""
    media_format = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    start = {"callSid": "CA" + "0" * 32, "mediaFormat": media_format, "customParameters": {}}
    return json.dumps({"event": "start", "streamSid": STREAM, "start": start})


def caller_frame() -> str:
    """Return 20 ms of caller audio, as Twilio sends it."""
    payload = base64.b64encode(os.urandom(FRAME_BYTES)).decode()
    media = {"track": "inbound", "chunk": "2", "timestamp": "155", "payload": payload}
    body = {"event": "media", "sequenceNumber": "3", "streamSid": STREAM, "media": media}
    return json.dumps(body, separators=(",", ":"))


def session_updated() -> str:
    """Return the server's answer to the configuration."""
    pcmu = {"type": "audio/pcmu"}
    audio = {"input": {"format": pcmu, "turn_detection": {}}, "output": {"format": pcmu}}
    return json.dumps({"type": "session.updated", "session": {"audio": audio}})


def mark_echo(name: str) -> str:
    """Return the echo of a mark."""
    return (
        f'{{"event":"mark","sequenceNumber":"4","streamSid":"{STREAM}","mark":{{"name":"{name}"}}}}'
    )


def audio_delta(number: int, reply: int) -> str:
    """Return half a second of a reply, as the model's server sends it."""
    body = {
        "type": "response.output_audio.delta",
        "event_id": f"event_{number:021}",
        "response_id": f"resp_{reply:021}",
        "item_id": f"item_{reply:021}",
        "output_index": 0,
        "content_index": 0,
        "delta": _DELTA,
    }
    return json.dumps(body, separators=(",", ":"))


def audio_done(reply: int) -> str:
    """Return the event after the last audio of a reply."""
    body = {
        "type": "response.output_audio.done",
        "response_id": f"resp_{reply:021}",
        "item_id": f"item_{reply:021}",
        "output_index": 0,
        "content_index": 0,
    }
    return json.dumps(body, separators=(",", ":"))


def response_done(reply: int) -> str:
    """Return the last event of a reply."""
    response = {"id": f"resp_{reply:021}", "status": "completed"}
    return json.dumps({"type": "response.done", "response": response}, separators=(",", ":"))


def ready_bridge() -> Bridge:
    """Return a bridge in the middle of a call."""
    bridge = Bridge()
    bridge.start(0)
    bridge.opened(Peer.TWILIO, 0)
    bridge.receive_text(Peer.TWILIO, start_message(), 0)
    bridge.opened(Peer.REALTIME, 0)
    bridge.receive_text(Peer.REALTIME, session_updated(), 0)
    return bridge


def ready_stack() -> Stack:
    """Return the same at byte level, with both handshakes done."""
    key = base64.b64encode(os.urandom(16)).decode()
    upgrade = (
        ("host", "agent.example"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", key),
        ("sec-websocket-version", "13"),
    )
    stack = Stack(
        Bridge(),
        {
            Peer.TWILIO: LinkConfig(max_message_bytes=MAX_TWILIO_BYTES),
            Peer.REALTIME: LinkConfig(max_message_bytes=MAX_REALTIME_BYTES),
        },
        os.urandom,
        accepted_requests={Peer.TWILIO: HttpRequest("GET", "/media-stream", upgrade)},
    )
    stack.start(0)
    start = encode_frame(TEXT, start_message().encode(), os.urandom(4))
    stack.receive_bytes(Peer.TWILIO, start, 0)
    model = WSConnection(ConnectionType.SERVER)
    for action in stack.connected(Peer.REALTIME, 0):
        if isinstance(action, SendBytes):
            model.receive_data(action.data)
    stack.receive_bytes(Peer.REALTIME, model.send(AcceptConnection()), 0)
    configured = encode_frame(TEXT, session_updated().encode(), None)
    stack.receive_bytes(Peer.REALTIME, configured, 0)
    return stack
