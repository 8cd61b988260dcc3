//! Counters are exact for all processes.

use std::collections::BTreeSet;
use std::time::Duration;

use tidings::{CounterError, SendFailure, Unconfirmed};

use crate::place::Place;

pub(crate) async fn a_new_counter_is_zero(place: Place) {
    let node = place.node().await;
    let visits = node.counter("visits").unwrap();

    assert_eq!(visits.get().await.unwrap(), 0);
    assert_eq!(visits.reset().await.unwrap(), 0);
    assert_eq!(visits.add(-2).await.unwrap(), -2);
}

pub(crate) async fn no_two_calls_get_the_same_sum(place: Place) {
    let (a, b) = place.two_nodes().await;
    let tasks: Vec<_> = (0..100)
        .map(|index| {
            let bus = if index % 2 == 0 { a.bus() } else { b.bus() };
            let visits = bus.counter("visits").unwrap();
            tokio::spawn(async move { visits.add(1).await.unwrap() })
        })
        .collect();

    let mut sums = BTreeSet::new();
    for task in tasks {
        sums.insert(task.await.unwrap());
    }

    assert!(sums.into_iter().eq(1..=100));
}

pub(crate) async fn a_reset_loses_nothing_that_was_counted(place: Place) {
    let (a, b) = place.two_nodes().await;
    let counting = b.counter("visits").unwrap();
    let counting = tokio::spawn(async move {
        for _ in 0..200 {
            counting.add(1).await.unwrap();
        }
    });

    let visits = a.counter("visits").unwrap();
    let mut taken = 0;
    while !counting.is_finished() {
        taken += visits.reset().await.unwrap();
    }
    counting.await.unwrap();

    assert_eq!(taken + visits.get().await.unwrap(), 200);
}

pub(crate) async fn an_overflow_is_an_error_and_changes_nothing(place: Place) {
    let node = place.node().await;
    let visits = node.counter("visits").unwrap();
    visits.add(i64::MAX).await.unwrap();

    let error = visits.add(1).await.unwrap_err();

    assert!(matches!(&error, CounterError::Overflow { counter } if counter == "visits"));
    assert!(!error.is_unknown());
    assert_eq!(visits.get().await.unwrap(), i64::MAX);
}

pub(crate) async fn a_name_that_cannot_be_part_of_a_key_is_rejected(place: Place) {
    let node = place.node().await;
    for name in ["", "a b", "a*", "a}b"] {
        let error = node.counter(name).unwrap_err();
        assert!(matches!(error, CounterError::Name { .. }), "{name:?}");
    }
}

pub(crate) async fn a_bus_that_was_shut_down_counts_nothing(place: Place) {
    let (closed, other) = place.two_nodes().await;
    let visits = closed.counter("visits").unwrap();
    closed.shutdown(Duration::from_secs(5)).await.unwrap();

    let error = visits.add(1).await.unwrap_err();

    let CounterError::Unconfirmed { why: result, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(result, Unconfirmed::NotSent(SendFailure::Closed));
    assert_eq!(other.counter("visits").unwrap().get().await.unwrap(), 0);
}
