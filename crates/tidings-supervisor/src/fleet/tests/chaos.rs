//! Invariants of the fleet under random policies and random steps.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::awake::{INTERVAL, SLACK};

/// More ticks at one time are an endless loop.
const MAX_TICKS: usize = 1_000;

/// A fleet that has not settled after this many steps never does.
const MAX_STEPS: usize = 10_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Advance(Duration),
    /// Pauses the supervisor. The flag says whether a tick is its first event afterwards.
    Pause(Duration, bool),
    /// The number chooses one of the eligible processes, as in the next steps.
    StartProcess(usize),
    FailToStart(usize),
    Notify(usize, Notification),
    Die(usize),
    Reload(ReloadStrategy),
    Scale(usize),
    Stop,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let notification = prop_oneof![
        6 => Just(Notification::Ready),
        2 => Just(Notification::Watchdog),
        1 => Just(Notification::Stopping),
    ];
    prop_oneof![
        30 => (0..3_000_u64).prop_map(|ms| Step::Advance(Duration::from_millis(ms))),
        8 => (0..20_000_u64, any::<bool>())
            .prop_map(|(ms, then_tick)| Step::Pause(Duration::from_millis(ms), then_tick)),
        20 => any::<usize>().prop_map(Step::StartProcess),
        2 => any::<usize>().prop_map(Step::FailToStart),
        20 => (any::<usize>(), notification).prop_map(|(choice, it)| Step::Notify(choice, it)),
        15 => any::<usize>().prop_map(Step::Die),
        6 => prop_oneof![Just(ReloadStrategy::AllAtOnce), Just(ReloadStrategy::Rolling)].prop_map(Step::Reload),
        3 => (1..6_usize).prop_map(Step::Scale),
        1 => Just(Step::Stop),
        1 => Just(Step::Kill),
    ]
}

fn up_to(seconds: u64) -> impl Strategy<Value = Duration> {
    prop_oneof![
        1 => Just(Duration::ZERO),
        4 => (0..seconds * 1_000).prop_map(Duration::from_millis),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let backoff = (up_to(2), up_to(8), up_to(10));
    let backoff = backoff.prop_map(|(min, max, reset)| {
        Backoff::default()
            .min_delay(min)
            .max_delay(max)
            .reset_after(reset)
    });
    let crash_loop = (0..6_usize, up_to(30));
    // The timeout is longer than the uptime: else no worker would become ready.
    let ready = (proptest::option::of(up_to(5)), up_to(5));
    let ready = ready.prop_map(|(after, more)| {
        let ready = after.map_or(ReadyWhen::Notified, ReadyWhen::After);
        (ready, after.unwrap_or_default() + more + 10 * MS)
    });
    let watchdog = proptest::option::of((500..5_000_u64).prop_map(Duration::from_millis));
    (1..5_usize, ready, up_to(10), backoff, crash_loop, watchdog).prop_map(
        |(workers, (ready, ready_timeout), stop_timeout, backoff, crash_loop, watchdog)| Policy {
            workers,
            ready_when: ready,
            ready_timeout,
            stop_timeout,
            backoff,
            crash_loop: CrashLoop {
                deaths: crash_loop.0,
                within: crash_loop.1,
            },
            watchdog,
        },
    )
}

/// A model of the processes, which carries out all actions of the fleet.
struct Model {
    fleet: Fleet,
    policy: Policy,
    /// The time by the system's clock.
    real: Instant,
    /// The time in which the supervisor was not paused.
    awake: Duration,
    pauses: u32,
    processes: BTreeMap<Key, Process>,
    requested: BTreeSet<u64>,
    responded: BTreeSet<u64>,
    /// The deaths of workers of each slot.
    deaths_of: BTreeMap<usize, Vec<Instant>>,
    failed_slots: BTreeSet<usize>,
    /// Workers that announced their stop, which is no death.
    announced: BTreeSet<Option<u32>>,
    is_stopping: bool,
    is_stop_reported: bool,
    /// The strategy of all reloads, if they have the same.
    only_strategy: Option<ReloadStrategy>,
    /// Workers that stop for another reason than a reload.
    not_for_reload: BTreeSet<Key>,
    /// The next worker that is told to stop was not ready in time.
    is_next_late: bool,
}

/// The time in which the supervisor was not paused, and its number of pauses.
type Moment = (Duration, u32);

#[derive(Debug)]
struct Process {
    slot: usize,
    is_running: bool,
    started_at: Moment,
    notified_at: Moment,
    stopped_at: Moment,
    is_draining: bool,
    is_killed: bool,
}

impl Model {
    fn begin(policy: Policy, only_strategy: Option<ReloadStrategy>) -> Self {
        let now = Instant::now();
        let mut model = Self {
            fleet: Fleet::start(policy.clone(), || 1.0, now),
            policy,
            real: now,
            awake: Duration::ZERO,
            pauses: 0,
            processes: BTreeMap::new(),
            requested: BTreeSet::new(),
            responded: BTreeSet::new(),
            deaths_of: BTreeMap::new(),
            failed_slots: BTreeSet::new(),
            announced: BTreeSet::new(),
            is_stopping: false,
            is_stop_reported: false,
            only_strategy,
            not_for_reload: BTreeSet::new(),
            is_next_late: false,
        };
        model.act();
        model
    }

    fn apply(&mut self, step: Step) {
        self.fleet.advance_clock(self.real);
        match step {
            Step::Advance(time) => self.advance(time),
            Step::Pause(time, then_tick) => self.pause(time, then_tick),
            Step::StartProcess(choice) => {
                self.with(choice, |process| !process.is_running, Self::start_process);
            }
            Step::FailToStart(choice) => self.with(
                choice,
                |it| !it.is_running,
                |model, key| {
                    model.die(key, Exit::NotStarted("no".to_owned()));
                },
            ),
            Step::Notify(choice, notification) => {
                self.with(
                    choice,
                    |it| it.is_running,
                    |model, key| model.notify(key, notification),
                );
            }
            Step::Die(choice) => self.with(
                choice,
                |it| it.is_running,
                |model, key| {
                    model.die(key, Exit::Status(1));
                },
            ),
            Step::Reload(strategy) => self.reload(strategy),
            Step::Scale(workers) => {
                let _ = self.fleet.scale(workers);
                let gone = self.processes.iter().filter(|(_, it)| it.slot >= workers);
                self.not_for_reload.extend(gone.map(|(key, _)| *key));
            }
            Step::Stop => self.fleet.stop(),
            Step::Kill => self.fleet.kill(),
        }
        self.is_stopping |= matches!(step, Step::Stop | Step::Kill);
        self.act();
    }

    fn with(
        &mut self,
        choice: usize,
        is_eligible: impl Fn(&Process) -> bool,
        then: impl FnOnce(&mut Self, Key),
    ) {
        let eligible = self.processes.iter().filter(|(_, it)| is_eligible(it));
        let keys: Vec<_> = eligible.map(|(key, _)| *key).collect();
        if let Some(index) = choice.checked_rem(keys.len()) {
            then(self, keys[index]);
        }
    }

    fn start_process(&mut self, key: Key) {
        self.processes.get_mut(&key).unwrap().is_running = true;
        self.fleet.started(key, pid(key));
    }

    fn notify(&mut self, key: Key, notification: Notification) {
        let notified_at = self.moment();
        // The announcement of a stop is no sign of life for the watchdog.
        if notification != Notification::Stopping {
            self.processes.get_mut(&key).unwrap().notified_at = notified_at;
        }
        self.fleet.notified(key, notification);
    }

    fn die(&mut self, key: Key, exit: Exit) {
        self.processes.remove(&key);
        let last_lines = Vec::new();
        let ended = WorkerExit { exit, last_lines };
        self.fleet.exited(key, &ended);
    }

    fn reload(&mut self, strategy: ReloadStrategy) {
        let strategy = self.only_strategy.unwrap_or(strategy);
        let ticket = self.requested.len() as u64;
        self.requested.insert(ticket);
        let is_running = self.fleet.is_reloading();
        let start = self.fleet.reload(strategy, Ticket(ticket));
        assert_eq!(start == ReloadStart::Queued, is_running);
    }

    /// Lets time pass, with a tick at each wakeup of the fleet.
    fn advance(&mut self, time: Duration) {
        let until = self.real + time;
        let mut ticks = 0;
        while let Some(look) = self.fleet.next_wakeup().filter(|it| *it <= until) {
            if look > self.real {
                self.advance_to(look);
                ticks = 0;
            }
            self.tick();
            ticks += 1;
            assert!(ticks < MAX_TICKS, "endless ticks");
        }
        self.advance_to(until);
    }

    fn advance_to(&mut self, real: Instant) {
        self.awake += real - self.real;
        self.real = real;
        self.fleet.advance_clock(real);
    }

    fn tick(&mut self) {
        self.fleet.tick(&last_lines_of);
        let is_due = self
            .fleet
            .deadline()
            .is_some_and(|it| it <= self.fleet.now());
        let changed = self.act();
        assert!(changed || !is_due, "a tick without an action");
    }

    /// Lets time pass without a tick.
    fn pause(&mut self, time: Duration, then_tick: bool) {
        self.real += time;
        self.pauses += 1;
        self.fleet.advance_clock(self.real);
        if then_tick {
            self.tick();
        }
    }

    /// Returns an upper bound of the time since a moment, without pauses. It is not exact because each
    /// pause begins within an interval of the clock.
    fn at_most_since(&self, (awake, pauses): Moment) -> Duration {
        let pauses = self.pauses - pauses;
        self.awake.saturating_sub(awake) + pauses * (INTERVAL + SLACK)
    }

    fn moment(&self) -> Moment {
        (self.awake, self.pauses)
    }

    /// Carries out the actions of the fleet, and returns whether there were any.
    fn act(&mut self) -> bool {
        let actions = self.fleet.actions();
        let any = !actions.is_empty();
        let stopped_at = self.moment();
        for action in actions {
            match action {
                Action::Start { worker, slot } => self.start(worker, slot),
                Action::Terminate(key) => {
                    let process = self.processes.get_mut(&key).expect("the process exists");
                    assert!(!process.is_draining, "{key:?} is stopped twice");
                    process.is_draining = true;
                    process.stopped_at = stopped_at;
                    if std::mem::take(&mut self.is_next_late) {
                        self.not_for_reload.insert(key);
                    }
                }
                Action::Kill(key) => self.kill(key),
                Action::Respond(tickets, _) => {
                    for Ticket(ticket) in tickets {
                        assert!(self.requested.contains(&ticket));
                        assert!(self.responded.insert(ticket), "{ticket} has two responses");
                    }
                }
                Action::Report(event) => self.check_event(&event),
            }
        }
        self.is_stopping |= self.fleet.stopped().is_some();
        self.check_slots();
        any
    }

    fn start(&mut self, key: Key, slot: usize) {
        assert!(!self.is_stopping, "a start after the stop");
        let process = Process {
            slot,
            is_running: false,
            started_at: self.moment(),
            notified_at: self.moment(),
            stopped_at: self.moment(),
            is_draining: false,
            is_killed: false,
        };
        assert!(self.processes.insert(key, process).is_none(), "{key:?}");
    }

    fn kill(&mut self, key: Key) {
        let process = self.processes.get_mut(&key).expect("the process exists");
        // Once by the watchdog, and once more by the stop timeout.
        assert!(
            !process.is_killed || process.is_draining,
            "{key:?} is killed again"
        );
        process.is_killed = true;
    }

    fn check_event(&mut self, event: &SupervisorEvent) {
        assert!(!self.is_stop_reported, "{event:?} after the last event");
        match event {
            SupervisorEvent::Stopped { .. } => self.is_stop_reported = true,
            SupervisorEvent::AllReady => assert!(self.fleet.are_all_ready()),
            SupervisorEvent::StopAnnounced { pid, .. } => {
                let key = pid.map(|pid| Key(u64::from(pid - 100)));
                self.not_for_reload.extend(key);
                let stopped_at = self.moment();
                let process = self.processes.get_mut(&key.unwrap()).unwrap();
                (process.is_draining, process.stopped_at) = (true, stopped_at);
                self.announced.insert(*pid);
            }
            SupervisorEvent::NotReady { slot, pid, .. } => {
                if let Some(process) = self.of(*pid) {
                    let waited = self.at_most_since(process.started_at);
                    assert!(waited >= self.policy.ready_timeout, "late after {waited:?}");
                }
                self.count_death(*slot);
                self.is_next_late = true;
            }
            SupervisorEvent::Exited {
                slot,
                pid,
                is_expected: false,
                ..
            } if !self.announced.contains(pid) => self.count_death(*slot),
            SupervisorEvent::WatchdogTimeout { pid, timeout, .. } => {
                let silence = self.at_most_since(self.of(*pid).unwrap().notified_at);
                assert!(
                    silence >= *timeout,
                    "killed by the watchdog after {silence:?}"
                );
            }
            SupervisorEvent::Killed {
                pid,
                stop_timeout: Some(timeout),
                ..
            } => {
                if let Some(process) = self.of(*pid) {
                    let waited = self.at_most_since(process.stopped_at);
                    assert!(waited >= *timeout, "killed after {waited:?}");
                }
            }
            SupervisorEvent::SlotFailed { slot, deaths, .. } => {
                let within = self.policy.crash_loop.within;
                let deaths_of = self.deaths_of.entry(*slot).or_default();
                let recent = deaths_of
                    .iter()
                    .filter(|it| self.fleet.now() - **it < within)
                    .count();
                // In a period of zero, the last one still counts.
                assert!(recent.max(1) >= *deaths || within.is_zero());
                self.failed_slots.insert(*slot);
            }
            SupervisorEvent::Restarting { delay, .. } => {
                let max = Duration::from_secs(8);
                assert!(*delay <= max, "a delay of {delay:?}");
            }
            _ => {}
        }
    }

    fn of(&self, pid: Option<u32>) -> Option<&Process> {
        let key = Key(u64::from(pid? - 100));
        self.processes.get(&key)
    }

    fn count_death(&mut self, slot: usize) {
        self.deaths_of
            .entry(slot)
            .or_default()
            .push(self.fleet.now());
    }

    /// Checks that each slot has one worker, or two during a reload.
    fn check_slots(&self) {
        let max = if self.fleet.is_reloading() { 2 } else { 1 };
        let mut staying = BTreeMap::<usize, usize>::new();
        for process in self.processes.values().filter(|it| !it.is_draining) {
            *staying.entry(process.slot).or_default() += 1;
        }
        for (slot, workers) in staying {
            assert!(workers <= max, "{workers} workers in slot {slot}");
            assert!(slot < self.fleet.slots(), "a worker in no slot");
        }
        if self.only_strategy == Some(ReloadStrategy::Rolling) && !self.is_stopping {
            let keys = self.processes.keys();
            let counted = keys
                .filter(|key| !self.not_for_reload.contains(key))
                .count();
            assert!(counted <= self.fleet.slots() + 1, "{counted} workers");
        }
    }

    /// Lets all processes behave well until nothing changes.
    fn settle(&mut self) {
        for _ in 0..MAX_STEPS {
            if self.is_settled() {
                return;
            }
            let keys: Vec<_> = self.processes.keys().copied().collect();
            for key in keys {
                self.behave(key);
                self.act();
            }
            self.advance(MS.max(self.next_step()));
        }
    }

    fn is_settled(&self) -> bool {
        let states = self.fleet.status();
        let is_settled = |state| matches!(state, WorkerState::Ready | WorkerState::Failed);
        states.iter().all(|worker| is_settled(worker.state))
            && self
                .processes
                .values()
                .all(|it| !it.is_draining && !it.is_killed)
    }

    fn next_step(&self) -> Duration {
        let signs = self.policy.watchdog.map_or(SECOND, |within| within / 4);
        let look = self.fleet.next_wakeup();
        look.map_or(signs, |at| at.duration_since(self.real).min(signs))
    }

    fn behave(&mut self, key: Key) {
        let Some(process) = self.processes.get(&key) else {
            return;
        };
        let (is_draining, is_killed, is_running) =
            (process.is_draining, process.is_killed, process.is_running);
        if is_draining || is_killed {
            self.die(key, Exit::Status(0));
            return;
        }
        if !is_running {
            self.start_process(key);
            self.act();
        }
        self.notify(key, Notification::Watchdog);
        self.act();
        if self.policy.ready_when == ReadyWhen::Notified {
            self.notify(key, Notification::Ready);
        }
    }

    /// Checks the settled state.
    fn check_settled(&self) {
        if self.fleet.stopped().is_some() {
            assert!(self.processes.is_empty(), "{:?}", self.processes);
            assert!(self.is_stop_reported);
            assert_eq!(self.responded, self.requested);
            return;
        }
        assert!(!self.is_stopping, "the fleet does not stop");
        assert_eq!(self.responded, self.requested, "a reload has no response");
        let states = self.fleet.status();
        assert_eq!(states.len(), self.fleet.slots(), "{states:?}");
        for worker in states {
            let is_given_up = self.failed_slots.contains(&worker.slot);
            let is_valid = match worker.state {
                WorkerState::Ready => true,
                WorkerState::Failed => is_given_up,
                _ => false,
            };
            assert!(is_valid, "{worker:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn slots_are_filled_once_reloads_have_one_response_and_a_stop_ends_under_random_steps(
        policy in any_policy(),
        only_strategy in proptest::option::of(Just(ReloadStrategy::Rolling)),
        steps in vec(step(), 0..80),
    ) {
        let mut model = Model::begin(policy, only_strategy);
        for step in steps {
            model.apply(step);
        }
        model.settle();
        model.check_settled();
        model.apply(Step::Stop);
        model.settle();
        model.is_stopping = true;
        prop_assert!(model.fleet.stopped().is_some());
        model.check_settled();
        prop_assert_eq!(model.fleet.deadline(), None);
    }
}
