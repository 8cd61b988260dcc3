//! What a bus keeps together with the others of its namespace: the same suite runs in memory and on
//! Redis.

mod corrupted_values;
mod counter_errors;
pub(crate) mod counters;
mod data_loss;
mod invalidations;
pub(crate) mod maps;
mod maps_in_redis;
pub(crate) mod members;
mod memory_lifetime;
pub(crate) mod panics;
mod raw_redis;
mod read_only;
pub(crate) mod requests;
pub(crate) mod values;
mod values_in_redis;

macro_rules! promises {
    ($($module:ident: $($promise:ident)*;)*) => {
        promises!(@place in_memory, memory, $($module: $($promise)*;)*);
        promises!(@place on_redis, redis, $($module: $($promise)*;)*);
    };
    (@place $name:ident, $place:ident, $($module:ident: $($promise:ident)*;)*) => {
        mod $name {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let place = crate::place::$place(tidings::Format::Json).await;
                    crate::shared_state::$module::$promise(place).await;
                }
            )*)*
        }
    };
}

promises! {
    requests:
        every_member_answers_the_one_who_asks_included
        a_member_that_is_slow_does_not_hold_back_the_others
        who_fails_is_named_with_its_words
        who_cannot_read_the_payload_says_so
        who_has_no_handler_says_so
        who_does_not_answer_in_time_is_named
        a_member_that_leaves_is_not_waited_for
        who_joined_late_is_heard_and_told_apart
        of_several_handlers_all_must_succeed
        answers_come_in_whatever_format_they_are_written
        an_event_that_a_full_queue_drops_is_named_as_not_handled
        an_answer_of_another_type_is_an_error_of_that_member_alone
        an_answer_that_cannot_be_written_is_a_failure
        answers_that_nobody_asked_for_are_ignored
        asks_that_cannot_be_answered_are_events_like_all
        two_asks_at_once_do_not_mix
        an_event_is_acknowledged_by_whom_it_is_for
        an_event_of_a_stream_is_handled_when_it_is_read
        a_stream_that_is_not_read_on_holds_up_no_answer
        a_bus_that_is_shut_down_answers_what_it_still_handles
        a_bus_that_is_being_shut_down_says_so
        a_stream_that_is_dropped_while_its_bus_ends_completes_no_request
        a_bus_that_is_dropped_says_what_it_has_not_handled
        a_bus_that_is_shut_down_asks_nothing
        asks_that_are_dropped_leave_nothing_behind
        no_deadline_is_too_short_or_too_long
        a_handler_may_ask_itself
        an_outgoing_queue_that_is_full_only_delays_answers;
    counters:
        a_counter_that_nobody_counted_is_zero
        no_two_calls_get_the_same_sum
        a_reset_loses_nothing_that_was_counted
        an_overflow_is_an_error_and_changes_nothing
        a_name_that_cannot_be_part_of_a_key_is_refused
        a_bus_that_was_shut_down_counts_nothing;
    panics:
        a_shared_value_that_panics_when_it_is_dropped_is_reported_and_ends_nothing
        an_entry_that_panics_when_it_is_dropped_is_reported_and_ends_nothing
        an_update_whose_value_panics_when_it_is_written_fails_alone;
    values:
        what_one_process_sets_all_see
        a_value_that_nobody_set_is_none
        a_value_outlives_who_wrote_it
        no_update_of_two_processes_is_lost
        updates_that_wait_together_each_return_what_they_made
        one_bad_update_spoils_no_other
        what_a_process_has_written_it_sees
        tasks_that_compete_see_what_they_have_written_or_newer
        who_watches_sees_the_newest_and_not_each_before
        who_watches_what_was_not_read_is_told_when_it_is
        a_watch_ends_with_its_bus
        a_value_that_is_cleared_is_gone_for_all
        a_value_whose_time_is_up_is_found_by_the_check
        one_name_is_of_one_type_on_a_bus
        all_who_ask_for_a_name_get_the_same_copy
        buses_of_different_formats_share_values
        after_a_storm_all_copies_are_the_same
        what_nobody_could_read_is_not_written
        a_value_of_32_levels_reaches_every_process;
    maps:
        an_entry_is_what_was_set_last_by_anybody
        a_change_takes_one_entry_away_and_leaves_the_others
        a_loader_runs_once_for_all_who_ask
        a_loader_that_fails_is_told_to_all_who_wait_and_asked_again
        another_loader_runs_where_one_was_dropped
        an_invalidation_reaches_every_process
        a_loader_that_was_overtaken_brings_nothing_back
        who_asks_after_an_invalidation_gets_nothing_older
        what_is_set_while_a_loader_runs_stays
        no_update_is_lost
        who_watches_an_entry_sees_the_newest
        who_watches_a_map_is_told_which_entries_change
        an_entry_that_changed_often_is_told_once
        no_more_is_at_hand_than_there_is_room_for
        without_room_everything_is_read
        all_entries_can_be_taken_out_at_once
        all_entries_can_be_read
        one_name_has_one_type_and_one_copy
        a_key_that_is_too_long_is_an_error
        a_bus_that_was_shut_down_shares_nothing;
    members:
        all_see_all_as_they_describe_themselves
        a_role_that_breaks_the_rules_of_names_is_refused
        whoever_watches_hears_first_who_is_there
        a_bus_that_ends_ends_its_streams
        a_clean_shutdown_is_a_goodbye_at_once
        a_bus_that_is_dropped_says_goodbye
        one_that_crashed_vanishes_once_and_nobody_else_does
        a_stranger_does_not_list_the_dead_whom_nobody_takes_off
        a_bus_without_membership_is_not_listed
        to_send_to_nobody_is_an_error_and_sends_nothing
        one_who_has_left_cannot_be_sent_to
        a_role_is_everybody_who_has_it
        hostile_notices_change_nothing;
}
