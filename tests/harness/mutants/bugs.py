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
                "turns/turn",
                """\
        if plan.clears:
            self._downlink.clear()
        else:
            self._downlink.forget()
""",
                "",
            ),
            Edit(
                "turns/turn",
                """\
            self._outbox.send_to_realtime(event)
        for record in plan.stopped:
""",
                """\
            self._outbox.send_to_realtime(event)
        if plan.clears:
            self._downlink.clear()
        else:
            self._downlink.forget()
        for record in plan.stopped:
""",
            ),
        ],
    ),
    Bug(
        "late audio of an interrupted response is played",
        [
            Edit(
                "downlink/agent_speech",
                """\
        if not record.is_audible:
            return
""",
                "",
            ),
        ],
    ),
    Bug(
        "a response that was interrupted before it started is not cancelled",
        [
            Edit(
                "call/on_realtime",
                "if decision is not PlaybackDecision.PLAY:",
                "if decision is PlaybackDecision.SUPPRESS:",
            ),
        ],
    ),
    Bug(
        "a response that is done is cancelled",
        [
            Edit(
                "turns/interruption",
                "and each.lifecycle.state in _CANCELLABLE",
                "and not each.is_cancelled",
            ),
        ],
    ),
    Bug(
        "truncated above what was sent",
        [
            Edit(
                "turns/interruption",
                """\
TruncateItem(item_id, part.content_index, samples_to_ms(each.estimated_samples))
""",
                """\
TruncateItem(item_id, part.content_index, samples_to_ms(each.sent_samples) + 1)
""",
            ),
        ],
    ),
    Bug(
        "an item that was heard in part is deleted",
        [
            Edit(
                "turns/interruption",
                "samples_to_ms(each.estimated_samples) or each.is_heard_completely "
                "for _, each in parts",
                "samples_to_ms(each.estimated_samples) > 500 for _, each in parts",
            ),
            Edit("downlink/downlink", "record.mark_item_heard(source.item_id)", "pass"),
        ],
    ),
    Bug(
        "an item outside the conversation is truncated",
        [
            Edit(
                "turns/interruption",
                "if record.is_in_conversation and not responses.is_item_deleted(item_id):",
                "if not responses.is_item_deleted(item_id):",
            ),
        ],
    ),
    # What was heard.
    Bug(
        "marks from before a clear count",
        [
            Edit(
                "downlink/playout",
                """\
        if self._marks.is_outdated(name):
            return _NOTHING
""",
                """\
        if self._marks.is_outdated(name):
            return self._confirm(self._queue.sent_samples)
""",
            ),
        ],
    ),
    Bug(
        "marks start at 0 again after a clear",
        [
            Edit(
                "downlink/marks",
                "        self._marked_position = 0\n",
                "        self._marked_position = self._next_serial = 0\n",
            ),
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
            ),
        ],
    ),
    Bug(
        "a muted caller is heard",
        [
            Edit(
                "call/on_twilio", "        payload = silence_payload(samples)\n", "        pass\n"
            ),
        ],
    ),
    Bug(
        "padding is not notified",
        [
            Edit(
                "call/on_twilio", "    call.outbox.notify(CallerAudioPadded(samples, cause))\n", ""
            ),
        ],
    ),
    Bug(
        "a gap is padded twice",
        [
            Edit(
                "uplink/caller_audio",
                """\
        self._is_gap_filled = True
        self._expected_position = None
        return""",
                "        return",
            ),
        ],
    ),
    Bug(
        "pending audio is sent in the wrong order",
        [
            Edit(
                "session/pending_events",
                "return [event for event, _ in queue]",
                "return [event for event, _ in sorted(queue, key=lambda each: each[1])]",
            ),
        ],
    ),
    Bug(
        "audio is sent to a session that is not configured",
        [
            Edit(
                "session/session",
                '`samples`: the audio in it."""\n',
                """\
`samples`: the audio in it.\"\"\"
        if self.state is SessionState.CONFIGURING:
            self._outbox.send_to_realtime(event)
            return
""",
            ),
        ],
    ),
    Bug(
        "hold audio is not cleared",
        [
            Edit(
                "downlink/clips",
                "        self._stop_hold(now)\n        hold = self._queued_hold",
                "        hold = self._queued_hold",
            ),
        ],
    ),
    Bug(
        "hold audio starts while the agent speaks",
        [
            Edit(
                "downlink/clips",
                "if hold is None or self._downlink.is_playing(now):",
                "if hold is None:",
            ),
        ],
    ),
    Bug(
        "a clip clears what the agent says",
        [
            Edit(
                "downlink/clips",
                """\
        self._stop_hold(now)
        self._play(audio, name, now)
""",
                """\
        self._downlink.clear()
        self._play(audio, name, now)
""",
            ),
        ],
    ),
    # Requests and functions.
    Bug(
        "a queued request is lost",
        [
            Edit(
                "responses/requests",
                """\
                self._queued.append(each)
                continue
""",
                "                continue\n",
            ),
        ],
    ),
    Bug(
        "a request refused for an active response is lost",
        [
            Edit(
                "responses/requests",
                """\
        if is_queued_again:
            self._enqueue_again(request)
""",
                "",
            ),
        ],
    ),
    Bug(
        "two requests at a time",
        [
            Edit(
                "responses/requests",
                "elif self._active.step(ActiveResponseInput.REQUEST):",
                "elif self._active.step(ActiveResponseInput.REQUEST) or True:",
            ),
        ],
    ),
    Bug(
        "an out-of-band response counts as the active one",
        [
            Edit(
                "responses/requests",
                "if not record.is_in_conversation and self._out_of_band:",
                "if False:",
            ),
        ],
    ),
    Bug(
        "unanswered requests are not counted",
        [
            Edit("responses/requests", " + (self._sent is not None) + len(self._out_of_band)", ""),
        ],
    ),
    Bug(
        "a function call that is not complete is notified",
        [
            Edit("responses/function_calls", 'and item.status == "completed"', ""),
        ],
    ),
    Bug(
        "an output is sent twice",
        [
            Edit(
                "call/on_command",
                "        call.session.send(_output_item(each))\n",
                """\
        call.session.send(_output_item(each))
        call.session.send(_output_item(each))
""",
            ),
        ],
    ),
    Bug(
        "a call is answered twice",
        [
            Edit(
                "responses/function_calls",
                "        if call.is_answered:\n            raise",
                "        if False:\n            raise",
            ),
        ],
    ),
    Bug(
        "the model responds before all functions have their output",
        [
            Edit("call/state", "            and not record.unsent_outputs\n", ""),
        ],
    ),
    # The session, and the end.
    Bug(
        "an update does not name the audio format",
        [
            Edit(
                "config/audio_format",
                """\
            return UpdateSession(enforce_session_format(event.session), event.event_id)
""",
                "            return event\n",
            ),
            Edit(
                "session/session",
                "enforce_session_format(event.session), is_initial=False",
                "event.session, is_initial=False",
            ),
        ],
    ),
    Bug(
        "another audio format of the server is accepted",
        [
            Edit(
                "call/on_realtime",
                "    if wrong is None:\n        call.timers.stop(Timer.SESSION)",
                "    if wrong is None or call.session.effective_config:\n"
                "        call.timers.stop(Timer.SESSION)",
            ),
        ],
    ),
    Bug(
        "a timer is never due",
        [
            Edit("machine/timers", "now + 1) <= now]", "now + 1) < now]"),
        ],
    ),
    Bug(
        "a timer is never set: closing",
        [
            Edit(
                "call/ending",
                "            self._timers.set(Timer.CLOSING, now + self._closing_timeout_ns)\n",
                "",
            ),
        ],
    ),
    Bug(
        "a timer is never set: session",
        [
            Edit(
                "call/state",
                """\
        self.timers.set(Timer.SESSION, now + self.config.session_timeout_ms * MS)
""",
                "",
            ),
        ],
    ),
    Bug(
        "a timer never fires: configuration",
        [
            Edit(
                "bridge",
                """\
            case Timer.CONFIGURATION:
                call.open_session(now)
""",
                """\
            case Timer.CONFIGURATION:
                pass
""",
            ),
        ],
    ),
    Bug(
        "a timer never fires: start",
        [
            Edit(
                "bridge",
                "call.ending.time_out(EndReason.STREAM_NOT_STARTED, Peer.TWILIO, what, now)",
                "pass",
            ),
        ],
    ),
    Bug(
        "a timer is never set: inactivity",
        [
            Edit("call/on_realtime", "    call.set_inactivity_timer()\n", ""),
        ],
    ),
    Bug(
        "a timer never fires: inactivity",
        [
            Edit("bridge", "on_twilio.fill_inactivity(call, now)", "pass"),
        ],
    ),
    Bug(
        "the end is notified before both links are closed, and again",
        [
            Edit(
                "call/ending",
                "if self.cause is not None and self.is_complete:",
                "if self.cause is not None:",
            ),
        ],
    ),
    Bug(
        "one link is not closed",
        [
            Edit("call/ending", "            self._session.close(CLOSE_CODE)\n", ""),
        ],
    ),
    Bug(
        "a deferred output is sent at once",
        [
            Edit(
                "call/on_command",
                "    if command.after_playback:\n        call.after_playback.outputs",
                "    if False:\n        call.after_playback.outputs",
            ),
        ],
    ),
    Bug(
        "a deadline stays after the end",
        [
            Edit(
                "call/ending",
                "            self._timers.stop_all()\n            usage",
                "            usage",
            ),
        ],
    ),
    Bug(
        "hung up before all was heard",
        [
            Edit(
                "call/on_command",
                "if silent_at_ns is not None and silent_at_ns > now and",
                "if False and",
            ),
        ],
    ),
    # Too little.
    Bug(
        "an interruption corrects nothing in the conversation",
        [
            Edit(
                "turns/interruption",
                "            corrections += _corrections_of(",
                "            _corrections_of(",
            ),
        ],
    ),
    Bug(
        "an item interrupted before it was heard is not deleted",
        [
            Edit(
                "turns/interruption",
                "return [DeleteItem(item_id)] if item_id in record.done_items else []",
                "return []",
            ),
        ],
    ),
    Bug(
        "an unheard item of an interrupted response is not deleted once done",
        [
            Edit(
                "downlink/agent_speech",
                "if is_first and not record.is_audible and not stays:",
                "if False:",
            ),
        ],
    ),
    Bug(
        "an interruption cancels nothing",
        [
            Edit(
                "turns/turn",
                "            self._outbox.send_to_realtime(cancel_event(record.id))\n",
                "",
            ),
        ],
    ),
    Bug(
        "a response that was silenced earlier is never cancelled",
        [
            Edit("turns/interruption", "for each in (*stopped, *unheard)", "for each in stopped"),
        ],
    ),
    Bug(
        "an interruption does not stop the sound",
        [
            Edit(
                "turns/turn",
                """\
        if plan.clears:
            self._downlink.clear()
        else:
            self._downlink.forget()
""",
                "        self._downlink.forget()\n",
            ),
        ],
    ),
    Bug(
        "a caller's speech never interrupts",
        [
            Edit(
                "call/on_realtime",
                """\
    if interrupts:
        _interrupt(call, now)
""",
                "",
            ),
        ],
    ),
    Bug(
        "a timer is never set: speech confirmation",
        [
            Edit(
                "turns/turn",
                """\
            self._timers.set(Timer.SPEECH_CONFIRMATION, now + delay_ns)
""",
                "",
            ),
        ],
    ),
    Bug(
        "a caller who has heard exactly enough is blocked",
        [
            Edit("turns/interruption_gate", "if heard_ms < policy", "if heard_ms <= policy"),
        ],
    ),
    Bug(
        "old interruptions count for the limit",
        [
            Edit(
                "turns/interruption_gate",
                "return sum(instant_ns > now - limit.per_ms * MS "
                "for instant_ns in self._recent_ns)",
                "return len(self._recent_ns)",
            ),
        ],
    ),
    Bug(
        "the first speech is protected for ever",
        [
            Edit(
                "turns/interruption_gate",
                "            self._is_first_speech_heard = True\n",
                "            self._is_first_speech_heard = False\n",
            ),
        ],
    ),
    Bug(
        "the rest of a part is never played",
        [
            Edit(
                "downlink/agent_speech",
                """\
        self._downlink.end_part(part, self._aligner.end_part(part), now)
""",
                "        self._downlink.end_part(part, (), now)\n",
            ),
        ],
    ),
    Bug(
        "the end of a part has no mark",
        [
            Edit(
                "downlink/downlink",
                """\
        if self._playout.is_final_mark_due():
            self._send_mark(now)
""",
                "",
            ),
        ],
    ),
    Bug(
        "the start of playback is not notified",
        [
            Edit(
                "downlink/downlink",
                "                self._outbox.notify(\n                    PlaybackStarted(",
                "                (\n                    PlaybackStarted(",
            ),
        ],
    ),
    Bug(
        "the end of playback is not notified",
        [
            Edit(
                "downlink/downlink",
                "                self._outbox.notify(\n                    PlaybackFinished(",
                "                (\n                    PlaybackFinished(",
            ),
        ],
    ),
    Bug(
        "a hang-up after playback never happens",
        [
            Edit(
                "call/on_command",
                '        call.ending.end(EndReason.HUNG_UP, "all was heard", now)\n',
                "        pass\n",
            ),
        ],
    ),
    Bug(
        "queued hold audio never starts",
        [
            Edit(
                "downlink/clips",
                "if all(each.is_complete for each in self._downlink.positions(now)):",
                "if False:",
            ),
        ],
    ),
    Bug(
        "the end of a clip is not notified",
        [
            Edit(
                "downlink/downlink",
                "                self._finish_clip(source, whole_ms, whole_ms)\n",
                "                del self._clips[source]\n",
            ),
        ],
    ),
    Bug(
        "a refused configuration does not end the call",
        [
            Edit(
                "call/on_realtime",
                "        call.ending.end(EndReason.SESSION_REFUSED, what, now)\n",
                "",
            ),
        ],
    ),
    Bug(
        "pending audio is dropped after a second",
        [
            Edit(
                "session/pending_events",
                "MAX_PENDING_SAMPLES: Final = 10 * 8000",
                "MAX_PENDING_SAMPLES: Final = 8000",
            ),
        ],
    ),
    Bug(
        "bad audio of the caller is not reported",
        [
            Edit(
                "call/on_twilio",
                """\
        call.outbox.notify_fault(
            Peer.TWILIO, FaultKind.BAD_AUDIO, "media: payload is not base64, or empty"
        )
""",
                "",
            ),
        ],
    ),
    Bug(
        "the ping goes to the Realtime server",
        [
            Edit(
                "downlink/downlink",
                "SendPing(Peer.TWILIO, payload)",
                "SendPing(Peer.REALTIME, payload)",
            ),
        ],
    ),
    # Ground truth.
    Bug(
        "truncated at all that was sent",
        [
            Edit(
                "turns/interruption",
                """\
TruncateItem(item_id, part.content_index, samples_to_ms(each.estimated_samples))
""",
                """\
TruncateItem(item_id, part.content_index, samples_to_ms(each.sent_samples))
""",
            ),
        ],
    ),
    Bug(
        "truncated a little too late",
        [
            Edit(
                "turns/interruption",
                """\
TruncateItem(item_id, part.content_index, samples_to_ms(each.estimated_samples))
""",
                """\
TruncateItem(
                item_id,
                part.content_index,
                samples_to_ms(min(each.sent_samples, each.estimated_samples + 40)),
            )
""",
            ),
        ],
    ),
    Bug(
        "an unheard item is truncated",
        [
            Edit(
                "turns/interruption",
                """\
            is_heard = _is_any_heard(of_item) or item_id in record.heard_items
""",
                "            is_heard = True\n",
            ),
        ],
    ),
    Bug(
        "the round trip counts as start delay",
        [
            Edit(
                "downlink/playout",
                " - self.round_trip.add_upper_bound(bound_ns)\n",
                " - 0 * bound_ns\n",
            ),
        ],
    ),
    Bug(
        "the start delay is not learned",
        [
            Edit(
                "downlink/playout",
                "                self._queue.set_start_delay(burst, start_delay_ns)\n",
                "                pass\n",
            ),
        ],
    ),
    Bug(
        "media with a field that Twilio does not read",
        [
            Edit(
                "protocols/twilio", '{{"payload":"{self.payload}"}}', '{{"audio":"{self.payload}"}}'
            ),
        ],
    ),
    Bug(
        "media without audio",
        [
            Edit("protocols/twilio", '{{"payload":"{self.payload}"}}', '{{"payload":""}}'),
        ],
    ),
    Bug(
        "media with other audio",
        [
            Edit("protocols/twilio", "{self.payload}", "{self.payload.swapcase()}"),
        ],
    ),
    Bug(
        "media without its first samples",
        [
            Edit("protocols/twilio", "{self.payload}", "{self.payload[4:]}"),
        ],
    ),
    Bug(
        "an event that the server does not know",
        [
            Edit(
                "protocols/realtime/client",
                'type = "conversation.item.truncate"',
                'type = "conversation.items.truncate"',
            ),
        ],
    ),
    # Notifications.
    Bug(
        "a key is not notified",
        [
            Edit("call/on_twilio", "call.outbox.notify(KeyPressed(message.digit))", "pass"),
        ],
    ),
    Bug(
        "a final transcript is notified as a piece",
        [
            Edit(
                "call/on_realtime",
                "CallerTranscript(item, words, final=True)",
                "CallerTranscript(item, words, final=False)",
            ),
        ],
    ),
    Bug(
        "only the first configuration of a session is notified",
        [
            Edit(
                "session/session",
                """\
        self._effective.acknowledge(session)
        self._outbox.notify(SessionReady(session))
""",
                """\
        if not self.effective_config:
            self._outbox.notify(SessionReady(session))
        self._effective.acknowledge(session)
""",
            ),
        ],
    ),
    Bug(
        "a request that is queued again is notified as refused",
        [
            Edit("call/on_realtime", "    if refused.is_final:\n", "    if refused:\n"),
        ],
    ),
    Bug(
        "a raw event is notified after its consequences",
        [
            Edit(
                "bridge",
                """\
            if self._notifies_realtime_events:
                call.outbox.notify(RealtimeEvent(text))
            on_realtime.on_event(call, text, now)
""",
                """\
            on_realtime.on_event(call, text, now)
            if self._notifies_realtime_events:
                call.outbox.notify(RealtimeEvent(text))
""",
            ),
        ],
    ),
    Bug(
        "audio of an interrupted response is notified",
        [
            Edit(
                "downlink/agent_speech",
                """\
        if not record.is_audible:
            return
        if (event.item_id""",
                """\
        if not record.is_audible:
            if self._notifies_audio:
                part = event.response_id, event.item_id, event.content_index
                self._outbox.notify(AgentAudio(*part, event.delta))
            return
        if (event.item_id""",
            ),
        ],
    ),
    Bug(
        "an item is notified after one that is not held",
        [
            Edit(
                "conversation/conversation",
                "[ItemAdded(entry.snapshot_notified(), previous)]",
                "[ItemAdded(entry.snapshot_notified(), previous_item_id)]",
            ),
        ],
    ),
    Bug(
        "the start of an MCP call is not notified",
        [
            Edit(
                "responses/mcp", "        return McpCallStarted(item_id)\n", "        return None\n"
            ),
        ],
    ),
    # Codecs.
    Bug(
        "samples are counted with their padding",
        [
            Edit(
                "audio/pcmu",
                "return len(payload) // 4 * 3 - padding",
                "return len(payload) // 4 * 3",
            ),
        ],
    ),
    Bug(
        "an error loses the id of its event",
        [
            Edit(
                "protocols/realtime/server",
                """\
    event_id: str | None = None


@frozen
class ErrorEvent""",
                """\
    no_event_id: str | None = None
    event_id = None


@frozen
class ErrorEvent""",
            ),
        ],
    ),
)
