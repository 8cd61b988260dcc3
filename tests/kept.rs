//! What a bus keeps together with the others of its namespace: the same suite runs in memory and on
//! Redis.
#![allow(missing_docs, reason = "each name is the promise")]
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod place;
mod kept {
    pub(crate) mod counters;
    mod uncounted;
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
}
