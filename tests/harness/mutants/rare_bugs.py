"""Bugs that take more than 2,000 calls to be found: what shows them seldom comes together."""

from typing import Final

from .planting import Bug, Edit

__all__ = ["RARE_BUGS"]

RARE_BUGS: Final = (
    Bug(
        "a turn that is committed twice is answered twice",
        [
            Edit(
                "turns/turn",
                "TurnState.QUIET and item_id == self._committed_item:",
                "TurnState.QUIET and not item_id:",
            ),
        ],
    ),
    Bug(
        "a response that goes on silently counts as cancelled",
        [
            Edit(
                "turns/turn",
                "return active.is_cancelled or self._session.server_interrupts",
                "return True",
            ),
        ],
    ),
    Bug(
        "without turn detection only the last second is kept",
        [
            Edit(
                "turns/turn",
                "is_quiet = self._lifecycle.state is TurnState.QUIET and self._is_detecting",
                "is_quiet = self._lifecycle.state is TurnState.QUIET",
            ),
            Edit(
                "turns/turn",
                "        if not self._is_detecting:\n            self._session.kept_audio",
                "        if False:\n            self._session.kept_audio",
            ),
        ],
    ),
    Bug(
        "requests do not wait for a turn that the next session is to hear",
        [
            Edit(
                "turns/turn",
                "TurnInput.REPLAY if is_replayed",
                "TurnInput.REPLAY if False",
            )
        ],
    ),
    Bug(
        "a player that was nearly done does not start anew",
        [
            Edit(
                "downlink/playout",
                "if not is_late or not is_explained or overlap_ns > exact_to_ns:",
                "if overlap_ns >= 0:",
            )
        ],
    ),
    Bug(
        "a turn that the server has not committed is cut when the answer before it was stopped",
        [Edit("turns/turn", "return is_quiet and not self._is_any_uncommitted", "return is_quiet")],
    ),
    Bug(
        "audio that was dropped is not missed when a session takes over",
        [
            Edit(
                "session/kept_audio",
                "return not self._is_cut and samples",
                "return samples",
            )
        ],
    ),
    Bug(
        "a silent model is not noticed behind a response whose words went on",
        [
            Edit(
                "call/model_silence",
                "return unfinished if active is None or active in unfinished"
                " else [*unfinished, active]",
                "return unfinished",
            ),
        ],
    ),
    Bug(
        "a late answer out of band is heard that was interrupted",
        [Edit("responses/out_of_band", "self._expect_late(expired)", "self._given_up_count += 1")],
    ),
    Bug(
        "a turn is answered again whose response has no start",
        [
            Edit(
                "call/on_realtime",
                "if record.is_in_conversation and not was_announced:",
                "if False:",
            )
        ],
    ),
    Bug(
        "the response to a turn counts as that of a cancelled request",
        [Edit("responses/requests", "            self._sent.is_cancelled = False\n", "")],
    ),
    Bug(
        "a response without a start ends what the caller is saying",
        [
            Edit(
                "turns/turn",
                "        if self._lifecycle.state is TurnState.COMMITTED:\n"
                "            self.answered(record)",
                "        self.answered(record)",
            )
        ],
    ),
    Bug(
        "a question that the server leaves unanswered is lost with its session",
        [
            Edit(
                "turns/turn",
                "            self._unanswered.is_request_needed = False\n            return True",
                "            self._unanswered.forget_items()\n"
                "            self._unanswered.forget_audio()\n"
                "            return True",
            )
        ],
    ),
    Bug(
        "a silent model is not noticed behind a request that was interrupted",
        [
            Edit(
                "responses/requests",
                "return is_unknown or is_any_behind or any(",
                "return is_unknown or any(",
            )
        ],
    ),
    Bug(
        "a silent model is not noticed before it commits a turn",
        [Edit("turns/turn", "return is_paused or state is", "return state is")],
    ),
    Bug(
        "events of any response keep a stalled one active",
        [
            Edit(
                "responses/requests",
                'if active is None or not active.id or response_id in ("", active.id):',
                "if True:",
            )
        ],
    ),
    Bug(
        "a late answer out of band answers a request of the conversation",
        [Edit("responses/out_of_band", "        self._expect_late(expired)\n", "")],
    ),
    Bug(
        "an output that crossed an answer is not answered in the next session",
        [
            Edit(
                "responses/request_queue",
                "        if keys:\n            self.add_automatic(",
                "        if False:\n            self.add_automatic(",
            )
        ],
    ),
    Bug(
        "a request that was refused counts as that of the response which it met",
        [
            Edit(
                "responses/requests",
                "                self._answer.request = None\n",
                "                pass\n",
            )
        ],
    ),
    Bug(
        "a response that was cancelled when requested is cancelled again",
        [
            Edit(
                "responses/requests",
                "        if request.is_cancelled:\n            record.mark_cancelled()\n",
                "",
            )
        ],
    ),
    Bug(
        "a cancelled end without an id is of the latest response",
        [Edit("responses/responses", ", is_of_kind, is_of_status", ", is_of_kind, False")],
    ),
    Bug(
        "a function call out of band is requested as one of the response under way",
        [
            Edit(
                "call/on_realtime",
                "if response.conversation_id is not None:  # else",
                "if True:  # else",
            )
        ],
    ),
    Bug(
        "an item that was changed has its old words again in the next session",
        [
            Edit(
                "conversation/conversation",
                "None if old_id in created_ids else entries.pop(old_id, None)",
                "entries.pop(old_id, None)",
            )
        ],
    ),
    Bug(
        "turn detection that the server does not describe counts as off",
        [Edit("session/effective_session", "        return {}\n", "        return None\n")],
    ),
    Bug(
        "arguments of a function do not show that the response goes on",
        [
            Edit(
                "call/on_realtime",
                "    realtime.UnknownServerEvent,  # parts of items",
                "    # parts",
            )
        ],
    ),
    Bug(
        "words do not show that a response goes on",
        [
            Edit(
                "call/on_realtime",
                "        call.responses.progressed(decoded.response_id, now)\n",
                "",
            )
        ],
    ),
    Bug(
        "text out of band that the server does not describe is heard",
        [
            Edit(
                "responses/requests",
                "record.is_text = answered.is_silent",
                "record.is_text = False",
            )
        ],
    ),
    Bug(
        "the clip of a silent model is played over the caller",
        [Edit("call/model_silence", "policy.clip and is_heard and", "policy.clip and")],
    ),
    Bug(
        "a late answer ends the turn of the caller",
        [
            Edit(
                "turns/turn",
                "not self._requests.may_be_answered",
                "not self._requests.is_requested",
            )
        ],
    ),
)
