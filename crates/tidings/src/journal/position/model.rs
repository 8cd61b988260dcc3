//! A follower of a model of Redis, whose history forks, is trimmed and is lost: each event is handed on
//! once, and what is not handed on, or forgotten by Redis, is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use tidings_codec::{Format, FrameWriter, NewEvent, NodeId};

use super::*;
use crate::event::numbers::Numbers;
use crate::journal::position::finding::Forgotten;
use crate::journal::position::resync::{Query, Step};
use crate::keyspace::journal::{Content, Floor};

const SENDERS: u128 = 3;

/// A change of Redis.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// A frame with this many events; without any, it states the sender's position.
    Send { sender: u128, events: u32 },
    /// The last frame of a sender runs once more.
    SendAgain { sender: u128 },
    /// All but the last `keep` entries may be trimmed, and `left` of them are left all the same.
    Trim { keep: usize, left: usize },
    /// Somebody deletes the floor.
    DeleteFloor,
    /// The last writes are forgotten. It ends the connection.
    Fail { writes: usize },
    /// The stream is lost, and its clock may begin again.
    Flush { resets_clock: bool },
}

#[derive(Clone, Debug)]
enum Action {
    Change(Change),
    Disconnect,
    /// The follower reads a page. A change may come between two commands.
    Read {
        count: usize,
        meanwhile: Option<(usize, Change)>,
    },
}

/// The number of a sender's event.
type Event = (NodeId, u64);

/// The state of Redis that replicas copy.
#[derive(Clone, Default)]
struct State {
    entries: Vec<Entry>,
    floor: Option<Floor>,
    /// Everything that was ever added in this history.
    added: Vec<(Numbers, u32)>,
    clock: u64,
}

/// Redis, and the bus that follows it.
struct Model {
    state: State,
    history: Vec<State>,
    generations: u64,
    next: BTreeMap<NodeId, u64>,
    last: BTreeMap<NodeId, (Numbers, u32)>,
    positions: u32,

    followed: Followed,
    is_connected: bool,
    meanwhile: Option<(usize, Change)>,
    expected: BTreeMap<NodeId, u64>,
    /// With the attempt that was handed on.
    handed_on: BTreeMap<Event, u32>,
    reported: BTreeSet<Event>,
    /// Sent or handed on before a loss of unknown size was reported.
    excused: BTreeSet<Event>,
    has: Has,
}

/// The events of the history so far.
#[derive(Default)]
struct Has {
    trimmed: bool,
    failed: bool,
    lost: bool,
}

impl Model {
    fn new(ring: usize) -> Self {
        let place = Place {
            id: JournalPosition::at(1),
            ..Place::START
        };
        let mut model = Self {
            state: State::default(),
            history: Vec::new(),
            generations: 0,
            next: BTreeMap::new(),
            last: BTreeMap::new(),
            positions: 0,
            followed: Followed::begin(place, JournalPosition::START, ring),
            is_connected: false,
            meanwhile: None,
            expected: BTreeMap::new(),
            handed_on: BTreeMap::new(),
            reported: BTreeSet::new(),
            excused: BTreeSet::new(),
            has: Has::default(),
        };
        // The birth.
        model.change(Change::Send {
            sender: 0,
            events: 0,
        });
        let _ = model.read(2);
        model
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Send { sender, events } => {
                let sender = NodeId::new(sender);
                let next = self.next.entry(sender).or_insert(1);
                let numbers = Numbers {
                    sender,
                    first: *next,
                    events,
                };
                *next += u64::from(events);
                if events > 0 {
                    self.last.insert(sender, (numbers, 0));
                    self.add(numbers, 0);
                } else {
                    // A position can be stated again: its attempt tells the entries apart.
                    self.positions += 1;
                    self.add(numbers, self.positions);
                }
            }
            Change::SendAgain { sender } => {
                let last = self.last.get_mut(&NodeId::new(sender));
                if let Some((numbers, attempt)) = last {
                    *attempt += 1;
                    let (numbers, attempt) = (*numbers, *attempt);
                    self.add(numbers, attempt);
                }
            }
            Change::Trim { keep, left } => self.trim(keep, left),
            Change::DeleteFloor => {
                self.state.floor = None;
                self.has.lost = true;
            }
            Change::Fail { writes } => {
                let left = self.history.len().saturating_sub(writes).max(1);
                self.history.truncate(left);
                self.state = self.history.last().cloned().unwrap_or_default();
                self.is_connected = false;
                self.has.failed = true;
            }
            Change::Flush { resets_clock } => {
                let clock = if resets_clock { 0 } else { self.state.clock };
                self.state = State {
                    clock,
                    ..State::default()
                };
                self.has.lost = true;
            }
        }
        if !matches!(change, Change::Fail { .. }) {
            self.history.push(self.state.clone());
        }
    }

    fn add(&mut self, numbers: Numbers, attempt: u32) {
        if self.state.entries.is_empty() {
            let id = JournalPosition::START;
            self.set_floor(None, id);
        }
        self.state.clock += 1;
        let content = Content::Frame {
            frame: frame(numbers),
            attempt,
        };
        let id = JournalPosition::at(self.state.clock);
        self.state.entries.push(Entry { id, content });
        self.state.added.push((numbers, attempt));
    }

    fn set_floor(&mut self, generation: Option<Generation>, id: JournalPosition) {
        self.generations += 1;
        let generation = generation.unwrap_or(Generation::of(self.generations));
        self.state.floor = Some(Floor { generation, id });
    }

    fn trim(&mut self, keep: usize, left: usize) {
        let entries = &mut self.state.entries;
        let Some(newest) = entries.last() else { return };
        let gone = entries.len().saturating_sub(keep.max(1));
        let (id, newest) = (entries[gone].id, newest.id);
        let old = self.state.floor;
        if old.is_some_and(|floor| floor.id >= id) {
            return;
        }
        drop(entries.drain(..gone.saturating_sub(left)));
        let id = if old.is_some() { id } else { newest };
        self.set_floor(old.map(|floor| floor.generation), id);
        self.has.trimmed = true;
    }

    /// Runs one command of the follower.
    fn command<T>(&mut self, run: impl FnOnce(&State) -> T) -> Option<T> {
        if let Some((commands, change)) = self.meanwhile.take() {
            if commands == 0 {
                self.change(change);
            } else {
                self.meanwhile = Some((commands - 1, change));
            }
        }
        self.is_connected.then(|| run(&self.state))
    }

    fn page(&mut self, read: impl FnOnce(&State) -> Vec<Entry>) -> Option<Page> {
        Some(Page {
            is_master: true,
            entries: self.command(read)?,
            first: self.command(|state| state.entries.first().map(|entry| entry.id))?,
            floor: self.command(|state| state.floor)?,
        })
    }

    /// Reads a page and hands it on. Returns the number of entries, if the connection was not lost.
    fn read(&mut self, count: usize) -> Option<usize> {
        if !self.is_connected {
            self.is_connected = true;
            return self.resync(count);
        }
        let position = self.followed.position();
        let page = self.page(|state| {
            let after = state.entries.iter().filter(|entry| entry.id > position);
            after.take(count).cloned().collect()
        })?;
        match self.followed.judge(&page) {
            Judgement::HandOn => {
                self.hand_on(&page.entries);
                Some(page.entries.len())
            }
            Judgement::Resync => self.resync(count),
            Judgement::NotMaster => panic!("the model is a master"),
        }
    }

    fn resync(&mut self, count: usize) -> Option<usize> {
        let mut resync = self.followed.resync();
        loop {
            let query = resync.query();
            let page = self.page(|state| answer(state, query, count))?;
            let step = self.followed.answer(&mut resync, &page);
            for finding in self.followed.take_findings() {
                self.report(&finding);
            }
            match step {
                Step::Ask => {}
                Step::Done { skip } => {
                    self.hand_on(&page.entries[skip..]);
                    return Some(page.entries.len() - skip);
                }
                Step::NotMaster => panic!("the model is a master"),
            }
        }
    }

    fn report(&mut self, finding: &Finding) {
        if let Finding::Diverged(forgotten) = finding {
            assert!(self.has.failed, "{finding:?}");
            let stream = self.state.added.clone();
            for event in forgotten.iter().flat_map(events) {
                let attempt = self.handed_on[&event];
                let is_it = |(numbers, its): &(Numbers, u32)| {
                    *its == attempt && numbers_of(numbers).any(|other| other == event)
                };
                assert!(!stream.iter().any(is_it), "{event:?} is not forgotten");
                assert!(self.reported.insert(event), "{event:?} is reported again");
            }
            return;
        }
        let has = match finding {
            // Without a floor, it is unknown what was trimmed.
            Finding::Trimmed => self.has.trimmed || self.has.lost,
            Finding::Lost => self.has.lost,
            _ => self.has.failed,
        };
        assert!(has, "{finding:?}");
        for (sender, next) in &self.next {
            self.excused
                .extend((1..*next).map(|number| (*sender, number)));
        }
    }

    fn hand_on(&mut self, entries: &[Entry]) {
        for entry in entries {
            let numbers = entry.numbers().unwrap();
            let Numbers { sender, first, .. } = numbers;
            let Content::Frame { attempt, .. } = entry.content else {
                panic!("all entries are frames");
            };
            let expected = self.expected.entry(sender).or_insert(1);
            let is_known = first < *expected;
            if is_known {
                // A failover may bring back a stream that was lost.
                let is_back = self.has.failed && self.has.lost;
                let is_explained = attempt > 0 || is_back || self.followed.is_rereading(entry.id);
                assert!(is_explained, "{numbers:?} at {} is a restart", entry.id);
            } else {
                self.reported
                    .extend((*expected..first).map(|number| (sender, number)));
                let handed_on = numbers_of(&numbers).map(|event| (event, attempt));
                self.handed_on.extend(handed_on);
                *expected = first + u64::from(numbers.events);
            }
            self.followed.read(entry, Some(numbers), !is_known);
        }
    }

    /// Lets the follower reach the end, and checks each event.
    fn check(mut self) {
        self.meanwhile = None;
        for sender in 0..SENDERS {
            self.change(Change::Send { sender, events: 0 });
        }
        let is_behind = |model: &Self| {
            let last = model.state.entries.last().map(|entry| entry.id);
            last.is_some_and(|last| model.followed.position() < last)
        };
        while self.read(8) != Some(0) || is_behind(&self) {}
        let kept = self
            .state
            .added
            .iter()
            .flat_map(|(numbers, _)| numbers_of(numbers));
        let kept: BTreeSet<Event> = kept.collect();
        for (sender, next) in &self.next {
            for event in (1..*next).map(|number| (*sender, number)) {
                let is_told = self.reported.contains(&event) || self.excused.contains(&event);
                let is_handed_on = self.handed_on.contains_key(&event);
                assert!(is_handed_on || is_told, "{event:?} is lost in silence");
                assert!(
                    kept.contains(&event) || is_told,
                    "{event:?} is forgotten in silence"
                );
            }
        }
    }
}

fn answer(state: &State, query: Query, count: usize) -> Vec<Entry> {
    let mut entries = state.entries.iter();
    match query {
        Query::From(id) => entries
            .filter(|entry| entry.id >= id)
            .take(count)
            .cloned()
            .collect(),
        Query::Entry(id) => entries.filter(|entry| entry.id == id).cloned().collect(),
        Query::Newest => entries.next_back().into_iter().cloned().collect(),
    }
}

fn numbers_of(numbers: &Numbers) -> impl Iterator<Item = Event> + use<> {
    let sender = numbers.sender;
    let numbers: Range<u64> = numbers.first..numbers.first + u64::from(numbers.events);
    numbers.map(move |number| (sender, number))
}

fn events(forgotten: &Forgotten) -> impl Iterator<Item = Event> + use<> {
    let sender = forgotten.sender;
    forgotten
        .numbers
        .clone()
        .map(move |number| (sender, number))
}

fn frame(numbers: Numbers) -> bytes::Bytes {
    let mut writer = FrameWriter::new(Format::MessagePack, numbers.sender);
    for _ in 0..numbers.events {
        let event = writer.push(NewEvent::to_all("tick"), |into| into.encode(&1));
        event.unwrap();
    }
    writer.finish(numbers.first)
}

fn changes() -> impl Strategy<Value = Change> {
    let sender = 0..SENDERS;
    prop_oneof![
        12 => (sender.clone(), 0..4_u32).prop_map(|(sender, events)| Change::Send { sender, events }),
        2 => sender.prop_map(|sender| Change::SendAgain { sender }),
        2 => (0..12_usize, 0..4_usize).prop_map(|(keep, left)| Change::Trim { keep, left }),
        1 => Just(Change::DeleteFloor),
        2 => (0..12_usize).prop_map(|writes| Change::Fail { writes }),
        1 => any::<bool>().prop_map(|resets_clock| Change::Flush { resets_clock }),
    ]
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let meanwhile = proptest::option::weighted(0.3, (0..12_usize, changes()));
    let read = (2..8_usize, meanwhile);
    let action = prop_oneof![
        6 => changes().prop_map(Action::Change),
        1 => Just(Action::Disconnect),
        3 => read.prop_map(|(count, meanwhile)| Action::Read { count, meanwhile }),
    ];
    vec(action, 0..120)
}

proptest! {
    #[test]
    fn every_event_is_handed_on_once_or_reported(actions in actions(), ring in 1..24_usize) {
        let mut model = Model::new(ring);
        for action in actions {
            match action {
                Action::Change(change) => model.change(change),
                Action::Disconnect => model.is_connected = false,
                Action::Read { count, meanwhile } => {
                    model.meanwhile = meanwhile;
                    let _ = model.read(count);
                }
            }
        }
        model.check();
    }
}
