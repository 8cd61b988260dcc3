//! The promises of every bus: the same suite runs in memory and on Redis, in JSON and in
//! MessagePack, and on every topology.

pub(crate) mod delivery;
pub(crate) mod foreign_frames;
pub(crate) mod gaps;
pub(crate) mod handlers;
pub(crate) mod headers;
pub(crate) mod lifecycle;
pub(crate) mod logs;
pub(crate) mod panics;
pub(crate) mod queues;
pub(crate) mod sending;
pub(crate) mod shutdown;
pub(crate) mod tap;

macro_rules! promises {
    ($($module:ident: $($promise:ident)*;)*) => {
        crate::place::boxed!($($module: $($promise)*;)*);
        promises!(@place memory_json, memory(Json), $($($promise)*)*);
        promises!(@place memory_messagepack, memory(MessagePack), $($($promise)*)*);
        promises!(@place redis_json, redis(Json), $($($promise)*)*);
        promises!(@place redis_messagepack, redis(MessagePack), $($($promise)*)*);
    };
    (@place $name:ident, $place:ident($format:ident), $($promise:ident)*) => {
        mod $name {
            $(
                #[test]
                fn $promise() {
                    let place = crate::place::$place(tidings::Format::$format);
                    crate::place::check(place, super::boxed::$promise);
                }
            )*
        }
    };
}

promises! {
    delivery:
        an_ip_address_in_a_tagged_type_arrives
        every_node_receives_an_event_once_including_the_sender
        the_events_of_a_sender_are_handled_in_order
        the_events_of_each_sender_keep_their_order
        a_node_receives_both_formats
        a_payload_of_almost_a_frame_is_sent
        namespaces_are_apart
        send_to_others_excludes_the_sender
        send_to_reaches_one_node
        two_buses_of_one_process_both_receive
        the_context_has_the_sender_the_name_and_the_time
        an_event_without_handlers_is_ignored;
    foreign_frames:
        hostile_frames_are_reported_and_the_next_event_is_handled
        an_invalid_event_of_a_frame_affects_no_other
        an_extension_in_a_field_that_the_type_does_not_know_is_skipped
        a_duplicate_frame_is_handled_once_and_a_jump_is_a_gap
        a_lost_last_event_is_detected_by_the_position_of_the_sender
        a_huge_number_of_a_foreign_sender_hides_no_later_event
        forged_events_in_the_name_of_a_node_hide_none_of_its_own
        a_forged_position_in_the_name_of_a_node_hides_none_of_its_events
        a_node_reports_forged_frames_once_and_continues_after_their_numbers
        a_node_s_own_frames_are_not_taken_for_forged
        a_sender_that_starts_again_at_1_is_a_gap_and_is_received
        the_count_of_missed_events_only_grows;
    gaps:
        no_sender_of_thousands_is_forgotten_without_a_gap
        a_member_is_remembered_among_thousands_of_senders
        a_failed_handler_of_gaps_blames_no_sender
        a_shutdown_waits_for_a_running_handler_of_gaps
        off_drops_the_queued_gaps_of_a_handler;
    handlers:
        a_handler_that_panics_is_reported_and_the_next_event_is_handled
        a_handler_that_fails_is_reported_and_the_next_event_is_handled
        a_handler_that_hangs_is_reported_and_the_next_event_is_handled
        a_payload_of_the_wrong_type_is_reported_and_the_next_event_is_handled
        a_handler_may_send_register_and_unregister
        a_once_handler_is_called_once
        off_waits_for_the_running_call_and_ends_the_calls
        calls_run_concurrently_only_with_that_option
        a_slow_handler_does_not_delay_another
        a_struct_can_be_a_handler
        a_missing_state_is_rejected_when_the_handler_is_registered
        a_bound_of_zero_is_rejected
        a_reserved_name_is_rejected
        two_payload_types_under_one_name_are_rejected
        handlers_of_an_arc_share_one_decoded_value
        a_stream_yields_the_events_in_order_and_ends_with_the_bus;
    headers:
        the_headers_of_each_kind_of_send_arrive
        the_headers_of_requests_and_typed_events_arrive
        every_handler_of_an_event_gets_its_headers
        the_header_of_a_foreign_program_arrives
        an_event_with_an_invalid_header_is_not_sent
        a_handler_of_all_events_receives_each_event_in_order
        a_handler_of_all_events_receives_no_event_of_the_buses_themselves;
    queues:
        a_full_queue_that_drops_the_newest_counts_them
        a_full_queue_that_drops_the_oldest_counts_them
        a_slow_handler_loses_nothing_by_default
        a_blocked_handler_loses_events_beyond_its_queue_and_others_none
        a_dropped_stream_has_no_queue_to_fill;
    sending:
        a_receipt_has_the_number_and_the_receivers
        a_name_that_cannot_be_encoded_is_rejected_and_nothing_is_sent
        a_payload_larger_than_a_frame_is_rejected_and_nothing_is_lost
        a_payload_nested_too_deep_is_rejected_and_nothing_is_lost
        a_payload_that_cannot_be_encoded_is_rejected_and_nothing_is_lost
        a_payload_that_panics_when_it_is_encoded_loses_no_other_event
        a_payload_may_read_the_health_of_the_bus_while_it_is_encoded
        a_payload_that_sends_while_it_is_encoded_gets_an_error
        all_fed_events_are_received_after_a_flush
        a_send_that_is_dropped_during_the_lookup_of_its_recipient_is_reported
        concurrent_sends_get_different_numbers;
    lifecycle:
        a_shutdown_lets_handlers_finish_and_sends_queued_events
        a_shutdown_counts_events_cut_off_by_its_deadline
        every_call_after_a_shutdown_is_rejected
        dropping_every_handle_ends_the_tasks
        a_dropped_bus_ends_although_calls_overlap
        the_arguments_of_a_handler_keep_no_bus_alive
        fed_events_are_sent_when_the_bus_is_dropped
        health_has_all_counts;
    logs:
        a_start_is_logged_once_with_node_namespace_and_address
        a_gap_without_a_handler_is_logged_as_a_warning
        a_failure_without_a_hook_is_logged_as_an_error
        a_failure_whose_text_panics_hides_no_later_one;
    panics:
        a_call_that_panics_when_it_is_dropped_is_reported_and_the_next_event_is_handled
        a_payload_that_panics_when_it_is_dropped_ends_no_handler_of_those_that_share_it
        a_payload_that_panics_when_it_is_decoded_is_not_the_call_of_a_once_handler
        a_handler_that_panics_when_it_is_removed_is_reported
        a_hook_that_panics_gets_the_next_failure
        a_shutdown_succeeds_although_all_cancelled_calls_panic
        a_state_and_a_handler_may_panic_when_their_bus_is_dropped
        an_error_may_panic_when_it_is_logged_and_dropped;
    shutdown:
        a_handler_may_shut_down_its_bus
        a_shutdown_handles_events_that_its_bus_just_sent
        a_shutdown_handles_events_that_its_bus_just_fed
        concurrent_shutdowns_have_the_result_of_the_first
        a_shutdown_that_is_not_awaited_continues
        a_second_shutdown_waits_for_a_first_one_that_is_not_awaited
        a_shutdown_counts_the_unhandled_rest_of_a_frame
        a_shutdown_in_a_handler_counts_what_waits_for_that_handler;
    tap:
        a_tap_receives_events_to_all_to_others_and_to_any_node
        a_tap_knows_the_names_of_members
        a_tap_is_no_handler
        a_tap_receives_the_events_of_the_buses_themselves
        a_tap_shows_headers
        a_tap_shows_what_cannot_be_read_where_it_was
        a_tap_shows_a_loss_where_it_happened
        a_slow_tap_counts_what_does_not_fit_and_delays_nobody
        a_tap_ends_with_its_bus
        a_dropped_tap_ends_alone
        a_tap_without_room_is_rejected;
}
