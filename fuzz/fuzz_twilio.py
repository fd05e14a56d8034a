"""What Twilio, or anybody who found the address, can send as a Media Streams message."""

import json
import sys
from importlib import import_module

from twilio_realtime_core.audio.pcmu import count_samples
from twilio_realtime_core.errors import Fault
from twilio_realtime_core.protocols import twilio

LONGEST_FAULT = 200
"""Characters of a message; none that says what is wrong and where comes near."""


def check(data: bytes) -> None:
    """Nothing raises; faults hold nothing of the message; what is read can be sent back."""
    message = twilio.decode(data.decode("utf-8", "surrogateescape"))
    match message:
        case Fault():
            assert message.message.isascii()
            assert len(message.message) < LONGEST_FAULT
        case twilio.MediaEvent(stream_sid, audio):
            assert audio.timestamp_ms is None or audio.timestamp_ms >= 0
            if count_samples(audio.payload) is not None:
                media = json.loads(twilio.Media(stream_sid, audio.payload).encode())
                assert media["media"] == {"payload": audio.payload}
        case twilio.MarkEvent(stream_sid, name):
            mark = json.loads(twilio.Mark(stream_sid, name).encode())
            assert mark["mark"] == {"name": name}
        case (
            twilio.StartEvent(stream_sid)
            | twilio.StopEvent(stream_sid)
            | twilio.DtmfEvent(stream_sid)
        ):
            clear = json.loads(twilio.Clear(stream_sid).encode())
            assert clear == {"event": "clear", "streamSid": stream_sid}
        case _:
            pass


def main() -> None:
    """Hand `check` to the fuzzer, which reads its options from the command line."""
    atheris = import_module("atheris")
    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
