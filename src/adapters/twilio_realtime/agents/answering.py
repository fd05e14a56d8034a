"""Who answers an outbound call: a person gets the greeting, voicemail gets its own words.

With machine detection, Twilio connects the call at once and reports later who answered: a person
within seconds, a machine at the end of its greeting. Until then the model hears silence, so that it
does not talk to an announcement.
"""

from collections.abc import Callable
from typing import Final

import anyio

from twilio_realtime_core.commands import HangUp

from .call import Call
from .phone_events import AnsweredBy, CallEvent, PhoneCallAnswered

__all__ = ["DETECTION_TIMEOUT_S", "greet_when_answered"]

DETECTION_TIMEOUT_S: Final = 45
"""How long a report of who answered is awaited. Twilio gives up after 30 s ("Answering machine
detection", MachineDetectionTimeout); then, and without a report, a person is assumed."""


def greet_when_answered(
    call: Call, greet: Callable[[], None], leave_message: Callable[[], None]
) -> None:
    """Call `greet` at once; or, if Twilio detects machines, once a person has answered, and
    `leave_message` instead after the greeting of a machine. A fax is hung up on."""
    if call.control is None or not call.control.detects_machines:
        greet()
        return
    is_decided = False

    def decide(answered_by: AnsweredBy) -> None:
        nonlocal is_decided
        if is_decided:
            return
        is_decided = True
        if answered_by is AnsweredBy.FAX:
            call.send(HangUp())
        elif answered_by.is_machine:
            leave_message()
        else:
            call.release_mute()
            greet()

    def watch(event: CallEvent) -> None:
        if isinstance(event, PhoneCallAnswered):
            decide(event.answered_by)

    async def give_up() -> None:
        await anyio.sleep(DETECTION_TIMEOUT_S)
        decide(AnsweredBy.UNKNOWN)

    call.hold_mute()
    call.watch(watch)
    call.start_soon(give_up)
    if call.answered is not None:  # reported before the agent started
        decide(call.answered.answered_by)
