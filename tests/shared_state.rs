//! Shared state of a namespace: the same suite runs in memory and on Redis, and on every topology.

mod corrupted_values;
mod counter_errors;
pub(crate) mod counters;
mod data_loss;
pub(crate) mod inspect;
mod invalidations;
pub(crate) mod maps;
mod maps_in_redis;
pub(crate) mod members;
mod memory_lifetime;
pub(crate) mod panics;
mod raw_redis;
mod read_only;
pub(crate) mod requests;
pub(crate) mod single_requests;
pub(crate) mod values;
mod values_in_redis;
mod watches;

macro_rules! promises {
    ($($module:ident: $($promise:ident)*;)*) => {
        crate::place::boxed!($($module: $($promise)*;)*);
        promises!(@place in_memory, memory, $($($promise)*)*);
        promises!(@place on_redis, redis, $($($promise)*)*);
    };
    (@place $name:ident, $place:ident, $($promise:ident)*) => {
        mod $name {
            $(
                #[test]
                fn $promise() {
                    let place = crate::place::$place(tidings::Format::Json);
                    crate::place::check(place, super::boxed::$promise);
                }
            )*
        }
    };
}

promises! {
    requests:
        every_member_responds_including_the_sender
        a_request_to_others_is_not_answered_by_the_sender
        a_slow_member_does_not_delay_the_others
        a_member_that_fails_is_named_with_its_error
        a_member_that_cannot_decode_the_payload_is_reported
        a_member_without_a_handler_is_reported
        a_member_that_does_not_respond_in_time_is_named
        a_member_that_leaves_is_not_waited_for
        a_member_that_joined_late_responds_and_is_told_apart
        of_several_handlers_all_must_succeed
        responses_in_every_format_are_accepted
        an_event_that_a_full_queue_drops_is_named_as_not_handled
        a_response_of_another_type_is_an_error_of_that_member_alone
        a_response_that_cannot_be_encoded_is_a_failure
        responses_without_a_request_are_ignored
        requests_that_cannot_be_answered_are_events_like_others
        concurrent_requests_do_not_mix
        an_event_counts_as_acknowledged_by_its_recipients
        an_event_of_a_stream_counts_as_handled_when_it_is_read
        an_unread_stream_delays_no_response
        a_bus_responds_to_requests_that_it_still_handles_during_a_shutdown
        health_says_that_a_bus_is_shutting_down
        a_stream_that_is_dropped_while_its_bus_ends_completes_no_request
        a_dropped_bus_logs_the_events_that_it_has_not_handled
        a_request_after_the_shutdown_is_rejected
        dropped_requests_leave_no_state
        any_timeout_is_accepted
        a_handler_may_send_a_request_to_its_own_bus
        a_full_send_buffer_only_delays_responses;
    single_requests:
        the_addressed_member_alone_responds
        a_member_with_the_role_responds
        a_request_to_nobody_is_an_error
        a_failed_handler_is_an_error_of_the_response
        a_member_that_does_not_respond_or_leaves_is_an_error;
    counters:
        a_new_counter_is_zero
        no_two_calls_get_the_same_sum
        a_reset_loses_nothing_that_was_counted
        an_overflow_is_an_error_and_changes_nothing
        a_name_that_cannot_be_part_of_a_key_is_rejected
        a_bus_that_was_shut_down_counts_nothing;
    panics:
        a_shared_value_that_panics_when_it_is_dropped_is_reported_and_ends_no_task
        an_entry_that_panics_when_it_is_dropped_is_reported_and_ends_no_task
        an_update_whose_value_panics_when_it_is_encoded_fails_alone;
    values:
        every_process_sees_a_value_that_one_sets
        a_value_that_was_never_set_is_absent
        a_value_is_replaced_only_if_it_is_the_expected_one
        an_update_replaced_within_its_batch_is_never_the_expected_value
        a_value_outlives_the_process_that_wrote_it
        no_update_of_two_processes_is_lost
        updates_that_are_written_together_each_return_their_value
        a_failed_update_affects_no_other
        a_process_sees_its_own_writes
        concurrent_tasks_see_their_own_writes_or_newer_ones
        a_watch_sees_the_newest_value_and_may_skip_others
        a_watch_of_an_unread_value_is_notified_of_the_first_read
        a_watch_ends_with_its_bus
        a_cleared_value_is_absent_for_all
        an_expired_value_is_detected_by_the_periodic_comparison
        a_name_has_one_type_on_a_bus
        all_handles_of_a_name_share_one_copy
        buses_of_different_formats_share_values
        all_copies_are_equal_after_concurrent_writes
        a_value_that_could_not_be_read_back_is_not_written
        a_value_of_32_levels_reaches_every_process;
    maps:
        an_entry_has_the_value_that_any_process_set_last
        a_change_invalidates_one_cached_entry_and_no_other
        a_loader_runs_once_for_concurrent_callers
        a_failed_load_is_reported_to_all_callers_and_tried_again
        a_dropped_load_is_replaced_by_another
        an_invalidation_reaches_every_process
        an_outdated_load_does_not_restore_an_entry
        a_read_after_an_invalidation_returns_nothing_older
        a_value_set_during_a_load_stays
        no_update_is_lost
        an_entry_watch_sees_the_newest_value
        a_map_watch_reports_the_changed_entries
        repeated_changes_of_an_entry_are_reported_once
        no_more_entries_are_cached_than_allowed
        a_map_without_a_cache_reads_from_redis
        all_entries_can_be_invalidated_at_once
        all_entries_can_be_read
        a_map_is_empty_once_its_last_entry_has_expired
        an_expired_entry_counts_while_another_one_lives
        a_name_has_one_type_and_one_copy
        a_key_that_is_too_long_is_an_error
        a_bus_that_was_shut_down_shares_nothing;
    members:
        every_member_sees_the_descriptions_of_all
        an_invalid_role_is_rejected
        a_member_watch_begins_with_the_present_members
        a_bus_that_ends_ends_its_streams
        a_clean_shutdown_is_reported_as_a_leave_at_once
        a_dropped_bus_leaves_the_member_list
        a_crashed_member_is_reported_gone_once_and_no_other_is
        a_bus_that_is_no_member_does_not_list_expired_members
        a_bus_without_membership_is_not_listed
        a_bus_without_membership_sends_to_members_alone
        a_send_to_no_recipient_is_an_error_and_sends_nothing
        a_member_that_has_left_cannot_be_sent_to
        a_role_is_every_member_that_has_it
        hostile_notifications_change_nothing;
    inspect:
        a_bus_tells_the_others_its_state
        an_inspection_names_what_was_missed_and_no_address
        a_bus_makes_no_more_than_one_inspection_a_second
        a_bus_can_keep_its_state_to_itself
        an_inspection_of_many_handlers_says_how_many_it_leaves_out
        requests_to_inspect_that_cannot_be_answered_are_ignored;
}
