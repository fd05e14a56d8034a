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
                "turns/interrupter",
                """\
        if plan.clears:
            self._downlink.clear(now)
        else:
            self._downlink.forget()
""",
                "",
            ),
            Edit(
                "turns/interrupter",
                """\
                self._conversation.deletion_sent(event.item_id, is_unheard=True)
        for record in plan.stopped:
""",
                """\
                self._conversation.deletion_sent(event.item_id, is_unheard=True)
        if plan.clears:
            self._downlink.clear(now)
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
            return False
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
                "if record.lifecycle.state not in _CANCELLABLE or",
                "if record.is_cancelled or",
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
            Edit("downlink/downlink", "record.mark_item_heard(part.item_id)", "pass"),
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
                self._freed_mark = None
            return _NOTHING
""",
                """\
                self._freed_mark = None
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
                "call/state", "        self.outbox.notify(CallerAudioPadded(samples, cause))\n", ""
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
                "        queue, self._queue = self._queue, []\n        self._event_count",
                "        queue = sorted(self._queue, key=lambda each: each[1])\n"
                "        self._queue = []\n        self._event_count",
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
        clip = self._downlink.add_clip(name, len(audio))
""",
                """\
        self._downlink.clear(now)
        clip = self._downlink.add_clip(name, len(audio))
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
                "                self.queue.hold(each, Reason.HELD_BY_RESPONSE)\n",
                "                pass\n",
            ),
        ],
    ),
    Bug(
        "a request refused for an active response is lost",
        [
            Edit(
                "responses/requests",
                """\
            self.queue.put_back(request, why)
""",
                "            pass\n",
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
                "if not record.is_in_conversation and (is_repeated or "
                "self._out_of_band.is_answer_expected):",
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
            Edit("responses/function_calls", 'and item.status in (None, "completed")', ""),
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
            Edit("call/state", "bool(record.unsent_outputs) or self.mcp", "self.mcp"),
        ],
    ),
    # The session, and the end.
    Bug(
        "an update does not name the audio format",
        [
            Edit(
                "config/audio_format",
                """\
            return evolve(event, session=enforce_session_format(event.session))
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
                "    if wrong is None:\n        recovery.session_ready(",
                "    if wrong is None or call.session.effective_config:\n"
                "        recovery.session_ready(",
            ),
        ],
    ),
    Bug(
        "a timer is never due",
        [
            Edit("machine/timers", "now + 1) <= now)", "now + 1) < now)"),
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
        self.timers.set(Timer.SESSION, now + timeout_ms * MS)
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
            Edit("call/on_realtime", "    call.fill_inactivity(now)\n", ""),
        ],
    ),
    Bug(
        "a timer never fires: inactivity",
        [
            Edit("bridge", "call.fill_inactivity(now)", "pass"),
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
            Edit("call/ending", "            self._session.close(session_code)\n", ""),
        ],
    ),
    Bug(
        "a call of a program that ends is closed as if it were over",
        [
            Edit("call/on_command", '"", now, **codes)', '"", now)'),
        ],
    ),
    Bug(
        "a stream may send audio without limit",
        [
            Edit(
                "session/stream_rate",
                "if full_at_ns - now > _MEDIA_BUCKET_NS:",
                "if False:",
            ),
        ],
    ),
    Bug(
        "a stream is closed after a tenth of the audio that it may send",
        [
            Edit(
                "session/stream_rate",
                "MAX_MEDIA_BURST_NS: Final = 60 * SECOND",
                "MAX_MEDIA_BURST_NS: Final = SECOND // 10",
            ),
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
                "if call.downlink.is_playing(now) and",
                "if False and",
            ),
        ],
    ),
    Bug(
        "what was interrupted is asked for again in a silence",
        [
            Edit(
                "responses/requests",
                "for request in self._take_wanted(unanswered):",
                "for request in unanswered:",
            )
        ],
    ),
    Bug(
        "all that the agent says when the call ends counts as heard",
        [Edit("call/ending", "            self._cut_unheard(now)\n", "")],
    ),
    Bug(
        "an answer out of band that comes twice is heard twice",
        [
            Edit(
                "responses/out_of_band",
                "            self._unwanted_count += len(self._unanswered)\n",
                "            pass\n",
            )
        ],
    ),
    Bug(
        "a notice of all heard comes at once",
        [
            Edit(
                "call/on_command",
                "            call.after_playback.notify(name)",
                "            call.outbox.notify(AllHeard(name))",
            ),
        ],
    ),
    # Too little.
    Bug(
        "a notice of all heard never comes",
        [
            Edit(
                "call/on_command",
                "        call.outbox.notify(AllHeard(name))",
                "        pass",
            ),
        ],
    ),
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
                "        if not is_first or record.is_audible:\n            return False\n",
                "        return False\n",
            ),
        ],
    ),
    Bug(
        "an interruption cancels nothing",
        [
            Edit(
                "turns/interrupter",
                "            self._session.send_if_open(cancel_event(record.id))\n",
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
                "turns/interrupter",
                """\
        if plan.clears:
            self._downlink.clear(now)
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
                "        self._is_first_speech_heard = True\n",
                "        self._is_first_speech_heard = False\n",
            ),
        ],
    ),
    Bug(
        "the rest of a part is never played",
        [
            Edit(
                "downlink/agent_speech",
                "self._downlink.end_part(part, rest, now)",
                "self._downlink.end_part(part, (), now)",
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
                "self._outbox.notify(PlaybackStarted(",
                "(PlaybackStarted(",
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
                "    if after.is_hangup_pending:\n        is_owed",
                "    if False:\n        is_owed",
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
                "        recovery.session_refused(call, what, now)\n",
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
        call.stream.report(FaultKind.BAD_AUDIO, "media: payload is not base64, or empty")
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
                " - trip_ns + burst.start_delay_ns\n",
                " - 0 * trip_ns + burst.start_delay_ns\n",
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
                "_caller_words(call, item, words, logprobs, index, final=True)",
                "_caller_words(call, item, words, logprobs, index, final=False)",
            ),
        ],
    ),
    Bug(
        "only the first configuration of a session is notified",
        [
            Edit(
                "session/session",
                """\
        self._configured(self._connection, session)
        self._outbox.notify(SessionReady(session))
""",
                """\
        if not self.effective_config:
            self._outbox.notify(SessionReady(session))
        self._configured(self._connection, session)
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
            return False
        part = event""",
                """\
        if not record.is_audible:
            if self._notifies_audio:
                part = event.response_id, event.item_id, event.content_index
                self._outbox.notify(AgentAudio(*part, event.delta))
            return False
        part = event""",
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
        "a part is heard to its end that has not started",
        [
            Edit("turns/interrupter", "        self._downlink.start_playback(plan.started)\n", ""),
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
    # Who speaks when.
    Bug(
        "requests do not wait for the caller",
        [
            Edit("responses/requests", "waits = is_caller_turn and", "waits = False and"),
        ],
    ),
    Bug(
        "a turn that was committed no longer holds requests",
        [
            Edit(
                "machine/lifecycles",
                "SPEAKING,\n            TurnInput.COMMITTED: TurnState.COMMITTED,\n"
                "            TurnInput.ANSWERED",
                "SPEAKING,\n            TurnInput.COMMITTED: TurnState.QUIET,\n"
                "            TurnInput.ANSWERED",
            ),
        ],
    ),
    Bug(
        "a turn goes on that turn detection no longer follows",
        [Edit("turns/turn", "        self._end(TurnInput.DISCARDED)\n", "        pass\n")],
    ),
    Bug(
        "the answer to a request ends a turn that is not committed",
        [
            Edit(
                "turns/turn",
                "return not self._requests.may_be_answered and not is_of_earlier",
                "return not is_of_earlier",
            ),
        ],
    ),
    Bug(
        "a model that does not answer a turn is not silent",
        [
            Edit(
                "call/model_silence",
                "requests.is_answer_owed or call.turns.is_answer_owed",
                "requests.is_answer_owed",
            ),
        ],
    ),
    Bug(
        "a turn whose end was lost goes on though it is answered",
        [
            Edit(
                "machine/lifecycles",
                "            TurnInput.COMMITTED: TurnState.SPEAKING_COMMITTED,\n"
                "            TurnInput.ANSWERED: TurnState.QUIET,\n            TurnInput.EXPIRED",
                "            TurnInput.COMMITTED: TurnState.SPEAKING_COMMITTED,\n"
                "            TurnInput.EXPIRED",
            ),
        ],
    ),
    Bug(
        "a turn that was committed during speech holds requests for ever",
        [
            Edit(
                "turns/turn",
                "if self._lifecycle.state is not TurnState.QUIET:\n            self._timers",
                "if self._lifecycle.state is TurnState.COMMITTED:\n            self._timers",
            ),
        ],
    ),
    Bug(
        "a turn that does not end holds requests for ever",
        [
            Edit(
                "bridge",
                "                on_realtime.expire_turn(call)\n",
                "                pass\n",
            ),
        ],
    ),
    Bug(
        "the response to a turn does not cover what was sent before",
        [
            Edit(
                "responses/requests",
                "        if not is_repeated and is_dated:",
                "        if False:",
            ),
        ],
    ),
    Bug(
        "the response to a turn covers what the server added after it",
        [
            Edit(
                "responses/request_queue",
                "                self._uncovered_items |= dict.fromkeys(late)\n",
                "                del late\n",
            ),
        ],
    ),
    Bug(
        "the response to a turn is cancelled in the place of one that never came",
        [
            Edit(
                "responses/requests",
                "            self._sent.decision = PlaybackDecision.PLAY\n",
                "            pass\n",
            ),
        ],
    ),
    Bug(
        "a request without an answer never ends",
        [
            Edit(
                "responses/requests",
                "return min(instants) + ANSWER_NS if instants else None",
                "return min(instants) + 1_000 * ANSWER_NS if instants else None",
            ),
        ],
    ),
    Bug(
        "an error without an event id refuses no request",
        [
            Edit(
                "responses/requests",
                "if is_of_request(error) or (len(unanswered) == 1 and not "
                "is_of_another_event(error)):",
                "if is_of_request(error):",
            ),
        ],
    ),
    Bug(
        "a configuration that is refused without an event id is awaited",
        [
            Edit("session/session", "and (is_named or is_unnamed)", "and is_named"),
        ],
    ),
    Bug(
        "a refused request takes the later ones with it",
        [
            Edit(
                "responses/requests",
                "is_queued_again = is_busy or request.count > 1",
                "is_queued_again = is_busy",
            ),
        ],
    ),
    Bug(
        "a hang-up after playback does not wait for speech out of band",
        [
            Edit(
                "call/state",
                """\
            self.requests.is_busy
            or self.requests.is_speech_pending
            or self.responses.is_speech_pending
            or self.downlink.order.has_held
""",
                "            self.requests.is_busy\n",
            ),
        ],
    ),
    Bug(
        "speech out of band that is about to start is not interrupted",
        [
            Edit(
                "turns/interruption",
                "if each.is_stoppable or each.id in ids",
                "if (each.is_stoppable and each.is_in_conversation) or each.id in ids",
            ),
        ],
    ),
    Bug(
        "speech out of band that is requested is not interrupted",
        [
            Edit(
                "responses/requests",
                "        for each in (*sent, *self._out_of_band):\n",
                "        for each in sent:\n",
            ),
        ],
    ),
    Bug(
        "responses are heard in alternation",
        [
            Edit(
                "downlink/speech_order",
                "        if self.is_occupied(now):\n            return False\n",
                "",
            ),
        ],
    ),
    Bug(
        "a clip begins inside a sentence",
        [
            Edit("downlink/clips", "if self._downlink.order.is_occupied(now):", "if False:"),
        ],
    ),
    Bug(
        "what is held behind a response that stalls is held for ever",
        [
            Edit(
                "downlink/speech_order",
                "speaker.may_be_heard and now < self.stalls_at_ns",
                "speaker.may_be_heard",
            ),
        ],
    ),
    Bug(
        "the first words are protected until all is silent",
        [
            Edit(
                "turns/turn",
                "                return not record.may_be_heard and "
                "self._downlink.is_heard(response_id, now)\n",
                "                return not self.is_agent_active(now)\n",
            ),
        ],
    ),
    Bug(
        "the first words are not protected while they are generated",
        [
            Edit(
                "turns/turn",
                "return not record.may_be_heard and self._downlink",
                "return self._downlink",
            ),
        ],
    ),
    Bug(
        "the end of a response without an id ends nothing",
        [
            Edit(
                "responses/responses",
                "        return max(reversed(self.generating), key=likelihood, default=None)\n",
                "        return None\n",
            ),
        ],
    ),
    Bug(
        "a cancel is sent again and again",
        [
            Edit(
                "responses/responses",
                "return [each for each in found if not each.is_cancelled]",
                "return found",
            ),
        ],
    ),
    Bug(
        "a model that falls silent is not noticed",
        [
            Edit(
                "call/model_silence",
                "        timers.set(Timer.MODEL_SILENCE, now + SILENCE_NS)\n    if not order",
                "        pass\n    if not order",
            ),
        ],
    ),
    Bug(
        "a model that is silent is not asked again",
        [
            Edit(
                "responses/requests",
                "            self.queue.put_back(request, Reason.AGAIN_AFTER_SILENCE)\n",
                "",
            ),
        ],
    ),
    Bug(
        "a response that is complete is awaited",
        [
            Edit("call/model_silence", " and not each.is_output_complete", ""),
        ],
    ),
    # What events say beside their subject, and the options of follow-ups.
    Bug(
        "an idle time-out is not notified",
        [
            Edit(
                "call/on_realtime",
                "call.outbox.notify(IdleTimeoutTriggered(item, start_ms, end_ms))",
                "pass",
            ),
        ],
    ),
    Bug(
        "rate limits are notified without their numbers",
        [Edit("call/on_realtime", "rate_limits_from_json(limits)", "rate_limits_from_json(None)")],
    ),
    Bug(
        "the probabilities of a whole transcript are lost",
        [
            Edit(
                "call/on_realtime",
                "_caller_words(call, item, words, logprobs, index, final=True)",
                "_caller_words(call, item, words, None, index, final=True)",
            ),
        ],
    ),
    Bug(
        "the end of a response has no metadata",
        [
            Edit(
                "downlink/agent_speech",
                """\
                as_mapping(response.metadata) or None,
""",
                "                None,\n",
            ),
        ],
    ),
    Bug(
        "the end of a response has no items",
        [Edit("downlink/agent_speech", "items_from_response(response.output)", "()")],
    ),
    Bug(
        "the phase of a message is lost",
        [Edit("conversation/item_json", "phase = _text_or_none(item.phase)", "phase = None")],
    ),
    Bug(
        "an interruption of a response that is over stops the next",
        [
            Edit(
                "call/on_command",
                "if response_id is None or call.interrupter.is_response_current(response_id, now):",
                "if response_id is None or call.responses.get(response_id) is not None:",
            ),
        ],
    ),
    Bug(
        "an output always waits for those of other calls",
        [Edit("call/state", "record.is_followup_urgent or not is_any_open", "not is_any_open")],
    ),
    Bug(
        "MCP tools are followed up though that is off",
        [
            Edit(
                "call/on_realtime",
                "isinstance(notification, McpCallFinished) and call.config.respond_to_mcp",
                "isinstance(notification, McpCallFinished)",
            ),
        ],
    ),
    Bug(
        "events of unknown types are not notified as typed ones",
        [
            Edit(
                "call/on_realtime",
                "call.outbox.notify(TypedRealtimeEvent(realtime.decode_informational(text)))",
                "pass",
            ),
        ],
    ),
    Bug(
        "only the first ten seconds of audio are sent",
        [
            Edit(
                "call/on_command",
                "range(0, samples, _MAX_APPEND_SAMPLES)",
                "range(0, 1, _MAX_APPEND_SAMPLES)",
            ),
        ],
    ),
    Bug(
        "unknown fields of a request are left out",
        [
            Edit(
                "protocols/realtime/client",
                '{**(event.extra_fields or {}), "type": event.type}',
                '{"type": event.type}',
            ),
        ],
    ),
    # What the conversation holds.
    Bug(
        "an item that only the server makes is created",
        [
            Edit(
                "conversation/history_diff",
                "        case UnknownItem(type=kind):\n",
                '        case UnknownItem(type="" as kind):\n',
            ),
        ],
    ),
    Bug(
        "a reset invents ids that the server refuses",
        [
            Edit(
                "conversation/history_diff",
                "        check_invented_names(creation_body(item), given_names, place)\n",
                "",
            ),
        ],
    ),
    Bug(
        "a command invents ids that the server refuses",
        [Edit("call/on_command", "            _check_names(call, event)\n", "")],
    ),
    Bug(
        "an item without a status is complete",
        [
            Edit(
                "conversation/item_json",
                'return item.status in ("completed", "incomplete")',
                'return item.status != "in_progress"',
            ),
        ],
    ),
    Bug(
        "an item that is done leaves stale words",
        [Edit("conversation/transcript", "elif is_done and not", "elif text == known and not")],
    ),
    Bug(
        "all words received count as heard",
        [
            Edit(
                "conversation/conversation",
                "pace = None if entry is not None and entry.is_whole else self.pace.current",
                "pace = None",
            ),
        ],
    ),
    Bug(
        "all transcriptions are of the first part",
        [
            Edit(
                "call/on_realtime",
                "case realtime.InputTranscriptDeltaEvent(item, delta, logprobs, index):\n",
                """\
case realtime.InputTranscriptDeltaEvent(item, delta, logprobs):
            index = 0
""",
            ),
            Edit(
                "call/on_realtime",
                "case realtime.InputTranscriptCompletedEvent(item, words, logprobs, index):\n",
                """\
case realtime.InputTranscriptCompletedEvent(item, words, logprobs):
            index = 0
""",
            ),
        ],
    ),
    Bug(
        "an item may have the id root",
        [Edit("protocols/realtime/server", 'if self.id in ("", ROOT):', 'if self.id == "":')],
    ),
    # The caller's side.
    Bug(
        "silence counts from the start of speech",
        [
            Edit(
                "call/on_realtime",
                "    call.fill_inactivity(now)\n",
                """\
    call.caller_audio._last_audio_ns = now
    call.fill_inactivity(now)
""",
            ),
        ],
    ),
    Bug(
        "a late frame starts anew",
        [
            Edit(
                "uplink/caller_audio",
                "if position < latest - _MAX_LATE_SAMPLES:",
                "if position < latest:",
            ),
        ],
    ),
    Bug(
        "the model hears itself",
        [Edit("call/on_twilio", "in _OUTBOUND:", "in ():")],
    ),
    Bug(
        "a stream of both tracks is not reported",
        [
            Edit(
                "session/media_stream",
                'and "outbound" in cast(',
                'and "both" in cast(',
            ),
        ],
    ),
    Bug(
        "each frame without a stream is a fault",
        [
            Edit(
                "session/media_stream",
                "            self._reported.add(fault)\n",
                "",
            ),
        ],
    ),
    Bug(
        "a format that is not stated is another one",
        [Edit("session/media_stream", "each in (None, documented)", "each == documented")],
    ),
    Bug(
        "an end without an id is of the latest response",
        [
            Edit(
                "responses/responses",
                "return not items.isdisjoint(record.items), is_of_kind",
                "return is_of_kind, False",
            )
        ],
    ),
    # A call that outlives its session.
    Bug(
        "the caller's audio is lost with the session",
        [
            Edit(
                "session/session",
                "[*items, *self.kept_audio.take_all()]",
                "[*items, *self.kept_audio.take_all()][:0]",
            )
        ],
    ),
    Bug(
        "a question is forgotten as soon as a response to it is created",
        [
            Edit(
                "turns/turn",
                "        if record.has_begun:\n            self.answer_began(record)\n\n    def",
                "        self.answer_began(record)\n\n    def",
            )
        ],
    ),
    Bug(
        "the first words of a question count as all of it",
        [
            Edit(
                "conversation/conversation",
                " and not any(each.is_partial for each in parts)",
                "",
            )
        ],
    ),
    Bug(
        "what was queued for a lost session is dropped",
        [
            Edit(
                "session/session",
                "        self._use(self._make_next())\n",
                "        self._use(self._make_next())\n        self._pending.take_all()\n",
            )
        ],
    ),
    Bug(
        "all words are restored, heard or not",
        [
            Edit(
                "values/items",
                "words = part.transcript if part.heard_ms is None else part.heard",
                "words = part.transcript",
            )
        ],
    ),
    Bug(
        "items are restored the newest first",
        [
            Edit(
                "conversation/restore",
                "for text in reversed(kept)}\n",
                "for text in kept}\n",
            )
        ],
    ),
    Bug(
        "a function call is restored without its output",
        [
            Edit(
                "conversation/restore",
                "            case FunctionCall(call_id=call_id):\n"
                "                calls.add(call_id)\n",
                "            case FunctionCall(call_id=call_id):\n                continue\n",
            )
        ],
    ),
    Bug(
        "an item of an old session is truncated",
        [Edit("turns/interruption", "if record.is_of_old_session:", "if False:")],
    ),
    Bug(
        "a lost session is not replaced",
        [
            Edit(
                "call/recovery",
                "    call.timers.set(Timer.RECONNECT, now + delay_ms * MS)\n",
                "",
            )
        ],
    ),
    Bug(
        "a second loss has no time limit",
        [
            Edit(
                "call/recovery",
                "        call.timers.set(Timer.SESSION, recovery.give_up_at_ns)\n",
                "",
            )
        ],
    ),
    Bug(
        "an old session is heard after the switch",
        [
            Edit(
                "bridge",
                "elif peer == call.session.link and call.session.state in _RECEIVING:",
                "elif peer is not TWILIO and call.session.state in _RECEIVING:",
            )
        ],
    ),
    Bug(
        "the next session is not configured",
        [
            Edit(
                "bridge",
                " or peer == call.session.next_link:\n            is_opened",
                ":\n            is_opened",
            )
        ],
    ),
    Bug(
        "a correction is sent again to the next session",
        [
            Edit(
                "conversation/conversation",
                "return is_of_reset or any(each is event for each in self._restored.values())",
                "return is_of_reset",
            )
        ],
    ),
    Bug(
        "a silent model is not noticed behind a response that is over for the caller",
        [Edit("call/model_silence", " or any(map(call.is_end_awaited, not_ended))", "")],
    ),
    Bug(
        "a function call is not requested whose end is that of its response",
        [Edit("call/on_realtime", "in read_output(response.output):", "in ():")],
    ),
    Bug(
        "a response that is given up is cancelled for another",
        [
            Edit(
                "responses/responses",
                "found = [each for each in self.unfinished if each.is_in_conversation]",
                "found = [each for each in self.generating if each.is_in_conversation]",
            )
        ],
    ),
    Bug(
        "a question that the application answers is lost with its session",
        [
            Edit(
                "turns/turn",
                "self._unanswered.committed(item_id)  # the application may ask for the answer",
                "self._unanswered.forget_audio()",
            )
        ],
    ),
    Bug(
        "first words are protected though their end was lost",
        [
            Edit(
                "turns/turn",
                "return not record.may_be_heard and self._downlink",
                "return not record.is_generating and self._downlink",
            )
        ],
    ),
)
