//! What a bus keeps together with the others of its namespace: the same suite runs in memory and on
//! Redis.
#![allow(missing_docs, reason = "each name is the promise")]
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod place;
mod kept {
    pub(crate) mod counters;
    pub(crate) mod members;
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
    counters:
        a_counter_that_nobody_counted_is_zero
        no_two_calls_get_the_same_sum
        a_reset_loses_nothing_that_was_counted
        an_overflow_is_an_error_and_changes_nothing
        a_name_that_cannot_be_part_of_a_key_is_refused
        a_bus_that_was_shut_down_counts_nothing;
    members:
        all_see_all_as_they_describe_themselves
        a_role_that_breaks_the_rules_of_names_is_refused
        whoever_watches_hears_first_who_is_there
        a_bus_that_ends_ends_its_streams
        a_clean_shutdown_is_a_goodbye_at_once
        a_bus_that_is_dropped_says_goodbye
        one_that_crashed_vanishes_once_and_nobody_else_does
        a_bus_without_membership_is_not_listed
        to_send_to_nobody_is_an_error_and_sends_nothing
        one_who_has_left_cannot_be_sent_to
        a_role_is_everybody_who_has_it
        hostile_notices_change_nothing;
}
