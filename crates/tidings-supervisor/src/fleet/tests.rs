//! Tests of the decisions of the fleet.

mod chaos;
mod pauses;
mod reloads;
mod restarts;
mod workers;

use std::time::{Duration, Instant};

use super::{
    Action, CrashLoop, Fleet, Key, Policy, ReloadStart, ReloadStrategy, Reloaded, Ticket,
    WorkerExit,
};
use crate::backoff::Backoff;
use crate::error::ReloadError;
use crate::event::SupervisorEvent;
use crate::exit::Exit;
use crate::notify::Notification;
use crate::ready::ReadyWhen;
use crate::status::WorkerState;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// Delays begin with a second, and a slot fails after ten deaths in a minute.
fn policy(workers: usize) -> Policy {
    Policy {
        workers,
        ready_when: ReadyWhen::Notified,
        ready_timeout: 30 * SECOND,
        stop_timeout: 10 * SECOND,
        backoff: Backoff::default()
            .min_delay(SECOND)
            .max_delay(8 * SECOND)
            .reset_after(60 * SECOND),
        crash_loop: CrashLoop {
            deaths: 10,
            within: 60 * SECOND,
        },
        watchdog: None,
    }
}

/// A fleet with a manual clock, and its actions.
struct FleetTest {
    fleet: Fleet,
    /// The time by the system's clock.
    real: Instant,
    /// Actions that the test has not taken yet, without events.
    actions: Vec<Action>,
    events: Vec<SupervisorEvent>,
    tickets: u64,
}

impl FleetTest {
    /// No worker is ready yet.
    fn start(policy: Policy) -> Self {
        let now = Instant::now();
        // Without jitter.
        let fleet = Fleet::start(policy, || 1.0, now);
        let mut test = Self {
            fleet,
            real: now,
            actions: Vec::new(),
            events: Vec::new(),
            tickets: 0,
        };
        test.collect();
        test
    }

    /// All workers are ready. The worker of slot n has the key n.
    fn with_all_ready(policy: Policy) -> Self {
        let mut test = Self::start(policy);
        for (key, _) in test.starts() {
            test.make_ready(key);
        }
        test.events.clear();
        assert!(test.fleet.are_all_ready());
        test
    }

    fn collect(&mut self) {
        for action in self.fleet.actions() {
            match action {
                Action::Report(event) => self.events.push(event),
                action => self.actions.push(action),
            }
        }
    }

    /// Lets time pass in which the supervisor ticks at each wakeup.
    fn advance(&mut self, time: Duration) {
        let until = self.real + time;
        while let Some(look) = self.fleet.next_wakeup().filter(|it| *it < until) {
            self.real = self.real.max(look);
            self.tick();
        }
        self.real = until;
        self.tick();
    }

    /// Lets time pass in which the supervisor does nothing.
    fn pause(&mut self, time: Duration) {
        self.real += time;
    }

    fn tick(&mut self) {
        self.advance_clock();
        self.fleet.tick(&last_lines_of);
        self.collect();
    }

    fn advance_clock(&mut self) {
        self.fleet.advance_clock(self.real);
    }

    fn start_process(&mut self, key: Key) {
        self.fleet.started(key, pid(key));
        self.collect();
    }

    fn make_ready(&mut self, key: Key) {
        self.start_process(key);
        self.notify(key, Notification::Ready);
    }

    fn notify(&mut self, key: Key, notification: Notification) {
        self.advance_clock();
        self.fleet.notified(key, notification);
        self.collect();
    }

    fn die(&mut self, key: Key) {
        self.exit(key, Exit::Status(1));
    }

    fn exit(&mut self, key: Key, exit: Exit) {
        let last_lines = vec!["last line".to_owned()];
        let ended = WorkerExit { exit, last_lines };
        self.advance_clock();
        self.fleet.exited(key, &ended);
        self.collect();
    }

    /// Lets a worker die, waits for the delay, and returns the key of the next worker.
    fn die_and_restart(&mut self, key: Key) -> Key {
        self.die(key);
        let deadline = self.fleet.deadline().unwrap();
        self.advance(deadline - self.fleet.now());
        let started = self.starts();
        assert_eq!(started.len(), 1, "{started:?}");
        started[0].0
    }

    fn reload(&mut self, strategy: ReloadStrategy) -> (Ticket, ReloadStart) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.advance_clock();
        let start = self.fleet.reload(strategy, ticket);
        self.collect();
        (ticket, start)
    }

    fn scale(&mut self, workers: usize) {
        self.advance_clock();
        self.fleet.scale(workers).unwrap();
        self.collect();
    }

    fn stop(&mut self) {
        self.advance_clock();
        self.fleet.stop();
        self.collect();
    }

    /// Returns the actions since the last call.
    fn actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Returns the actions since the last call, which must all be starts.
    fn starts(&mut self) -> Vec<(Key, usize)> {
        let starts = self.actions().into_iter().map(|action| match action {
            Action::Start { worker, slot } => (worker, slot),
            other => panic!("{other:?}"),
        });
        starts.collect()
    }

    fn started_keys(&mut self) -> Vec<Key> {
        self.starts().into_iter().map(|(key, _)| key).collect()
    }

    fn states(&self) -> Vec<WorkerState> {
        let workers = self.fleet.status().into_iter();
        workers.map(|worker| worker.state).collect()
    }

    fn count(&self, is_it: impl Fn(&SupervisorEvent) -> bool) -> usize {
        self.events.iter().filter(|event| is_it(event)).count()
    }

    fn last_delay(&self) -> Duration {
        let mut delays = self.events.iter().rev().filter_map(|event| match event {
            SupervisorEvent::Restarting { delay, .. } => Some(*delay),
            _ => None,
        });
        delays.next().unwrap()
    }
}

fn pid(Key(key): Key) -> u32 {
    100 + u32::try_from(key).unwrap()
}

/// Returns the last lines of a running worker.
fn last_lines_of(Key(key): Key) -> Vec<String> {
    vec![format!("last line of {key}")]
}

fn just_under(time: Duration) -> Duration {
    time.saturating_sub(MS)
}

fn done(tickets: &[Ticket], workers: usize, strategy: ReloadStrategy, took: Duration) -> Action {
    let done = Reloaded {
        workers,
        strategy,
        took,
    };
    Action::Respond(tickets.to_vec(), Ok(done))
}

fn failed(tickets: &[Ticket], error: ReloadError) -> Action {
    Action::Respond(tickets.to_vec(), Err(error))
}
