"""Which tests hold which scenario, and what is to be said where none does, or not all of it.

Tests are named by their file under `tests` and their name. A scenario's number stands in the test's
name, or at the beginning of its docstring.
"""

from typing import Final

__all__ = ["REMARKS", "TESTS"]

TESTS: Final[dict[str, tuple[str, ...]]] = {
    # An interruption: what it clears, cancels, truncates and drops.
    "S01": ("core/turns/test_interrupter.py::test_s01_an_interruption_of_nothing_sends_nothing",),
    "S02": (
        "core/turns/test_interrupter.py::test_s02_a_whole_item_is_truncated_where_it_was_cleared",
    ),
    "S03": (
        "core/turns/test_interrupter.py::test_s03_two_interruptions_send_one_clear_cancel_and_truncate",
    ),
    "S04": ("core/turns/test_interrupter.py::test_s04_a_position_is_in_ms_rounded_down",),
    "S05": (
        "core/turns/test_interrupter.py::test_s05_queued_items_are_each_corrected_by_their_position",
    ),
    "S06": ("core/turns/test_interrupter.py::test_s06_the_echo_of_a_cleared_mark_changes_nothing",),
    "S08": (
        "core/turns/test_interrupter.py::test_s08_audio_of_a_response_interrupted_before_it_is_dropped",
    ),
    "S09": (
        "scenarios/test_sockets.py::test_s09_an_interruption_after_hanging_up_raises",
        "core/test_bridge.py::test_s09_s10_after_the_end_nothing_has_an_effect",
    ),
    "S10": (
        "scenarios/test_sockets.py::test_s10_an_interruption_after_a_lost_peer_raises",
        "core/test_bridge.py::test_s09_s10_after_the_end_nothing_has_an_effect",
    ),
    "S11": (
        "scenarios/test_interruptions.py::test_s11_a_later_call_corrects_only_its_items",
        "scenarios/test_interruptions.py::test_s11_another_stream_of_one_socket_is_cleared",
    ),
    "S13": ("core/turns/test_interrupter.py::test_s13_an_item_heard_to_the_end_is_not_corrected",),
    # The caller: formats, gaps, streams, and messages that are wrong.
    "S16": (
        "scenarios/test_caller.py::test_s16_a_raw_update_to_another_format_is_refused",
        "scenarios/test_caller.py::test_s16_any_session_is_sent_with_both_formats",
        "core/config/test_audio_format.py::test_s16_a_format_by_its_beta_name_is_misuse",
        "core/config/test_audio_format.py::test_s16_a_session_in_another_format_is_misuse",
        "core/session/test_session.py::test_s16_a_later_update_is_pinned_and_gets_an_id",
        "core/config/test_session.py::test_s16_a_configuration_in_another_format_cannot_be_made",
        "core/config/test_session.py::test_s16_a_configuration_with_a_beta_format_cannot_be_made",
        "core/config/test_session.py::test_s16_nested_audio_settings_are_kept",
        "core/config/test_session.py::test_s16_an_empty_update_names_only_the_audio_format",
    ),
    "S17": (
        "core/config/test_call.py::test_s17_a_time_out_of_range_is_misuse",
        "core/config/test_call.py::test_s17_the_inactivity_timeout_is_750_ms_by_default",
    ),
    "S18": (
        "scenarios/test_caller.py::test_s18_frames_before_the_session_are_sent_in_order",
        "scenarios/test_caller.py::test_s18_the_end_of_one_socket_closes_the_other",
        "core/downlink/test_downlink.py::test_s18_the_echo_of_an_unknown_mark_is_a_fault",
        "core/session/test_media_stream.py::test_s18_a_bad_message_is_a_fault",
    ),
    "S19": ("scenarios/test_caller.py::test_s19_a_missing_frame_becomes_silence",),
    "S20": ("scenarios/test_caller.py::test_s20_audio_of_another_format_gets_no_silence",),
    "S21": ("scenarios/test_caller.py::test_s21_nothing_is_inferred_without_a_timestamp",),
    "S22": ("scenarios/test_caller.py::test_s22_a_clock_set_back_starts_anew",),
    "S23": ("scenarios/test_caller.py::test_s23_a_gap_of_twenty_seconds_is_filled_with_ten",),
    "S24": ("scenarios/test_caller.py::test_s24_silence_follows_a_speaker_whose_frames_stop",),
    "S26": ("scenarios/test_caller.py::test_s26_no_silence_follows_a_speaker_who_stopped",),
    "S27": ("scenarios/test_caller.py::test_s27_the_inactivity_timeout_is_as_configured",),
    "S28": ("scenarios/test_caller.py::test_s28_no_silence_follows_without_a_timeout",),
    "S30": ("scenarios/test_caller.py::test_s30_another_stream_has_no_gap_and_no_speaker",),
    "S31": ("scenarios/test_caller.py::test_s31_a_fault_shows_nothing_of_the_message",),
    "S32": ("scenarios/test_caller.py::test_s32_mark_names_are_unique_and_without_meaning",),
    "S33": ("scenarios/test_caller.py::test_s33_the_clear_goes_to_the_current_stream",),
    # The model: requests, errors, positions at their limits, events of every shape, and sockets.
    "S34": ("scenarios/test_model.py::test_s34_a_request_is_answered_cancelled_once_and_released",),
    "S35": (
        "scenarios/test_model.py::test_s35_an_impossible_request_is_refused_at_once",
        "scenarios/test_model.py::test_s35_a_request_on_a_lost_socket_is_counted",
    ),
    "S36": ("scenarios/test_model.py::test_s36_s38_only_its_error_releases_a_request",),
    "S37": (
        "core/responses/test_requests.py::test_a_request_that_met_an_active_response_is_sent_again",
        "core/responses/test_requests.py::test_an_error_without_event_id_may_name_response_create",
    ),
    "S38": (
        "scenarios/test_model.py::test_s36_s38_only_its_error_releases_a_request",
        "scenarios/test_model.py::test_s38_requests_queued_at_the_end_are_not_sent",
    ),
    "S39": (
        "core/call/test_on_command.py::test_a_message_after_an_interruption_is_answered_after_the_response",
    ),
    "S41": ("scenarios/test_model.py::test_s41_an_item_created_after_a_request_follows_it",),
    "S42": (
        "core/call/test_on_command.py::test_a_request_is_queued_during_a_response_with_its_parameters",
    ),
    "S43": (
        "core/call/test_on_realtime.py::test_a_refused_request_is_notified_and_the_next_sent",
        "core/responses/test_requests.py::test_an_error_releases_its_request_and_sends_the_next",
    ),
    "S44": ("scenarios/test_model.py::test_s44_a_request_with_parameters_is_not_automatic",),
    "S46": (
        "core/turns/test_interrupter.py::test_s46_an_interruption_after_all_was_heard_sends_nothing",
    ),
    "S47": (
        "scenarios/test_interruptions.py::test_s47_a_position_is_rounded_down_within_the_audio",
    ),
    "S48": (
        "scenarios/test_interruptions.py::test_s48_an_interruption_after_hanging_up_does_nothing",
    ),
    "S49": (
        "scenarios/test_model.py::test_s49_the_text_of_every_event_can_be_notified",
        "core/test_bridge.py::test_s49_a_bad_event_is_a_fault",
        "core/test_bridge.py::test_s49_an_unknown_event_has_no_effect",
        "core/call/test_on_realtime.py::test_a_wrong_event_is_a_fault_an_unknown_one_not",
    ),
    "S50": (
        "scenarios/test_caller.py::test_s50_audio_of_the_application_is_queued_until_the_session",
    ),
    "S51": (
        "core/config/test_session.py::test_s51_null_is_sent_where_the_protocol_has_it",
        "core/session/test_effective_session.py::test_s51_tracing_can_be_switched_off_and_then_on_again",
    ),
    "S52": (
        "scenarios/test_model.py::test_s52_a_hang_up_while_dialling_ends_once",
        "scenarios/test_model.py::test_s52_a_second_socket_is_misuse",
        "scenarios/test_sockets.py::test_s52_a_call_that_ends_while_dialling_leaves_nothing",
        "adapters/agents/test_call.py::test_an_exception_of_a_handler_ends_the_call",
        "adapters/agents/test_call.py::test_cancelling_ends_the_agent_immediately",
        "adapters/agents/test_call.py::test_commands_are_sent_in_order_and_ignored_after_the_end",
    ),
    "S53": ("core/config/test_call.py::test_s53_the_model_is_added_to_a_url_without_query",),
    # Positions, cancels, and what outlives what.
    "S54": ("scenarios/test_interruptions.py::test_s54_the_item_is_truncated_where_the_phone_was",),
    "S55": (
        "scenarios/test_interruptions.py::test_s55_nothing_can_be_interrupted_between_two_responses",
    ),
    "S56": (
        "core/turns/test_interrupter.py::test_s56_audio_heard_without_an_echo_is_not_truncated",
    ),
    "S57": ("core/turns/test_interrupter.py::test_s57_the_position_is_at_most_what_was_sent",),
    "S58": (
        "scenarios/test_interruptions.py::test_s58_audio_before_the_session_is_ready_can_be_interrupted",
    ),
    "S59": (
        "scenarios/test_caller.py::test_s59_the_server_may_spell_the_format_differently",
        "scenarios/test_caller.py::test_s59_a_server_that_takes_another_format_ends_the_call",
    ),
    "S60": ("scenarios/test_interruptions.py::test_s60_time_that_runs_backwards_is_refused",),
    "S61": (
        "core/turns/test_interruption_gate.py::test_the_bridge_cancels_where_the_policy_forbids_the_server",
        "core/session/test_effective_session.py::test_s61_the_latest_configuration_decides_who_cancels",
        "core/turns/test_interrupter.py::test_s61_the_bridge_cancels_for_the_application",
        "core/turns/test_interrupter.py::test_s61_the_server_cancels_for_the_caller",
    ),
    "S62": (
        "scenarios/test_interruptions.py::test_s62_a_cancel_alone_keeps_the_audio",
        "scenarios/test_interruptions.py::test_s62_audio_can_be_interrupted_after_a_failed_cancel",
    ),
    "S63": (
        "scenarios/test_interruptions.py::test_s63_an_interruption_without_cancel_keeps_the_next_response",
    ),
    "S65": ("scenarios/test_model.py::test_s65_a_long_call_takes_no_more_memory",),
    "S66": (
        "scenarios/test_interruptions.py::test_s66_an_interruption_refused_in_part_is_complete",
        "adapters/agents/test_call.py::test_several_failures_are_reported_together_in_order",
    ),
    "S67": ("scenarios/test_model.py::test_s67_later_messages_get_another_response",),
    "S68": ("scenarios/test_model.py::test_s68_a_cancelled_response_releases_the_next_request",),
    "S69": (
        "scenarios/test_sockets.py::test_s69_a_message_over_the_limit_ends_the_call",
        "scenarios/test_sockets.py::test_s69_a_handshake_without_an_answer_times_out",
        "adapters/agents/test_call.py::test_an_agent_reads_notifications_in_order_until_the_end",
    ),
    "S70": (
        "scenarios/test_model.py::test_s70_a_voice_that_is_an_object_is_read",
        "scenarios/test_model.py::test_s70_an_answer_in_text_is_notified_as_text",
        "scenarios/test_model.py::test_s70_an_item_may_be_first_or_be_wrong",
        "scenarios/test_model.py::test_s70_usage_is_notified_if_the_response_has_it",
        "core/conversation/test_conversation.py::test_s70_an_item_without_a_previous_one_is_first",
        "core/values/test_usage.py::test_data_that_is_no_usage_is_none",
    ),
    "S71": (
        "scenarios/test_model.py::test_s71_the_outcome_of_an_mcp_tool_is_followed_up",
        "adapters/agents/test_call.py::test_at_the_end_tasks_are_cancelled_and_agents_have_grace",
        "adapters/agents/test_functions.py::test_a_function_gets_the_arguments_and_is_answered_once",
        "adapters/agents/test_functions.py::test_a_failing_function_is_answered_without_details_and_reported",
        "adapters/agents/test_functions.py::test_a_function_over_its_timeout_is_cancelled_answered_and_reported",
        "adapters/agents/test_functions.py::test_functions_are_cancelled_without_output_when_the_caller_hangs_up",
        "core/conversation/test_conversation.py::test_s71_a_recorded_session_leaves_its_items_in_order",
        "core/conversation/test_conversation.py::test_s71_an_item_is_added_behind_the_item_named",
        "core/conversation/test_conversation.py::test_s71_no_description_removes_known_words",
        "core/conversation/test_conversation.py::test_s71_words_of_the_agent_are_notified_when_complete",
        "core/conversation/test_conversation.py::test_s71_words_of_the_caller_precede_or_follow_their_item",
        "core/call/test_on_realtime.py::test_items_are_notified_when_added_updated_and_deleted",
        "core/responses/test_function_calls.py::test_a_call_is_notified_once",
        "core/test_traces.py::test_items_are_notified_in_the_recorded_order",
    ),
    "S72": ("scenarios/test_interruptions.py::test_s72_a_call_corrects_no_item_of_the_last",),
    # The agent: greetings, barge-in, functions, goodbyes.
    "S73": (
        "scenarios/test_agent.py::test_s73_a_greeting_clip_is_notified_with_its_300_ms",
        "scenarios/test_agent.py::test_s73_a_short_greeting_has_two_marks",
    ),
    "S75": (
        "scenarios/test_agent.py::test_s75_the_item_ends_where_the_phone_fell_silent",
        "scenarios/test_interruptions.py::test_s75_an_interruption_after_200_ms_truncates_there",
    ),
    "S76": (
        "core/call/test_on_realtime.py::test_a_blocked_interruption_is_notified_and_clears_nothing",
        "core/turns/test_interruption_gate.py::test_a_response_must_be_heard_for_a_while",
    ),
    "S77": (
        "scenarios/test_interruptions.py::test_s77_an_interruption_during_generation_clears_and_cancels",
    ),
    "S78": (
        "core/call/test_on_realtime.py::test_a_blocked_caller_is_answered_after_the_response",
        "core/turns/test_turn.py::test_a_turn_that_the_server_answers_is_answered_once",
        "core/turns/test_turn.py::test_a_turn_during_a_protected_response_is_answered_afterwards",
    ),
    "S79": (
        "scenarios/test_interruptions.py::test_s79_the_bridge_clears_where_the_server_cancels",
        "core/turns/test_interruption_gate.py::test_the_bridge_cancels_where_the_policy_forbids_the_server",
    ),
    "S80": (
        "adapters/agents/test_functions.py::test_the_model_gets_the_error_in_its_arguments",
        "adapters/agents/test_functions_in_calls.py::test_several_outputs_cause_one_response_and_bad_arguments_are_corrected",
    ),
    "S81": (
        "adapters/agents/test_functions.py::test_the_options_of_a_function_are_those_of_its_output",
        "adapters/agents/test_functions_in_calls.py::test_several_outputs_cause_one_response_and_bad_arguments_are_corrected",
        "core/call/test_on_command.py::test_deferred_outputs_are_sent_when_all_was_heard",
        "core/call/test_on_command.py::test_several_outputs_cause_one_response_once_all_are_sent",
        "core/call/test_state.py::test_one_follow_up_is_requested_once_all_outputs_are_sent",
        "core/responses/test_requests.py::test_queued_automatic_requests_are_one",
    ),
    "S82": (
        "scenarios/test_agent.py::test_s82_key_tones_are_heard_before_the_stream_is_closed",
        "scenarios/test_agent.py::test_s82_the_goodbye_is_heard_before_the_stream_is_closed",
        "core/call/test_on_command.py::test_a_caller_who_interrupts_the_goodbye_ends_the_call",
        "core/call/test_on_command.py::test_a_stream_without_signs_of_playing_ends_the_call",
        "core/call/test_on_command.py::test_a_goodbye_with_signs_of_playing_is_not_cut",
        "core/call/test_on_command.py::test_hanging_up_after_playback_awaits_the_last_mark",
        "core/call/test_on_twilio.py::test_an_echo_is_a_sign_of_playing",
    ),
    "S83": ("scenarios/test_interruptions.py::test_s83_the_estimate_follows_marks_and_clears",),
    # Long queues, late echoes, lost sockets.
    "S85": (
        "scenarios/test_interruptions.py::test_s85_the_playing_one_of_128_queued_items_is_truncated",
    ),
    "S86": ("scenarios/test_agent.py::test_s86_a_goodbye_without_marks_ends_the_call",),
    "S87": (
        "scenarios/test_agent.py::test_s87_a_muted_caller_cannot_interrupt_a_greeting",
        "core/turns/test_interruption_gate.py::test_an_empty_first_response_protects_nothing",
        "core/turns/test_interruption_gate.py::test_a_first_speech_without_end_is_protected_for_30_seconds",
        "core/turns/test_interruption_gate.py::test_the_first_speech_is_protected_until_it_was_heard",
        "core/turns/test_interruption_gate.py::test_the_first_speech_may_be_a_clip",
    ),
    "S89": (
        "scenarios/test_sockets.py::test_s89_a_lost_model_ends_the_call_at_once",
        "adapters/agents/test_call_in_whole_calls.py::test_losing_the_model_ends_the_call_of_the_agent_immediately",
        "core/test_bridge.py::test_s89_a_model_that_cannot_be_reached_ends_the_call",
    ),
    "S90": (
        "adapters/agents/test_functions.py::test_output_that_is_no_json_is_answered_and_reported",
    ),
    "S91": (
        "scenarios/test_interruptions.py::test_s91_a_late_cancel_does_not_block_the_next_request",
        "core/call/test_on_realtime.py::test_a_late_cancel_is_not_reported",
        "core/turns/test_interrupter.py::test_s91_a_late_cancel_is_no_fault",
    ),
    "S92": ("core/session/test_media_stream.py::test_s92_a_token_comes_in_the_custom_parameters",),
}

REMARKS: Final[dict[str, str]] = {
    "S49": "Binary messages never reach a call: the link drops and reports them.",
    "S52": (
        "There is nothing to restore: a configuration is a value, and a call is configured once."
    ),
    "S60": "What was not heard is deleted, not truncated at 0.",
    "S63": "An interruption stops all that plays; there is none of one response only.",
    "S66": "An interruption is one list of values; none of them can fail here.",
    "S69": "Keepalive and the other limits are those of every link (`test_websocket.py`).",
    "S71": (
        "Approvals are those of MCP (`test_mcp.py`). Guardrails are the application's: "
        "`Interrupt` stops what plays when it comes."
    ),
    "S86": "Others keep the call; the application has asked for its end, and gets it.",
}
