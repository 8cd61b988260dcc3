//! Whatever happens, in whatever order, to whatever fleet: what must always hold.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::awake::{BEAT, SLACK};

/// More ticks than that at one moment are a loop.
const TICKS: usize = 1_000;

/// As is a fleet that has not come to rest after so many looks.
const LOOKS: usize = 10_000;

#[derive(Clone, Copy, Debug)]
enum Happening {
    Passes(Duration),
    /// The supervisor is paused, and looks at the clock first afterwards, or not.
    Pauses(Duration, bool),
    /// Each of these happens to one of the processes, by the rest of its number.
    Runs(usize),
    CannotRun(usize),
    Says(usize, Saying),
    Dies(usize),
    Reload(ReloadStrategy),
    Scale(usize),
    End,
    Kill,
}

#[derive(Clone, Copy, Debug)]
enum Saying {
    Ready,
    Alive,
    Stopping,
}

fn happening() -> impl Strategy<Value = Happening> {
    let word = prop_oneof![
        6 => Just(Saying::Ready),
        2 => Just(Saying::Alive),
        1 => Just(Saying::Stopping),
    ];
    prop_oneof![
        30 => (0..3_000_u64).prop_map(|ms| Happening::Passes(Duration::from_millis(ms))),
        8 => (0..20_000_u64, any::<bool>())
            .prop_map(|(ms, looks)| Happening::Pauses(Duration::from_millis(ms), looks)),
        20 => any::<usize>().prop_map(Happening::Runs),
        2 => any::<usize>().prop_map(Happening::CannotRun),
        20 => (any::<usize>(), word).prop_map(|(who, word)| Happening::Says(who, word)),
        15 => any::<usize>().prop_map(Happening::Dies),
        6 => prop_oneof![Just(ReloadStrategy::AllAtOnce), Just(ReloadStrategy::Rolling)].prop_map(Happening::Reload),
        3 => (1..6_usize).prop_map(Happening::Scale),
        1 => Just(Happening::End),
        1 => Just(Happening::Kill),
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
    let backoff = backoff.prop_map(|(first, longest, quiet)| {
        Backoff::default()
            .min_delay(first)
            .max_delay(longest)
            .reset_after(quiet)
    });
    let crash_loop = (0..6_usize, up_to(30));
    // In time enough for those who are ready by waiting: else nobody ever is.
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

/// What the fleet was told is true here, and what it wants is done.
struct World {
    fleet: Fleet,
    policy: Policy,
    /// By the system's clock.
    real: Instant,
    /// As the fleet has it, without the pauses.
    now: Instant,
    /// How long the supervisor has been awake.
    awake: Duration,
    pauses: u32,
    processes: BTreeMap<Key, Process>,
    asked: BTreeSet<u64>,
    answered: BTreeSet<u64>,
    /// When workers of a slot were lost that nobody had told to end.
    losses: BTreeMap<usize, Vec<Instant>>,
    given_up: BTreeSet<usize>,
    /// Who said that they end: no deaths.
    polite: BTreeSet<Option<u32>>,
    is_over: bool,
    /// That it ended is.
    is_told: bool,
    /// How all reloads are.
    always: Option<ReloadStrategy>,
    /// Who leaves, and for no reload.
    otherwise: BTreeSet<Key>,
    /// The next who is told to end was not ready in time.
    is_somebody_late: bool,
}

/// How long the supervisor had been awake, and how often it had been paused.
type Moment = (Duration, u32);

#[derive(Debug)]
struct Process {
    slot: usize,
    runs: bool,
    began: Moment,
    /// When it said something.
    heard: Moment,
    told: Moment,
    /// It was told to end, or says itself that it does.
    leaves: bool,
    is_killed: bool,
}

impl World {
    fn begin(policy: Policy, always: Option<ReloadStrategy>) -> Self {
        let now = Instant::now();
        let mut world = Self {
            fleet: Fleet::begin(policy.clone(), || 1.0, now),
            policy,
            real: now,
            now,
            awake: Duration::ZERO,
            pauses: 0,
            processes: BTreeMap::new(),
            asked: BTreeSet::new(),
            answered: BTreeSet::new(),
            losses: BTreeMap::new(),
            given_up: BTreeSet::new(),
            polite: BTreeSet::new(),
            is_over: false,
            is_told: false,
            always,
            otherwise: BTreeSet::new(),
            is_somebody_late: false,
        };
        world.obey();
        world
    }

    fn happens(&mut self, happening: Happening) {
        self.now = self.fleet.wakes(self.real);
        match happening {
            Happening::Passes(time) => self.passes(time),
            Happening::Pauses(time, looks) => self.pauses(time, looks),
            Happening::Runs(who) => self.with(who, |process| !process.runs, Self::runs),
            Happening::CannotRun(who) => self.with(
                who,
                |it| !it.runs,
                |world, key| {
                    world.dies(key, Exit::NotStarted("no".to_owned()));
                },
            ),
            Happening::Says(who, word) => {
                self.with(who, |it| it.runs, |world, key| world.says(key, word));
            }
            Happening::Dies(who) => self.with(
                who,
                |it| it.runs,
                |world, key| {
                    world.dies(key, Exit::Status(1));
                },
            ),
            Happening::Reload(strategy) => self.reload(strategy),
            Happening::Scale(workers) => {
                let _ = self.fleet.scale(workers, self.now);
                let gone = self.processes.iter().filter(|(_, it)| it.slot >= workers);
                self.otherwise.extend(gone.map(|(key, _)| *key));
            }
            Happening::End => self.fleet.end(self.now),
            Happening::Kill => self.fleet.kill(self.now),
        }
        self.is_over |= matches!(happening, Happening::End | Happening::Kill);
        self.obey();
    }

    fn with(
        &mut self,
        who: usize,
        is_meant: impl Fn(&Process) -> bool,
        then: impl FnOnce(&mut Self, Key),
    ) {
        let meant = self.processes.iter().filter(|(_, it)| is_meant(it));
        let keys: Vec<_> = meant.map(|(key, _)| *key).collect();
        if let Some(index) = who.checked_rem(keys.len()) {
            then(self, keys[index]);
        }
    }

    fn runs(&mut self, key: Key) {
        self.processes.get_mut(&key).unwrap().runs = true;
        self.fleet.started(key, pid(key));
    }

    fn says(&mut self, key: Key, word: Saying) {
        let word = match word {
            Saying::Ready => Word::Ready,
            Saying::Alive => Word::Alive,
            Saying::Stopping => Word::Stopping,
        };
        let heard = self.moment();
        self.processes.get_mut(&key).unwrap().heard = heard;
        self.fleet.said(key, word, self.now);
    }

    fn dies(&mut self, key: Key, exit: Exit) {
        self.processes.remove(&key);
        let last_lines = Vec::new();
        let ended = Ended { exit, last_lines };
        self.fleet.exited(key, &ended, self.now);
    }

    fn reload(&mut self, strategy: ReloadStrategy) {
        let strategy = self.always.unwrap_or(strategy);
        let ticket = self.asked.len() as u64;
        self.asked.insert(ticket);
        let is_running = self.fleet.is_reloading();
        let placed = self.fleet.reload(strategy, Ticket(ticket), self.now);
        assert_eq!(placed == Placed::Queued, is_running);
    }

    /// Time passes as for the supervisor, who looks at the clock when the fleet wants it.
    fn passes(&mut self, time: Duration) {
        let until = self.real + time;
        let mut ticks = 0;
        while let Some(look) = self.fleet.next_look().filter(|it| *it <= until) {
            if look > self.real {
                self.wakes_at(look);
                ticks = 0;
            }
            self.looks();
            ticks += 1;
            assert!(ticks < TICKS, "there is no end to it");
        }
        self.wakes_at(until);
    }

    fn wakes_at(&mut self, real: Instant) {
        self.awake += real - self.real;
        self.real = real;
        self.now = self.fleet.wakes(real);
    }

    fn looks(&mut self) {
        self.fleet.tick(self.now, &words_of);
        let is_due = self.fleet.deadline().is_some_and(|it| it <= self.now);
        let changed = self.obey();
        assert!(changed || !is_due, "the clock is looked at for nothing");
    }

    /// Nothing happens, and nobody looks at the clock.
    fn pauses(&mut self, time: Duration, looks: bool) {
        self.real += time;
        self.pauses += 1;
        self.now = self.fleet.wakes(self.real);
        if looks {
            self.looks();
        }
    }

    /// For how long the supervisor has been awake since then, or a little less where it was paused:
    /// nobody knows how much of a beat was over when a pause began.
    fn at_most_since(&self, (awake, pauses): Moment) -> Duration {
        let pauses = self.pauses - pauses;
        self.awake.saturating_sub(awake) + pauses * (BEAT + SLACK)
    }

    fn moment(&self) -> Moment {
        (self.awake, self.pauses)
    }

    /// Does what the fleet wants, which is to be sensible; whether it wanted anything.
    fn obey(&mut self) -> bool {
        let actions = self.fleet.actions();
        let any = !actions.is_empty();
        let told = self.moment();
        for action in actions {
            match action {
                Action::Start { worker, slot } => self.start(worker, slot),
                Action::Terminate(key) => {
                    // It may be dead, and its end on the way: here it is told at once.
                    let process = self.processes.get_mut(&key).expect("it is there");
                    assert!(!process.leaves, "{key:?} is told twice");
                    process.leaves = true;
                    process.told = told;
                    if std::mem::take(&mut self.is_somebody_late) {
                        self.otherwise.insert(key);
                    }
                }
                Action::Kill(key) => self.kill(key),
                Action::Answer(tickets, _) => {
                    for Ticket(ticket) in tickets {
                        assert!(self.asked.contains(&ticket));
                        assert!(self.answered.insert(ticket), "{ticket} is answered twice");
                    }
                }
                Action::Report(event) => self.note(&event),
            }
        }
        self.is_over |= self.fleet.ended().is_some();
        self.check_seats();
        any
    }

    fn start(&mut self, key: Key, slot: usize) {
        assert!(!self.is_over, "a start after the end");
        let process = Process {
            slot,
            runs: false,
            began: self.moment(),
            heard: self.moment(),
            told: self.moment(),
            leaves: false,
            is_killed: false,
        };
        assert!(self.processes.insert(key, process).is_none(), "{key:?}");
    }

    fn kill(&mut self, key: Key) {
        let process = self.processes.get_mut(&key).expect("it is there");
        // Once for its silence, and once more where it still has to be told to end.
        assert!(
            !process.is_killed || process.leaves,
            "{key:?} is killed again"
        );
        process.is_killed = true;
    }

    fn note(&mut self, event: &SupervisorEvent) {
        assert!(!self.is_told, "{event:?} after the last event");
        match event {
            SupervisorEvent::Stopped { .. } => self.is_told = true,
            SupervisorEvent::AllReady => assert!(self.fleet.are_all_ready()),
            SupervisorEvent::StopAnnounced { pid, .. } => {
                let key = pid.map(|pid| Key(u64::from(pid - 100)));
                self.otherwise.extend(key);
                let told = self.moment();
                let process = self.processes.get_mut(&key.unwrap()).unwrap();
                (process.leaves, process.told) = (true, told);
                self.polite.insert(*pid);
            }
            SupervisorEvent::NotReady { slot, pid, .. } => {
                if let Some(process) = self.of(*pid) {
                    let waited = self.at_most_since(process.began);
                    assert!(waited >= self.policy.ready_timeout, "late after {waited:?}");
                }
                self.lose(*slot);
                self.is_somebody_late = true;
            }
            SupervisorEvent::Exited {
                slot,
                pid,
                is_expected: false,
                ..
            } if !self.polite.contains(pid) => self.lose(*slot),
            SupervisorEvent::WatchdogTimeout { pid, timeout, .. } => {
                let silence = self.at_most_since(self.of(*pid).unwrap().heard);
                assert!(silence >= *timeout, "silent for {silence:?}");
            }
            SupervisorEvent::Killed {
                pid,
                stop_timeout: Some(timeout),
                ..
            } => {
                if let Some(process) = self.of(*pid) {
                    let waited = self.at_most_since(process.told);
                    assert!(waited >= *timeout, "killed after {waited:?}");
                }
            }
            SupervisorEvent::SlotFailed { slot, deaths, .. } => {
                let within = self.policy.crash_loop.within;
                let losses = self.losses.entry(*slot).or_default();
                let recent = losses.iter().filter(|it| self.now - **it < within).count();
                // With no time to look back on, the last one counts all the same.
                assert!(recent.max(1) >= *deaths || within.is_zero());
                self.given_up.insert(*slot);
            }
            SupervisorEvent::Restarting { delay, .. } => {
                let most = Duration::from_secs(8);
                assert!(*delay <= most, "a delay of {delay:?}");
            }
            _ => {}
        }
    }

    fn of(&self, pid: Option<u32>) -> Option<&Process> {
        let key = Key(u64::from(pid? - 100));
        self.processes.get(&key)
    }

    fn lose(&mut self, slot: usize) {
        self.losses.entry(slot).or_default().push(self.now);
    }

    /// One worker for each slot, and in a reload one successor.
    fn check_seats(&self) {
        let most = if self.fleet.is_reloading() { 2 } else { 1 };
        let mut staying = BTreeMap::<usize, usize>::new();
        for process in self.processes.values().filter(|it| !it.leaves) {
            *staying.entry(process.slot).or_default() += 1;
        }
        for (slot, workers) in staying {
            assert!(workers <= most, "{workers} workers in slot {slot}");
            assert!(slot < self.fleet.slots(), "a worker in no slot");
        }
        if self.always == Some(ReloadStrategy::Rolling) && !self.is_over {
            let keys = self.processes.keys();
            let counted = keys.filter(|key| !self.otherwise.contains(key)).count();
            assert!(counted <= self.fleet.slots() + 1, "{counted} workers");
        }
    }

    /// From now on all is well: who is started gets ready and lives, and who is told to end does.
    fn comes_to_rest(&mut self) {
        for _ in 0..LOOKS {
            if self.is_at_rest() {
                return;
            }
            let keys: Vec<_> = self.processes.keys().copied().collect();
            for key in keys {
                self.behaves(key);
                self.obey();
            }
            self.passes(MS.max(self.next_look()));
        }
    }

    fn is_at_rest(&self) -> bool {
        let states = self.fleet.status(self.now);
        let is_settled = |state| matches!(state, WorkerState::Ready | WorkerState::Failed);
        states.iter().all(|worker| is_settled(worker.state))
            && self
                .processes
                .values()
                .all(|it| !it.leaves && !it.is_killed)
    }

    fn next_look(&self) -> Duration {
        let signs = self.policy.watchdog.map_or(SECOND, |within| within / 4);
        let look = self.fleet.next_look();
        look.map_or(signs, |at| at.duration_since(self.real).min(signs))
    }

    fn behaves(&mut self, key: Key) {
        let Some(process) = self.processes.get(&key) else {
            return;
        };
        let (leaves, is_killed, runs) = (process.leaves, process.is_killed, process.runs);
        if leaves || is_killed {
            self.dies(key, Exit::Status(0));
            return;
        }
        if !runs {
            self.runs(key);
            self.obey();
        }
        self.says(key, Saying::Alive);
        self.obey();
        if self.policy.ready_when == ReadyWhen::Notified {
            self.says(key, Saying::Ready);
        }
    }

    /// What is left when all is quiet.
    fn check_rest(&self) {
        if self.fleet.ended().is_some() {
            assert!(self.processes.is_empty(), "{:?}", self.processes);
            assert!(self.is_told);
            assert_eq!(self.answered, self.asked);
            return;
        }
        assert!(!self.is_over, "it does not end");
        assert_eq!(self.answered, self.asked, "somebody waits for a reload");
        let states = self.fleet.status(self.now);
        assert_eq!(states.len(), self.fleet.slots(), "{states:?}");
        for worker in states {
            let is_given_up = self.given_up.contains(&worker.slot);
            let is_as_it_must = match worker.state {
                WorkerState::Ready => true,
                WorkerState::Failed => is_given_up,
                _ => false,
            };
            assert!(is_as_it_must, "{worker:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn whatever_happens_slots_are_filled_once_reloads_are_answered_once_and_the_end_ends(
        policy in any_policy(),
        always in proptest::option::of(Just(ReloadStrategy::Rolling)),
        happenings in vec(happening(), 0..80),
    ) {
        let mut world = World::begin(policy, always);
        for happening in happenings {
            world.happens(happening);
        }
        world.comes_to_rest();
        world.check_rest();
        world.happens(Happening::End);
        world.comes_to_rest();
        world.is_over = true;
        prop_assert!(world.fleet.ended().is_some());
        world.check_rest();
        prop_assert_eq!(world.fleet.deadline(), None);
    }
}
