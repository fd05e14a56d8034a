"""The bugs that are planted, one by one. Each is a mistake that somebody could make."""

from typing import Final

from .planting import Bug, Edit

__all__ = ["BUGS"]

BUGS: Final = (
    # Interruptions.
    Bug(
        "clear after truncate",
        [
            Edit(
                "speech",
                """\
        if done.clear:
            line.clear()
        for event in done.events:
            self._outbox.realtime(event)
""",
                """\
        for event in done.events:
            self._outbox.realtime(event)
        if done.clear:
            line.clear()
""",
            )
        ],
    ),
    Bug(
        "late audio of an interrupted response is played",
        [Edit("speech", "        if not response.audible:\n            return\n", "")],
    ),
    Bug(
        "a response that was interrupted before it began goes on",
        [Edit("from_realtime", "if birth is not Birth.HEARD:", "if birth is Birth.SILENCED:")],
    ),
    Bug(
        "a response is cancelled that is done",
        [
            Edit(
                "bargein",
                "and each.life.state in (ResponseState.GENERATING, ResponseState.INTERRUPTED)",
                "and not each.cancelled",
            )
        ],
    ),
    Bug(
        "truncated above what was sent",
        [
            Edit(
                "bargein",
                "each.part.content_index, whole_ms(each.estimated))\n",
                "each.part.content_index, whole_ms(each.sent) + 1)\n",
            )
        ],
    ),
    Bug(
        "an item is deleted of which something was heard",
        [
            Edit(
                "bargein",
                "if any(whole_ms(each.estimated) or _to_the_end(each) for each in parts):",
                "if any(whole_ms(each.estimated) > 500 for each in parts):",
            ),
            Edit("line", "self._responses.get(part.response_id).item_heard(part.item_id)", "pass"),
        ],
    ),
    Bug(
        "what the history does not hold is truncated",
        [
            Edit(
                "bargein",
                "    if not response.in_conversation:\n        return []\n    if any",
                "    if any",
            )
        ],
    ),
    # What was heard.
    Bug(
        "marks of a cleared generation count",
        [
            Edit(
                "playout",
                "        if serial < self._first_serial:\n            return _NOTHING\n",
                "        if serial < self._first_serial:\n"
                "            return self._confirm(self._fifo.sent)\n",
            )
        ],
    ),
    Bug(
        "marks begin at 0 again after a clear",
        [
            Edit(
                "playout",
                "        self._first_serial = self._serial\n        self._confirmed = 0\n",
                "        self._first_serial = self._serial = 0\n        self._confirmed = 0\n",
            )
        ],
    ),
    # Audio.
    Bug(
        "the carry is off by one",
        [Edit("model_audio", "self._carry = audio[whole:]", "self._carry = audio[whole + 1 :]")],
    ),
    Bug(
        "audio after mute",
        [Edit("from_twilio", "        payload = silence(samples)\n", "        pass\n")],
    ),
    Bug(
        "padding is appended and not reported",
        [Edit("from_twilio", "    call.outbox.notify(CallerAudioPadded(samples, cause))\n", "")],
    ),
    Bug(
        "a gap is padded twice",
        [Edit("caller_audio", "        self._filled = True\n        self._expected = None\n", "")],
    ),
    Bug(
        "early audio leaves in the wrong order",
        [
            Edit(
                "early",
                "return [event for event, _ in waiting]",
                "return [event for event, _ in sorted(waiting, key=lambda each: each[1])]",
            )
        ],
    ),
    Bug(
        "audio for a session that is not configured",
        [
            Edit(
                "session",
                '`samples`: the audio in it."""\n',
                '`samples`: the audio in it."""\n'
                "        if self.state is SessionState.CONFIGURING:\n"
                "            self._outbox.realtime(event)\n"
                "            return\n",
            )
        ],
    ),
    Bug(
        "hold sound is not cleared",
        [
            Edit(
                "own_audio",
                "        self._end_holding(now)\n        if self._waiting is not None and response",
                "        if self._waiting is not None and response",
            )
        ],
    ),
    Bug(
        "hold sound begins while the agent speaks",
        [Edit("own_audio", "if hold is None or playout.playing(now):", "if hold is None:")],
    ),
    Bug(
        "own audio clears what the agent says",
        [
            Edit(
                "own_audio",
                "        self._end_holding(now)\n        self._play(audio, name, now)\n",
                "        self._line.clear()\n        self._play(audio, name, now)\n",
            )
        ],
    ),
    # Requests and functions.
    Bug(
        "a request that waits for its turn is lost",
        [
            Edit(
                "requests",
                "                self._waiting.append(each)\n                continue\n",
                "                continue\n",
            )
        ],
    ),
    Bug(
        "a request that met another response is lost",
        [
            Edit(
                "requests",
                "        if again:\n            self._queue_again(request)\n",
                "",
            )
        ],
    ),
    Bug(
        "two requests at a time",
        [
            Edit(
                "requests",
                "elif self._slot.step(SlotInput.ASK):",
                "elif self._slot.step(SlotInput.ASK) or True:",
            )
        ],
    ),
    Bug(
        "a response outside the conversation takes its place",
        [Edit("requests", "if response.conversation_id is None and self._beside:", "if False:")],
    ),
    Bug(
        "unanswered requests are not counted",
        [Edit("requests", " + (self._asked is not None) + len(self._beside)", "")],
    ),
    Bug(
        "a function is called that is not complete",
        [Edit("function_calls", 'and item.status == "completed"', "")],
    ),
    Bug(
        "an output is given twice",
        [
            Edit(
                "from_application",
                "        call.session.send(_output_item(each))\n",
                "        call.session.send(_output_item(each))\n"
                "        call.session.send(_output_item(each))\n",
            )
        ],
    ),
    Bug(
        "a call is answered twice",
        [Edit("function_calls", "        if call.answered:\n", "        if False:\n")],
    ),
    Bug(
        "the model goes on before all functions have answered",
        [
            Edit(
                "function_calls",
                "not all(each.given for each in together)",
                "not any(each.given for each in together)",
            )
        ],
    ),
    # The session, and the end.
    Bug(
        "the format is not pinned in an update",
        [
            Edit(
                "pinning",
                "            return UpdateSession(pin_session(event.session), event.event_id)\n",
                "            return event\n",
            ),
            Edit(
                "session",
                "self._owned(pin_session(event.session), first=False)",
                "self._owned(event.session, first=False)",
            ),
        ],
    ),
    Bug(
        "the server's other format is taken",
        [
            Edit(
                "from_realtime",
                "    if wrong is None:\n        call.timers.stop(Timer.SESSION)",
                "    if wrong is None or call.session.in_effect:\n"
                "        call.timers.stop(Timer.SESSION)",
            )
        ],
    ),
    Bug(
        "a timer is never due",
        [Edit("timers", "now + 1) <= now]", "now + 1) < now]")],
    ),
    Bug(
        "a timer is never set: the ending",
        [
            Edit(
                "parts",
                "            self.timers.set(Timer.ENDING, now + self.config.ending_timeout_ns)\n",
                "",
            )
        ],
    ),
    Bug(
        "a timer is never set: the session",
        [
            Edit(
                "parts",
                "        self.timers.set(Timer.SESSION, now + self.config.session_timeout_ns)\n",
                "",
            )
        ],
    ),
    Bug(
        "a timer never fires: the configuration",
        [
            Edit(
                "bridge",
                "            case Timer.CONFIGURATION:\n                call.open_session(now)\n",
                "            case Timer.CONFIGURATION:\n                pass\n",
            )
        ],
    ),
    Bug(
        "a timer never fires: the start",
        [
            Edit(
                "bridge",
                'call.time_out(EndReason.STREAM_NOT_STARTED, Peer.TWILIO, "no start came", now)',
                "pass",
            )
        ],
    ),
    Bug(
        "a timer is never set: the caller's silence",
        [
            Edit(
                "from_realtime",
                "        call.timers.set(Timer.INACTIVITY, call.caller.deadline)\n",
                "        pass\n",
            )
        ],
    ),
    Bug(
        "a timer never fires: the caller's silence",
        [Edit("bridge", "from_twilio.pad_inactivity(call, now)", "pass")],
    ),
    Bug(
        "the call ends before both legs are closed, and again",
        [Edit("parts", "if self.end is not None and self.ended:", "if self.end is not None:")],
    ),
    Bug(
        "one leg goes on",
        [Edit("parts", "            self.session.close()\n", "")],
    ),
    Bug(
        "an output that is to wait is given at once",
        [
            Edit(
                "from_application",
                "    if command.once_heard:\n        call.once_heard.outputs",
                "    if False:\n        call.once_heard.outputs",
            )
        ],
    ),
    Bug(
        "a deadline is left behind",
        [
            Edit(
                "parts",
                "            self.timers.stop_all()\n            self.outbox.notify(\n",
                "            self.outbox.notify(\n",
            )
        ],
    ),
    Bug(
        "hung up before all was heard",
        [
            Edit(
                "from_application",
                "if silent_at is not None and silent_at > now and",
                "if False and",
            )
        ],
    ),
)
"""What each is called, and how it is made."""
