//! What every bus promises, wherever it meets others and however it writes: the same suite runs in
//! memory and on Redis, in JSON and in MessagePack.

pub(crate) mod delivery;
pub(crate) mod foreign_frames;
pub(crate) mod gaps;
pub(crate) mod handlers;
pub(crate) mod lifecycle;
pub(crate) mod logs;
pub(crate) mod panics;
pub(crate) mod queues;
pub(crate) mod sending;
pub(crate) mod shutdown;

macro_rules! promises {
    ($($module:ident: $($promise:ident)*;)*) => {
        promises!(@place memory_json, memory(Json), $($module: $($promise)*;)*);
        promises!(@place memory_messagepack, memory(MessagePack), $($module: $($promise)*;)*);
        promises!(@place redis_json, redis(Json), $($module: $($promise)*;)*);
        promises!(@place redis_messagepack, redis(MessagePack), $($module: $($promise)*;)*);
    };
    (@place $name:ident, $place:ident($format:ident), $($module:ident: $($promise:ident)*;)*) => {
        mod $name {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let place = crate::place::$place(tidings::Format::$format).await;
                    crate::promises::$module::$promise(place).await;
                }
            )*)*
        }
    };
}

promises! {
    delivery:
        an_address_within_a_tagged_type_arrives
        every_node_hears_an_event_once_the_sender_included
        one_senders_events_are_handled_in_the_order_they_were_sent
        the_events_of_several_senders_each_keep_their_order
        a_node_hears_both_formats
        a_payload_of_almost_a_frame_travels
        namespaces_are_apart
        send_to_others_leaves_the_sender_out
        send_to_reaches_one_node
        two_buses_of_one_process_both_hear
        the_context_says_who_sent_what_and_when
        an_event_that_nobody_wants_disturbs_nobody;
    foreign_frames:
        hostile_frames_are_reported_and_the_next_event_is_handled
        one_bad_event_of_a_frame_spoils_only_itself
        an_extension_in_a_field_that_the_type_does_not_know_is_skipped
        a_repeated_frame_is_handled_once_and_a_jump_is_a_gap
        a_lost_last_event_is_noticed_by_the_senders_announcement
        a_strangers_huge_number_hides_no_later_event
        forged_events_in_a_nodes_name_hide_none_of_its_own
        a_forged_position_in_a_nodes_name_hides_none_of_its_events
        a_node_reports_frames_in_its_name_once_and_numbers_on_from_them
        what_a_node_sends_itself_is_not_taken_for_forged
        a_sender_that_starts_again_at_1_is_a_gap_and_is_received
        what_is_missed_only_grows;
    gaps:
        among_thousands_of_senders_none_is_lost_track_of_without_a_gap
        a_member_is_not_forgotten_for_thousands_of_other_senders
        a_shutdown_waits_for_a_running_handler_of_gaps
        off_drops_the_gaps_that_wait_for_a_handler;
    handlers:
        a_handler_that_panics_is_reported_and_the_next_event_is_handled
        a_handler_that_fails_is_reported_and_the_next_event_is_handled
        a_handler_that_hangs_is_reported_and_the_next_event_is_handled
        a_payload_of_the_wrong_type_is_reported_and_the_next_event_is_handled
        a_handler_may_send_register_and_unregister
        a_handler_for_once_is_called_once
        off_waits_for_the_running_call_and_ends_the_calls
        calls_run_together_only_where_that_was_asked_for
        a_slow_handler_does_not_delay_another
        a_struct_can_be_a_handler
        a_missing_state_is_refused_when_the_handler_is_registered
        a_bound_of_zero_is_refused
        a_name_that_is_for_the_buses_themselves_is_refused
        two_payload_types_under_one_name_are_refused
        handlers_of_an_arc_share_one_decoded_value
        a_stream_gives_the_events_in_order_and_ends_with_the_bus;
    queues:
        a_full_queue_that_drops_the_newest_counts_them
        a_full_queue_that_drops_the_oldest_counts_them
        a_slow_handler_loses_nothing_by_default
        a_stuck_handler_loses_what_does_not_fit_and_others_nothing
        a_dropped_stream_has_no_queue_to_fill;
    sending:
        a_receipt_has_the_number_and_the_receivers
        a_name_that_cannot_travel_is_refused_and_nothing_is_sent
        a_payload_larger_than_a_frame_is_refused_and_nothing_is_lost
        a_payload_nested_too_deep_is_refused_and_nothing_is_lost
        a_payload_that_cannot_be_written_is_refused_and_nothing_is_lost
        a_payload_whose_writing_panics_loses_nothing_else
        a_payload_may_ask_how_the_bus_is_while_it_is_written
        what_was_fed_is_all_heard_after_a_flush
        a_send_that_is_dropped_while_its_receiver_is_looked_for_is_reported
        many_tasks_that_await_each_get_their_own_number;
    lifecycle:
        a_shutdown_lets_handlers_finish_and_sends_what_waits
        a_shutdown_counts_what_its_deadline_cut_off
        a_bus_that_was_shut_down_refuses_everything
        dropping_every_handle_ends_the_tasks
        a_dropped_bus_ends_although_calls_overlap
        what_a_handler_was_given_keeps_no_bus_alive
        what_was_fed_still_leaves_when_the_bus_is_dropped
        health_tells_what_was_counted;
    logs:
        a_start_is_logged_once_with_node_namespace_and_address
        a_gap_that_nobody_hears_of_is_logged_as_a_warning
        a_failure_that_nobody_hears_of_is_logged_as_an_error
        a_failure_that_cannot_be_put_in_words_hides_no_later_one;
    panics:
        a_call_that_cannot_even_be_dropped_is_reported_and_the_next_event_is_handled
        a_payload_that_panics_when_it_is_dropped_ends_no_handler_of_those_that_share_it
        a_handler_that_panics_when_it_is_taken_back_is_reported
        a_hook_that_panics_hears_of_the_next_failure
        a_shutdown_ends_well_although_all_that_it_cuts_off_panics
        a_state_and_a_handler_that_panic_when_their_bus_is_dropped_harm_nobody
        an_error_that_panics_when_it_is_logged_and_when_it_is_dropped_harms_nobody;
    shutdown:
        a_handler_may_shut_its_bus_down
        a_shutdown_hears_what_its_own_bus_just_sent
        a_shutdown_hears_what_its_own_bus_just_fed
        shutdowns_at_once_all_end_as_the_first_does
        a_shutdown_that_nobody_waits_for_goes_on
        a_second_shutdown_waits_for_the_one_that_nobody_waits_for
        a_shutdown_counts_what_is_left_of_the_frame_in_hand;
}
