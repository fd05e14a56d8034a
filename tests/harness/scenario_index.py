"""Which tests hold which scenario, and what is to be said where none does, or not all of it.

Tests are named by their file under `tests` and their name. A scenario's number stands in the test's
name, or at the beginning of its docstring.
"""

from typing import Final

__all__ = ["REMARKS", "TESTS"]

TESTS: Final[dict[str, tuple[str, ...]]] = {
    # An interruption: what it clears, cancels, truncates and drops.
    "S01": ("core/turns/test_turn.py::test_s01_an_interruption_of_nothing_sends_nothing",),
    "S02": ("core/turns/test_turn.py::test_s02_a_whole_item_is_truncated_where_it_was_cleared",),
    "S03": (
        "core/turns/test_turn.py::test_s03_two_interruptions_send_one_clear_cancel_and_truncate",
    ),
    "S04": ("core/turns/test_turn.py::test_s04_a_position_is_in_ms_rounded_down",),
    "S05": ("core/turns/test_turn.py::test_s05_queued_items_are_each_corrected_by_their_position",),
    "S06": ("core/turns/test_turn.py::test_s06_the_echo_of_a_cleared_mark_changes_nothing",),
    "S08": (
        "core/turns/test_turn.py::test_s08_audio_of_a_response_interrupted_before_it_is_dropped",
    ),
    "S09": (
        "scenarios/test_sockets.py::test_s09_an_interruption_after_the_application_hung_up_raises_and_sends_nothing",
        "core/test_bridge.py::test_s09_s10_after_the_end_nothing_has_an_effect",
    ),
    "S10": (
        "scenarios/test_sockets.py::test_s10_an_interruption_after_a_peer_was_lost_raises_and_sends_nothing",
        "core/test_bridge.py::test_s09_s10_after_the_end_nothing_has_an_effect",
    ),
    "S11": (
        "scenarios/test_interruptions.py::test_s11_a_call_after_another_corrects_its_own_item_and_passes_each_frame_on_once",
        "scenarios/test_interruptions.py::test_s11_another_stream_of_the_same_socket_is_cleared_and_its_caller_passed_on",
    ),
    "S13": ("core/turns/test_turn.py::test_s13_an_item_heard_to_the_end_is_left_alone",),
    # The caller: formats, gaps, streams, and messages that are wrong.
    "S16": (
        "scenarios/test_caller.py::test_s16_a_raw_update_to_another_format_is_refused_and_nothing_is_sent",
        "scenarios/test_caller.py::test_s16_a_session_of_any_shape_is_sent_with_both_formats_and_keeps_the_rest",
        "core/config/test_audio_format.py::test_s16_a_format_by_its_beta_name_is_misuse",
        "core/config/test_audio_format.py::test_s16_a_session_in_another_format_is_misuse",
        "core/session/test_session.py::test_s16_a_later_update_is_pinned_and_gets_an_id_if_it_has_none",
        "core/config/test_session.py::test_s16_a_configuration_in_another_format_cannot_be_made",
        "core/config/test_session.py::test_s16_a_configuration_with_a_beta_format_cannot_be_made",
        "core/config/test_session.py::test_s16_nested_audio_settings_are_kept_beside_ours",
        "core/config/test_session.py::test_s16_no_configuration_names_the_phone_s_format_both_ways_and_nothing_else",
    ),
    "S17": (
        "core/config/test_call.py::test_s17_a_time_out_of_range_is_misuse",
        "core/config/test_call.py::test_s17_silence_fills_a_gap_after_750_ms_unless_told_otherwise",
    ),
    "S18": (
        "scenarios/test_caller.py::test_s18_frames_from_before_the_session_wait_and_go_out_in_order_once_it_is_ready",
        "scenarios/test_caller.py::test_s18_the_end_of_twilio_s_socket_closes_the_model_s",
        "core/downlink/test_downlink.py::test_s18_the_echo_of_an_unknown_mark_is_a_fault",
        "core/session/test_media_stream.py::test_s18_a_bad_message_is_a_fault_and_the_call_goes_on",
    ),
    "S19": (
        "scenarios/test_caller.py::test_s19_a_frame_that_is_missing_is_silence_before_the_next",
    ),
    "S20": ("scenarios/test_caller.py::test_s20_audio_of_another_format_gets_no_silence",),
    "S21": ("scenarios/test_caller.py::test_s21_without_a_time_nothing_is_inferred",),
    "S22": ("scenarios/test_caller.py::test_s22_a_clock_that_was_set_back_begins_anew",),
    "S23": ("scenarios/test_caller.py::test_s23_a_gap_of_twenty_seconds_is_filled_with_ten",),
    "S24": (
        "scenarios/test_caller.py::test_s24_a_speaker_whose_frames_stop_is_followed_by_a_second_of_silence_once",
    ),
    "S26": (
        "scenarios/test_caller.py::test_s26_nothing_follows_a_speaker_who_has_stopped_in_time",
    ),
    "S27": ("scenarios/test_caller.py::test_s27_the_time_is_as_configured",),
    "S28": ("scenarios/test_caller.py::test_s28_without_a_time_nothing_ever_follows",),
    "S30": (
        "scenarios/test_caller.py::test_s30_another_stream_begins_without_a_gap_and_without_a_speaker",
    ),
    "S31": (
        "scenarios/test_caller.py::test_s31_nothing_of_a_wrong_message_is_told_but_what_was_wrong_with_it",
    ),
    "S32": (
        "scenarios/test_caller.py::test_s32_mark_names_are_unique_in_the_call_and_say_nothing_of_what_is_behind_them",
    ),
    "S33": (
        "scenarios/test_caller.py::test_s33_the_clear_of_another_stream_goes_there_and_nothing_of_the_old_is_known",
    ),
    # The model: requests, errors, positions at their limits, events of every shape, and sockets.
    "S34": (
        "scenarios/test_model.py::test_s34_a_request_has_an_id_is_answered_cancelled_once_and_makes_room",
    ),
    "S35": (
        "scenarios/test_model.py::test_s35_a_request_that_cannot_be_sent_is_refused_at_once_and_takes_nobody_s_place",
        "scenarios/test_model.py::test_s35_a_request_whose_socket_was_lost_is_counted_at_the_end",
    ),
    "S36": (
        "scenarios/test_model.py::test_s36_s38_an_error_of_something_else_leaves_the_request_and_its_own_error_releases_it",
    ),
    "S37": (
        "core/responses/test_requests.py::test_a_request_that_met_an_active_response_is_sent_again",
        "core/responses/test_requests.py::test_an_error_without_event_id_may_name_response_create",
    ),
    "S38": (
        "scenarios/test_model.py::test_s36_s38_an_error_of_something_else_leaves_the_request_and_its_own_error_releases_it",
        "scenarios/test_model.py::test_s38_what_still_waits_when_the_call_ends_is_not_sent",
    ),
    "S39": (
        "core/call/test_on_command.py::test_an_interruption_and_a_message_cancel_truncate_add_and_only_then_ask",
    ),
    "S41": ("scenarios/test_model.py::test_s41_an_item_given_after_a_request_follows_it",),
    "S42": (
        "core/call/test_on_command.py::test_a_request_by_hand_waits_for_the_response_under_way_and_keeps_its_parameters",
    ),
    "S43": (
        "core/call/test_on_realtime.py::test_a_request_that_is_refused_for_good_is_told_and_the_next_is_made",
        "core/responses/test_requests.py::test_an_error_releases_its_request_and_sends_the_next",
    ),
    "S44": (
        "scenarios/test_model.py::test_s44_a_request_with_parameters_is_not_taken_for_an_automatic_one",
    ),
    "S46": ("core/turns/test_turn.py::test_s46_an_interruption_after_all_was_heard_sends_nothing",),
    "S47": (
        "scenarios/test_interruptions.py::test_s47_a_position_is_whole_rounded_down_and_never_beyond_the_audio",
    ),
    "S48": (
        "scenarios/test_interruptions.py::test_s48_after_hanging_up_an_interruption_does_nothing_before_and_after_the_sockets_close",
    ),
    "S49": (
        "scenarios/test_model.py::test_s49_the_text_of_every_event_can_be_had_as_it_came",
        "core/test_bridge.py::test_s49_a_bad_event_is_a_fault_and_the_call_goes_on",
        "core/test_bridge.py::test_s49_an_unknown_event_passes_unseen",
        "core/call/test_on_realtime.py::test_what_is_no_event_is_a_fault_and_what_is_not_known_passes",
    ),
    "S50": (
        "scenarios/test_caller.py::test_s50_audio_of_the_application_waits_for_the_session_and_comes_to_nothing_after_it",
    ),
    "S51": (
        "core/config/test_session.py::test_s51_null_is_sent_where_the_protocol_has_it",
        "core/session/test_effective_session.py::test_s51_tracing_can_be_switched_off_and_then_on_again",
    ),
    "S52": (
        "scenarios/test_model.py::test_s52_a_hang_up_while_the_model_is_dialled_gives_it_up_and_ends_once",
        "scenarios/test_model.py::test_s52_a_second_socket_is_misuse_and_the_first_goes_on",
        "scenarios/test_sockets.py::test_s52_a_call_that_ends_while_the_model_is_dialled_leaves_nothing_behind",
        "adapters/agents/test_call.py::test_an_exception_of_a_handler_ends_the_call",
        "adapters/agents/test_call.py::test_cancelling_ends_the_agent_immediately",
        "adapters/agents/test_call.py::test_commands_are_sent_in_order_and_ignored_after_the_end",
    ),
    "S53": (
        "core/config/test_call.py::test_s53_the_model_is_in_the_query_unless_the_url_has_its_own",
    ),
    # Positions, cancels, and what outlives what.
    "S54": (
        "scenarios/test_interruptions.py::test_s54_what_the_phone_has_played_is_where_the_item_is_truncated",
    ),
    "S55": (
        "scenarios/test_interruptions.py::test_s55_between_two_answers_there_is_nothing_to_interrupt",
    ),
    "S56": ("core/turns/test_turn.py::test_s56_audio_heard_without_an_echo_is_not_truncated",),
    "S57": ("core/turns/test_turn.py::test_s57_the_position_is_at_most_what_was_sent",),
    "S58": (
        "scenarios/test_interruptions.py::test_s58_audio_that_comes_before_the_session_is_confirmed_is_played_and_can_be_cut",
    ),
    "S59": (
        "scenarios/test_caller.py::test_s59_a_sample_is_a_byte_however_the_server_spells_the_format",
        "scenarios/test_caller.py::test_s59_a_server_that_takes_another_format_ends_the_call",
    ),
    "S60": (
        "scenarios/test_interruptions.py::test_s60_time_that_runs_backwards_is_refused_and_nothing_heard_is_deleted",
    ),
    "S61": (
        "core/turns/test_interruption_gate.py::test_the_session_is_told_to_leave_it_to_us_and_then_we_cancel",
        "core/session/test_effective_session.py::test_s61_who_cancels_is_as_the_server_last_told_and_the_server_before",
        "core/turns/test_turn.py::test_s61_the_bridge_cancels_for_the_application",
        "core/turns/test_turn.py::test_s61_the_server_cancels_for_the_caller",
    ),
    "S62": (
        "scenarios/test_interruptions.py::test_s62_a_cancel_of_the_response_alone_leaves_its_audio_and_is_not_sent_again",
        "scenarios/test_interruptions.py::test_s62_after_a_cancel_that_failed_the_audio_can_still_be_interrupted",
    ),
    "S63": (
        "scenarios/test_interruptions.py::test_s63_stopping_what_plays_without_a_cancel_leaves_the_response_after_it_alone",
    ),
    "S65": ("scenarios/test_model.py::test_s65_a_long_call_holds_no_more_than_a_short_one",),
    "S66": (
        "scenarios/test_interruptions.py::test_s66_an_interruption_of_which_the_server_refuses_a_part_is_done_all_the_same",
        "adapters/agents/test_call.py::test_several_failures_are_reported_together_in_order",
    ),
    "S67": (
        "scenarios/test_model.py::test_s67_what_is_added_while_a_request_is_unanswered_gets_a_turn_of_its_own",
    ),
    "S68": ("scenarios/test_model.py::test_s68_a_cancelled_request_makes_room_for_the_next",),
    "S69": (
        "scenarios/test_sockets.py::test_s69_a_message_longer_than_the_limit_ends_the_link_and_the_call",
        "scenarios/test_sockets.py::test_s69_a_model_that_does_not_answer_the_handshake_is_given_up_in_time",
        "adapters/agents/test_call.py::test_an_agent_reads_notifications_in_order_until_the_end",
    ),
    "S70": (
        "scenarios/test_model.py::test_s70_a_voice_that_is_an_object_is_read",
        "scenarios/test_model.py::test_s70_an_answer_in_text_is_told_as_text",
        "scenarios/test_model.py::test_s70_an_item_at_the_front_says_so_and_one_that_is_none_is_a_fault_and_no_end",
        "scenarios/test_model.py::test_s70_usage_is_told_with_the_end_of_its_response_and_none_where_there_is_none",
        "core/conversation/test_conversation.py::test_s70_an_item_without_a_previous_one_is_first",
        "core/values/test_usage.py::test_what_is_no_usage_tells_nothing",
    ),
    "S71": (
        "scenarios/test_model.py::test_s71_when_a_tool_of_an_mcp_server_has_answered_the_model_goes_on",
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
        "core/call/test_on_realtime.py::test_items_are_told_as_they_come_are_completed_and_go",
        "core/responses/test_function_calls.py::test_a_call_is_notified_once",
        "core/test_traces.py::test_items_are_told_in_the_recorded_order",
    ),
    "S72": (
        "scenarios/test_interruptions.py::test_s72_the_first_words_of_the_next_call_touch_no_item_of_the_last",
    ),
    # The agent: greetings, barge-in, functions, goodbyes.
    "S73": (
        "scenarios/test_agent.py::test_s73_a_greeting_of_the_application_s_own_is_told_with_all_its_300_ms",
        "scenarios/test_agent.py::test_s73_a_short_greeting_has_a_mark_at_its_beginning_and_one_at_its_end",
    ),
    "S75": (
        "scenarios/test_agent.py::test_s75_the_model_s_memory_ends_where_the_phone_was_when_it_fell_silent",
        "scenarios/test_interruptions.py::test_s75_a_barge_in_after_200_of_600_ms_clears_and_truncates_at_200",
    ),
    "S76": (
        "core/call/test_on_realtime.py::test_a_caller_who_may_not_interrupt_yet_is_told_so_and_nothing_is_cleared",
        "core/turns/test_interruption_gate.py::test_little_of_a_reply_must_be_heard_before_it_can_be_interrupted",
    ),
    "S77": (
        "scenarios/test_interruptions.py::test_s77_an_interruption_while_the_model_speaks_on_clears_cancels_and_drops_the_rest",
    ),
    "S78": (
        "core/call/test_on_realtime.py::test_a_caller_who_may_not_interrupt_is_answered_once_the_agent_has_ended",
        "core/turns/test_turn.py::test_a_turn_that_the_server_answers_is_answered_once",
        "core/turns/test_turn.py::test_a_turn_during_a_protected_response_is_answered_afterwards",
    ),
    "S79": (
        "scenarios/test_interruptions.py::test_s79_where_the_server_cancels_by_itself_the_audio_is_cleared_and_nothing_cancelled",
        "core/turns/test_interruption_gate.py::test_the_session_is_told_to_leave_it_to_us_and_then_we_cancel",
    ),
    "S80": (
        "adapters/agents/test_functions.py::test_the_model_gets_the_error_in_its_arguments",
        "adapters/agents/test_functions_in_calls.py::test_several_outputs_cause_one_response_and_bad_arguments_are_corrected",
    ),
    "S81": (
        "adapters/agents/test_functions.py::test_the_options_of_a_function_are_those_of_its_output",
        "adapters/agents/test_functions_in_calls.py::test_several_outputs_cause_one_response_and_bad_arguments_are_corrected",
        "core/call/test_on_command.py::test_an_output_that_waits_is_given_when_all_was_heard_and_one_response_follows",
        "core/call/test_on_command.py::test_several_outputs_cause_one_response_once_all_are_given",
        "core/call/test_state.py::test_one_follow_up_is_requested_once_all_outputs_are_sent",
        "core/responses/test_requests.py::test_queued_automatic_requests_are_one",
    ),
    "S82": (
        "scenarios/test_agent.py::test_s82_keys_that_are_played_are_heard_before_the_line_is_closed",
        "scenarios/test_agent.py::test_s82_the_caller_hears_the_goodbye_to_its_end_before_the_line_is_closed",
        "core/call/test_on_command.py::test_a_caller_who_talks_over_the_goodbye_ends_the_call_at_once",
        "core/call/test_on_command.py::test_a_line_without_a_sign_of_playing_is_dead_after_ten_seconds",
        "core/call/test_on_command.py::test_a_slow_goodbye_is_not_cut_while_there_are_signs_of_playing",
        "core/call/test_on_command.py::test_hanging_up_once_heard_waits_for_the_last_mark",
        "core/call/test_on_twilio.py::test_an_echo_is_a_sign_that_the_goodbye_is_being_played",
    ),
    "S83": (
        "scenarios/test_interruptions.py::test_s83_the_estimate_goes_on_from_the_marks_ends_with_the_clear_and_begins_anew",
    ),
    # Long queues, late echoes, lost sockets.
    "S85": (
        "scenarios/test_interruptions.py::test_s85_of_128_queued_items_the_one_under_way_is_cut_though_receipts_are_100_ms_late",
    ),
    "S86": (
        "scenarios/test_agent.py::test_s86_a_goodbye_whose_marks_are_lost_ends_the_call_when_it_must_have_been_heard",
    ),
    "S87": (
        "scenarios/test_agent.py::test_s87_while_a_greeting_plays_a_muted_caller_cannot_interrupt_it",
        "core/turns/test_interruption_gate.py::test_a_first_response_without_a_word_protects_nothing",
        "core/turns/test_interruption_gate.py::test_first_words_without_end_are_protected_for_half_a_minute",
        "core/turns/test_interruption_gate.py::test_the_first_words_are_protected_until_they_were_heard",
        "core/turns/test_interruption_gate.py::test_the_first_words_may_be_audio_of_ones_own",
    ),
    "S89": (
        "scenarios/test_sockets.py::test_s89_when_the_model_s_socket_dies_the_caller_is_hung_up_on_at_once",
        "adapters/agents/test_call_in_whole_calls.py::test_losing_the_model_ends_the_call_of_the_agent_immediately",
        "core/test_bridge.py::test_s89_a_model_that_cannot_be_reached_ends_the_call",
    ),
    "S90": (
        "adapters/agents/test_functions.py::test_output_that_is_no_json_is_answered_and_reported",
    ),
    "S91": (
        "scenarios/test_interruptions.py::test_s91_the_cancel_that_came_too_late_does_not_hold_up_the_next_request",
        "core/call/test_on_realtime.py::test_a_cancel_that_came_too_late_is_silent",
        "core/turns/test_turn.py::test_s91_a_late_cancel_is_no_fault",
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
