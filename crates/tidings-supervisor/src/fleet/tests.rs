//! What the fleet decides.

mod chaos;
mod pauses;
mod reloads;
mod respawns;
mod seats;

use std::time::{Duration, Instant};

use super::{
    Action, CrashLoop, Ended, Fleet, Key, Placed, Policy, ReloadStrategy, Reloaded, Ticket,
};
use crate::backoff::Backoff;
use crate::error::ReloadError;
use crate::event::SupervisorEvent;
use crate::exit::Exit;
use crate::notify::Word;
use crate::ready::ReadyWhen;
use crate::status::WorkerState;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// Deaths are a second apart at first, and worth giving up when they are ten in a minute.
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

/// A fleet, a clock that stands still, and what was decided.
struct Play {
    fleet: Fleet,
    /// By the system's clock.
    real: Instant,
    /// Without the pauses of the supervisor.
    now: Instant,
    /// What it did that was not asked for yet, without its events.
    deeds: Vec<Action>,
    events: Vec<SupervisorEvent>,
    tickets: u64,
}

impl Play {
    /// Nobody is ready yet.
    fn begin(policy: Policy) -> Self {
        let now = Instant::now();
        // Chance only shortens: so a delay is as long as it can be.
        let fleet = Fleet::begin(policy, || 1.0, now);
        let mut play = Self {
            fleet,
            real: now,
            now,
            deeds: Vec::new(),
            events: Vec::new(),
            tickets: 0,
        };
        play.look();
        play
    }

    /// All are ready: the worker of slot n has the key n.
    fn with_all_ready(policy: Policy) -> Self {
        let mut play = Self::begin(policy);
        for (key, _) in play.starts() {
            play.gets_ready(key);
        }
        play.events.clear();
        assert!(play.fleet.are_all_ready());
        play
    }

    fn look(&mut self) {
        for action in self.fleet.actions() {
            match action {
                Action::Report(event) => self.events.push(event),
                deed => self.deeds.push(deed),
            }
        }
    }

    /// Time in which the supervisor looks at the clock whenever it should.
    fn passes(&mut self, time: Duration) {
        let until = self.real + time;
        while let Some(look) = self.fleet.next_look().filter(|it| *it < until) {
            self.real = self.real.max(look);
            self.ticks();
        }
        self.real = until;
        self.ticks();
    }

    /// Time in which the supervisor does nothing; afterwards it has not looked at anything yet.
    fn is_paused(&mut self, time: Duration) {
        self.real += time;
    }

    fn ticks(&mut self) {
        self.wakes();
        self.fleet.tick(self.now, &words_of);
        self.look();
    }

    fn wakes(&mut self) {
        self.now = self.fleet.wakes(self.real);
    }

    fn starts_up(&mut self, key: Key) {
        self.fleet.started(key, pid(key));
        self.look();
    }

    fn gets_ready(&mut self, key: Key) {
        self.starts_up(key);
        self.says(key, Word::Ready);
    }

    fn says(&mut self, key: Key, word: Word) {
        self.wakes();
        self.fleet.said(key, word, self.now);
        self.look();
    }

    fn dies(&mut self, key: Key) {
        self.ends(key, Exit::Status(1));
    }

    fn ends(&mut self, key: Key, exit: Exit) {
        let last_lines = vec!["alas".to_owned()];
        let ended = Ended { exit, last_lines };
        self.wakes();
        self.fleet.exited(key, &ended, self.now);
        self.look();
    }

    /// A worker dies, and its slot waits until another is started, whose key this is.
    fn is_respawned(&mut self, key: Key) -> Key {
        self.dies(key);
        let deadline = self.fleet.deadline().unwrap();
        self.passes(deadline - self.now);
        let started = self.starts();
        assert_eq!(started.len(), 1, "{started:?}");
        started[0].0
    }

    fn reloads(&mut self, strategy: ReloadStrategy) -> (Ticket, Placed) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.wakes();
        let placed = self.fleet.reload(strategy, ticket, self.now);
        self.look();
        (ticket, placed)
    }

    fn scales(&mut self, workers: usize) {
        self.wakes();
        self.fleet.scale(workers, self.now).unwrap();
        self.look();
    }

    fn is_told_to_end(&mut self) {
        self.wakes();
        self.fleet.end(self.now);
        self.look();
    }

    /// What was done since this was asked last.
    fn deeds(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.deeds)
    }

    /// As [`deeds`](Self::deeds), where nothing but starts is expected.
    fn starts(&mut self) -> Vec<(Key, usize)> {
        let starts = self.deeds().into_iter().map(|deed| match deed {
            Action::Start { worker, slot } => (worker, slot),
            other => panic!("{other:?}"),
        });
        starts.collect()
    }

    fn keys(&mut self) -> Vec<Key> {
        self.starts().into_iter().map(|(key, _)| key).collect()
    }

    fn states(&self) -> Vec<WorkerState> {
        let workers = self.fleet.status(self.now).into_iter();
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

/// What a worker wrote before it was told to end.
fn words_of(Key(key): Key) -> Vec<String> {
    vec![format!("words of {key}")]
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
    Action::Answer(tickets.to_vec(), Ok(done))
}

fn failed(tickets: &[Ticket], error: ReloadError) -> Action {
    Action::Answer(tickets.to_vec(), Err(error))
}
