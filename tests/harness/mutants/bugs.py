"""The bugs that are planted, one by one. Each is a mistake that somebody could make."""

from typing import Final

from .planting import Bug, Edit

__all__ = ["BUGS"]

BUGS: Final = (
    # InterruptionGate.
    Bug(
        "clear after truncate",
        [
            Edit(
                "downlink/agent_speech",
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
        [
            Edit(
                "downlink/agent_speech",
                "        if not response.audible:\n            return\n",
                "",
            )
        ],
    ),
    Bug(
        "a response that was interrupted before it began goes on",
        [
            Edit(
                "call/on_realtime",
                "if birth is not PlaybackDecision.HEARD:",
                "if birth is PlaybackDecision.SILENCED:",
            )
        ],
    ),
    Bug(
        "a response is cancelled that is done",
        [
            Edit(
                "turns/interruption",
                "and each.life.state in (ResponseState.GENERATING, ResponseState.INTERRUPTED)",
                "and not each.cancelled",
            )
        ],
    ),
    Bug(
        "truncated above what was sent",
        [
            Edit(
                "turns/interruption",
                "each.part.content_index, samples_to_ms(each.estimated))\n",
                "each.part.content_index, samples_to_ms(each.sent) + 1)\n",
            )
        ],
    ),
    Bug(
        "an item is deleted of which something was heard",
        [
            Edit(
                "turns/interruption",
                "if any(samples_to_ms(each.estimated) or _is_heard_completely(each) for each in parts):",
                "if any(samples_to_ms(each.estimated) > 500 for each in parts):",
            ),
            Edit(
                "downlink/downlink",
                "self._responses.get(part.response_id).item_heard(part.item_id)",
                "pass",
            ),
        ],
    ),
    Bug(
        "what the history does not hold is truncated",
        [
            Edit(
                "turns/interruption",
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
                "downlink/playout",
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
                "downlink/playout",
                "        self._first_serial = self._serial\n        self._confirmed = 0\n",
                "        self._first_serial = self._serial = 0\n        self._confirmed = 0\n",
            )
        ],
    ),
    # Audio.
    Bug(
        "the carry is off by one",
        [
            Edit(
                "downlink/framing",
                "self._carry = audio[whole:]",
                "self._carry = audio[whole + 1 :]",
            )
        ],
    ),
    Bug(
        "audio after mute",
        [Edit("call/on_twilio", "        payload = silence_payload(samples)\n", "        pass\n")],
    ),
    Bug(
        "padding is appended and not reported",
        [Edit("call/on_twilio", "    call.outbox.notify(CallerAudioPadded(samples, cause))\n", "")],
    ),
    Bug(
        "a gap is padded twice",
        [
            Edit(
                "uplink/caller_audio",
                "        self._filled = True\n        self._expected = None\n",
                "",
            )
        ],
    ),
    Bug(
        "early audio leaves in the wrong order",
        [
            Edit(
                "session/pending_events",
                "return [event for event, _ in waiting]",
                "return [event for event, _ in sorted(waiting, key=lambda each: each[1])]",
            )
        ],
    ),
    Bug(
        "audio for a session that is not configured",
        [
            Edit(
                "session/session",
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
                "downlink/clips",
                "        self._end_holding(now)\n        if self._waiting is not None and response",
                "        if self._waiting is not None and response",
            )
        ],
    ),
    Bug(
        "hold sound begins while the agent speaks",
        [Edit("downlink/clips", "if hold is None or playout.playing(now):", "if hold is None:")],
    ),
    Bug(
        "own audio clears what the agent says",
        [
            Edit(
                "downlink/clips",
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
                "responses/requests",
                "                self._waiting.append(each)\n                continue\n",
                "                continue\n",
            )
        ],
    ),
    Bug(
        "a request that met another response is lost",
        [
            Edit(
                "responses/requests",
                "        if again:\n            self._queue_again(request)\n",
                "",
            )
        ],
    ),
    Bug(
        "two requests at a time",
        [
            Edit(
                "responses/requests",
                "elif self._slot.step(ActiveResponseInput.ASK):",
                "elif self._slot.step(ActiveResponseInput.ASK) or True:",
            )
        ],
    ),
    Bug(
        "a response outside the conversation takes its place",
        [
            Edit(
                "responses/requests",
                "if response.conversation_id is None and self._beside:",
                "if False:",
            )
        ],
    ),
    Bug(
        "unanswered requests are not counted",
        [Edit("responses/requests", " + (self._asked is not None) + len(self._beside)", "")],
    ),
    Bug(
        "a function is called that is not complete",
        [Edit("responses/function_calls", 'and item.status == "completed"', "")],
    ),
    Bug(
        "an output is given twice",
        [
            Edit(
                "call/on_command",
                "        call.session.send(_output_item(each))\n",
                "        call.session.send(_output_item(each))\n"
                "        call.session.send(_output_item(each))\n",
            )
        ],
    ),
    Bug(
        "a call is answered twice",
        [Edit("responses/function_calls", "        if call.answered:\n", "        if False:\n")],
    ),
    Bug(
        "the model goes on before all functions have answered",
        [
            Edit(
                "responses/function_calls",
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
                "config/audio_format",
                "            return UpdateSession(pin_session(event.session), event.event_id)\n",
                "            return event\n",
            ),
            Edit(
                "session/session",
                "self._owned(pin_session(event.session), first=False)",
                "self._owned(event.session, first=False)",
            ),
        ],
    ),
    Bug(
        "the server's other format is taken",
        [
            Edit(
                "call/on_realtime",
                "    if wrong is None:\n        call.timers.stop(Timer.SESSION)",
                "    if wrong is None or call.session.in_effect:\n"
                "        call.timers.stop(Timer.SESSION)",
            )
        ],
    ),
    Bug(
        "a timer is never due",
        [Edit("machine/timers", "now + 1) <= now]", "now + 1) < now]")],
    ),
    Bug(
        "a timer is never set: the ending",
        [
            Edit(
                "call/state",
                "            self.timers.set(Timer.ENDING, now + self.config.ending_timeout_ns)\n",
                "",
            )
        ],
    ),
    Bug(
        "a timer is never set: the session",
        [
            Edit(
                "call/state",
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
        "a timer is never set: the caller's silence_payload",
        [
            Edit(
                "call/on_realtime",
                "        call.timers.set(Timer.INACTIVITY, call.caller.deadline)\n",
                "        pass\n",
            )
        ],
    ),
    Bug(
        "a timer never fires: the caller's silence_payload",
        [Edit("bridge", "from_twilio.pad_inactivity(call, now)", "pass")],
    ),
    Bug(
        "the call ends before both legs are closed, and again",
        [Edit("call/state", "if self.end is not None and self.ended:", "if self.end is not None:")],
    ),
    Bug(
        "one leg goes on",
        [Edit("call/state", "            self.session.close()\n", "")],
    ),
    Bug(
        "an output that is to wait is given at once",
        [
            Edit(
                "call/on_command",
                "    if command.once_heard:\n        call.once_heard.outputs",
                "    if False:\n        call.once_heard.outputs",
            )
        ],
    ),
    Bug(
        "a deadline is left behind",
        [
            Edit(
                "call/state",
                "            self.timers.stop_all()\n            self.outbox.notify(\n",
                "            self.outbox.notify(\n",
            )
        ],
    ),
    Bug(
        "hung up before all was heard",
        [
            Edit(
                "call/on_command",
                "if silent_at is not None and silent_at > now and",
                "if False and",
            )
        ],
    ),
    # Too little.
    Bug(
        "an interruption tells the model nothing of what was heard",
        [
            Edit(
                "turns/interruption",
                "for event in _corrections_of(responses.get(response_id), item_id, list(parts))",
                "for event in ()",
            )
        ],
    ),
    Bug(
        "an item that was cut unheard is not deleted",
        [
            Edit(
                "turns/interruption",
                "return [DeleteItem(item_id)] if item_id in response.done_items else []",
                "return []",
            )
        ],
    ),
    Bug(
        "an item of an interrupted response that ends unheard stays",
        [
            Edit(
                "downlink/agent_speech",
                "if first and not response.audible and not stays:",
                "if False:",
            )
        ],
    ),
    Bug(
        "an interruption cancels nothing",
        [Edit("turns/interruption", "[cancel_event(each.id) for each in to_cancel]", "[]")],
    ),
    Bug(
        "a response that nobody hears any more is never cancelled",
        [Edit("turns/interruption", "for each in (*stopped, *going_on)", "for each in stopped")],
    ),
    Bug(
        "an interruption does not stop the sound",
        [Edit("downlink/agent_speech", "        if done.clear:\n            line.clear()\n", "")],
    ),
    Bug(
        "a caller's speech never interrupts",
        [Edit("call/on_realtime", "    call.interruptions.ripen()\n", "    return\n")],
    ),
    Bug(
        "a timer is never set: the barge-in",
        [
            Edit(
                "call/on_realtime",
                "        call.timers.set(Timer.BARGE_IN, due)\n",
                "        pass\n",
            )
        ],
    ),
    Bug(
        "a caller is blocked who has heard as much as he has to",
        [Edit("turns/interruption_gate", "if heard_ms < policy", "if heard_ms <= policy")],
    ),
    Bug(
        "interruptions of long ago count for the limit",
        [Edit("turns/interruption_gate", "while self._recent and", "while False and")],
    ),
    Bug(
        "first words are protected for ever",
        [
            Edit(
                "turns/interruption_gate",
                "            self._first_heard = True\n",
                "            self._first_heard = False\n",
            )
        ],
    ),
    Bug(
        "the rest of a part is never played",
        [
            Edit(
                "downlink/agent_speech",
                "        self._line.play_rest(self._audio.end(part), now)\n",
                "",
            )
        ],
    ),
    Bug(
        "the end of a part has no mark",
        [
            Edit(
                "downlink/downlink",
                "        if self.playout.tail_due():\n            self._mark(now)\n",
                "",
            )
        ],
    ),
    Bug(
        "nobody is told that a part begins to be heard",
        [
            Edit(
                "downlink/downlink",
                "                self._outbox.notify(\n                    PlaybackStarted(",
                "                (\n                    PlaybackStarted(",
            )
        ],
    ),
    Bug(
        "nobody is told that a part was heard to the end",
        [
            Edit(
                "downlink/downlink",
                "                self._outbox.notify(\n                    PlaybackFinished(",
                "                (\n                    PlaybackFinished(",
            )
        ],
    ),
    Bug(
        "a call that was to be hung up goes on",
        [
            Edit(
                "call/on_command",
                '        call.end_call(EndReason.HUNG_UP, "all was heard", now)\n',
                "        pass\n",
            )
        ],
    ),
    Bug(
        "hold sound never begins behind what plays",
        [
            Edit(
                "downlink/clips",
                "if all(each.complete for each in playout.heard(now)):",
                "if False:",
            )
        ],
    ),
    Bug(
        "nobody is told that own audio was heard to the end",
        [
            Edit(
                "downlink/downlink",
                "                self._own_finished(part, whole, whole)\n",
                "                self._own.pop(part)\n",
            )
        ],
    ),
    Bug(
        "a refused configuration does not end the call",
        [
            Edit(
                "call/on_realtime",
                "        call.end_call(EndReason.SESSION_REFUSED, what, now)\n",
                "",
            )
        ],
    ),
    Bug(
        "early audio is dropped after a second of it",
        [
            Edit(
                "session/pending_events",
                "MAX_PENDING_SAMPLES: Final = 10 * 8000",
                "MAX_PENDING_SAMPLES: Final = 8000",
            )
        ],
    ),
    Bug(
        "bad audio of the caller is left out and not reported",
        [
            Edit(
                "call/on_twilio",
                "        call.outbox.fault(Peer.TWILIO, FaultKind.BAD_AUDIO, "
                '"media: payload is no base64, or empty")\n',
                "",
            )
        ],
    ),
    Bug(
        "the ping of Twilio goes to the model's server",
        [
            Edit(
                "downlink/downlink",
                "SendPing(Peer.TWILIO, payload)",
                "SendPing(Peer.REALTIME, payload)",
            )
        ],
    ),
    # The truth.
    Bug(
        "truncated at all that was sent",
        [
            Edit(
                "turns/interruption",
                "each.part.content_index, samples_to_ms(each.estimated))\n",
                "each.part.content_index, samples_to_ms(each.sent))\n",
            )
        ],
    ),
    Bug(
        "truncated a little too late",
        [
            Edit(
                "turns/interruption",
                "each.part.content_index, samples_to_ms(each.estimated))\n",
                "each.part.content_index, samples_to_ms(min(each.sent, each.estimated + 40)))\n",
            )
        ],
    ),
    Bug(
        "an item of which nothing was heard is truncated",
        [
            Edit(
                "turns/interruption",
                "if any(samples_to_ms(each.estimated) or _is_heard_completely(each) for each in parts):",
                "if parts:",
            )
        ],
    ),
    Bug(
        "a round trip is taken for a late start",
        [Edit("downlink/playout", " - self.round_trip.at_most(bound)\n", " - 0 * bound\n")],
    ),
    Bug(
        "how late the player starts is not learned",
        [
            Edit(
                "downlink/playout",
                "                self._fifo.set_lag(burst, lag)\n",
                "                pass\n",
            )
        ],
    ),
    Bug(
        "media that is not as Twilio reads it",
        [
            Edit(
                "protocols/twilio", '{{"payload":"{self.payload}"}}', '{{"audio":"{self.payload}"}}'
            )
        ],
    ),
    Bug(
        "media that holds nothing",
        [Edit("protocols/twilio", '{{"payload":"{self.payload}"}}', '{{"payload":""}}')],
    ),
    Bug(
        "media that holds other audio",
        [Edit("protocols/twilio", "{self.payload}", "{self.payload.swapcase()}")],
    ),
    Bug(
        "media that begins late",
        [Edit("protocols/twilio", "{self.payload}", "{self.payload[4:]}")],
    ),
    Bug(
        "an event that the server does not know",
        [
            Edit(
                "protocols/realtime/client",
                'type = "conversation.item.truncate"',
                'type = "conversation.items.truncate"',
            )
        ],
    ),
    # What the application is told.
    Bug(
        "a key is not told",
        [Edit("call/on_twilio", "call.outbox.notify(KeyPressed(message.digit))", "pass")],
    ),
    Bug(
        "all that the caller said is told as a piece of it",
        [
            Edit(
                "call/on_realtime",
                "CallerTranscript(item, words, final=True)",
                "CallerTranscript(item, words, final=False)",
            )
        ],
    ),
    Bug(
        "only the first configuration of a session is told",
        [
            Edit(
                "session/session",
                """\
        self._view.told(session)
        self._outbox.notify(SessionReady(session))
""",
                """\
        if not self.in_effect:
            self._outbox.notify(SessionReady(session))
        self._view.told(session)
""",
            )
        ],
    ),
    Bug(
        "a request is told to be refused that has to wait",
        [Edit("call/on_realtime", "    if refusal.final:\n", "    if refusal:\n")],
    ),
    Bug(
        "a raw message is told behind what it leads to",
        [
            Edit(
                "bridge",
                """\
            if self._tells_realtime:
                call.outbox.notify(RealtimeEvent(text))
            from_realtime.receive(call, text, now)
""",
                """\
            from_realtime.receive(call, text, now)
            if self._tells_realtime:
                call.outbox.notify(RealtimeEvent(text))
""",
            )
        ],
    ),
    Bug(
        "audio of an interrupted response is told",
        [
            Edit(
                "downlink/agent_speech",
                """\
        if not response.audible:
            return
        if (event.item_id""",
                """\
        if not response.audible:
            if self._tells_audio:
                part = event.response_id, event.item_id, event.content_index
                self._outbox.notify(AgentAudio(*part, event.delta))
            return
        if (event.item_id""",
            )
        ],
    ),
    Bug(
        "an item is told behind one that is not there",
        [
            Edit(
                "conversation/conversation",
                "ItemAddedEvent(entry.tell(), previous)",
                "ItemAddedEvent(entry.tell(), event.previous_item_id)",
            )
        ],
    ),
    Bug(
        "a tool of an MCP server is called, and nobody is told",
        [Edit("responses/mcp", "    return McpCallStarted(item_id)\n", "    return None\n")],
    ),
)
"""What each is called, and how it is made."""
