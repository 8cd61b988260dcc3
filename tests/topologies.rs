//! Every promise holds on every topology: the suites run on sentinels and on a Redis Cluster, each
//! promise in a namespace of its own.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::{Mutex, PoisonError};
use std::thread;

use tidings_testkit::{Cluster, Sentinels};

use crate::place::{self, Foreign, Place, Promise, shared};
use crate::{promises, shared_state};

/// The promises that run at the same time: most of them wait.
const AT_ONCE: usize = 8;

/// Promises that look at the log of the program, which several of them would share.
const NEED_A_LOG: &str = "logs::";

/// Promises that need one server for all. A cluster does not count the receivers of a send, by which
/// the first three find that a bus has gone. In the last one a response and a leave travel from two
/// nodes, and either may arrive first.
const NEED_ONE_SERVER: [&str; 4] = [
    "lifecycle::dropping_every_handle_ends_the_tasks",
    "lifecycle::a_dropped_bus_ends_although_calls_overlap",
    "lifecycle::the_arguments_of_a_handler_keep_no_bus_alive",
    "requests::a_dropped_bus_logs_the_events_that_it_has_not_handled",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_promise_holds_with_sentinels() {
    let sentinels = Sentinels::start().await;
    let foreign = Foreign::on(sentinels.master().await);
    let url = sentinels.url();
    let keep = |namespace| shared(&url, namespace, foreign.clone());

    check(|_| true, keep);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_promise_holds_on_a_cluster() {
    let cluster = Cluster::start().await;
    let foreign = cluster.servers().next().expect("it has six servers");
    let foreign = Foreign::in_cluster(foreign, "PUBLISH");
    let url = cluster.url();
    let keep = |namespace| shared(&url, namespace, foreign.clone());

    check(|name| !NEED_ONE_SERVER.contains(&name), keep);
}

/// Runs all promises with these names, each on a place of its own, and names those that fail.
fn check(is_wanted: impl Fn(&str) -> bool, place: impl Fn(String) -> Place + Sync) {
    let all = promises::all().into_iter().chain(shared_state::all());
    let wanted = all.filter(|(name, _)| !name.starts_with(NEED_A_LOG) && is_wanted(name));
    let waiting: Mutex<VecDeque<_>> = Mutex::new(wanted.enumerate().collect());
    let failed = Mutex::new(Vec::new());
    let lock_waiting = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        while let Some((index, promise)) = { lock_waiting().pop_front() } {
            if !holds(promise, place(format!("place-{index}"))) {
                failed.lock().unwrap().push(promise.0);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "these promises do not hold: {failed:#?}");
}

/// Runs one promise on a thread and a runtime of its own, as a test has them.
fn holds((name, promise): (&str, Promise), place: Place) -> bool {
    let run = move || place::check(ready(place), promise);
    // A panic prints the name of its thread.
    let running = thread::Builder::new().name(name.to_owned()).spawn(run);
    running.unwrap().join().is_ok()
}
