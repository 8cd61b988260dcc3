//! What a bus keeps together with the others of its namespace: the same suite runs in memory and on
//! Redis.
#![allow(missing_docs, reason = "each name is the promise")]
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod place;
mod kept {
    pub(crate) mod asks;
    pub(crate) mod counters;
}

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
                    crate::kept::$module::$promise(place).await;
                }
            )*)*
        }
    };
}

promises! {
    asks:
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
}
