//! Finds out where reading continues, by comparing what was read with the stream.

use std::mem::take;
use std::ops::Range;

use crate::event::position::JournalPosition;
use crate::journal::position::Followed;
use crate::journal::position::finding::Finding;
use crate::journal::position::identity::Identity;
use crate::journal::position::ring::Known;
use crate::keyspace::journal::{Generation, Page};

/// A comparison under way. It may be dropped at any time, and begun again.
#[derive(Debug)]
pub(crate) struct Resync {
    query: Query,
    stage: Stage,
    /// The answer before, if there was one.
    before: Option<Before>,
}

/// The generation that an answer had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Before(Option<Generation>);

/// The next read. Each answer needs the first entry of the stream, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    /// A page of entries from this id on, inclusive.
    From(JournalPosition),
    /// The entry with this id.
    Entry(JournalPosition),
    /// The newest entry.
    Newest,
}

/// The consequence of an answer. [`Followed::take_findings`] may have something after the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask the next query.
    Ask,
    /// Hand on the entries of this answer from this index on, and read on after them.
    Done { skip: usize },
    /// Find the master, and begin again.
    NotMaster,
}

#[derive(Debug)]
enum Stage {
    /// The entry at the position is looked for.
    Position,
    /// The newest entry of the ring that Redis has is looked for: those before the range are there
    /// or trimmed, those after it are not there.
    Ring {
        among: Range<usize>,
        found: Option<usize>,
    },
    /// Nothing that was read is in the stream; its newest entry is looked for.
    Newest(Finding),
    /// Nothing that was read is in the stream: it is read again after this id.
    Again(Finding, JournalPosition),
}

impl Resync {
    fn new(position: JournalPosition) -> Self {
        Self {
            query: Query::From(position),
            stage: Stage::Position,
            before: None,
        }
    }

    pub(crate) fn query(&self) -> Query {
        self.query
    }

    fn ask(&mut self, query: Query, stage: Stage) -> Step {
        (self.query, self.stage) = (query, stage);
        Step::Ask
    }
}

impl Followed {
    /// Begins to compare what was read with the stream.
    pub(crate) fn resync(&self) -> Resync {
        Resync::new(self.position())
    }

    /// Continues a comparison with the answer to its query.
    pub(crate) fn answer(&mut self, resync: &mut Resync, page: &Page) -> Step {
        if !page.is_master {
            return Step::NotMaster;
        }
        let step = match &mut resync.stage {
            Stage::Position => self.compare_position(resync, page),
            Stage::Ring { among, found } => {
                let (among, found) = (among.clone(), *found);
                self.compare_ring(resync, page, among, found)
            }
            Stage::Newest(finding) => {
                let finding = finding.clone();
                // What is older than the beginning is not wanted. If Redis's clock went back, new
                // entries have lower ids than the beginning.
                let newest = page.entries.last().map(|entry| entry.id);
                let after = newest.unwrap_or_default().min(self.began);
                resync.ask(Query::From(after), Stage::Again(finding, after))
            }
            Stage::Again(finding, after) => {
                let (finding, after) = (finding.clone(), *after);
                self.read_again(resync, page, finding, after)
            }
        };
        resync.before = Some(Before(page.generation()));
        step
    }

    /// Takes what was found since the last call.
    pub(crate) fn take_findings(&mut self) -> Vec<Finding> {
        take(&mut self.findings)
    }

    /// Adds that entries which were not read may have been trimmed: once, until it is taken.
    pub(crate) fn find_trimmed(&mut self) {
        if !self.findings.contains(&Finding::Trimmed) {
            self.findings.push(Finding::Trimmed);
        }
    }

    fn compare_position(&mut self, resync: &mut Resync, page: &Page) -> Step {
        let Some(newest) = self.ring.newest() else {
            return self.compare_floor(resync, page);
        };
        if page.begins_with(newest) {
            return self.go_on(resync, page, 1);
        }
        let Some(first) = page.first else {
            return self.nothing_found(resync, page);
        };
        let among = self.ring.before_newest(first);
        self.search(resync, page, among, None)
    }

    /// Nothing was read yet: only the floor tells whether something is missing.
    fn compare_floor(&mut self, resync: &mut Resync, page: &Page) -> Step {
        let (generation, after) = (page.generation(), self.after);
        let is_other = generation != self.generation || page.first.is_none();
        if self.generation.is_some() && is_other {
            return self.nothing_found(resync, page);
        }
        let skip = page.entries.iter().take_while(|entry| entry.id <= after);
        let skip = skip.count();
        let is_above = page.floor.is_none_or(|floor| floor.id > after.next());
        let is_trimmed = is_above && page.first.is_some_and(|first| first > after);
        let step = self.go_on(resync, page, skip);
        if is_trimmed && step != Step::Ask {
            self.find_trimmed();
        }
        step
    }

    /// The last entry read is in the stream: reading goes on after it.
    fn go_on(&mut self, resync: &mut Resync, page: &Page, skip: usize) -> Step {
        let generation = page.generation();
        if generation != self.generation {
            // It was read after the entries. If the stream was lost and created again in between, it
            // is not theirs.
            if resync.before != Some(Before(generation)) {
                return Step::Ask;
            }
            self.generation = generation;
        }
        Step::Done { skip }
    }

    /// Looks for the newest entry of the ring among these.
    fn search(
        &mut self,
        resync: &mut Resync,
        page: &Page,
        among: Range<usize>,
        found: Option<usize>,
    ) -> Step {
        let middle = among.start.midpoint(among.end);
        match (self.ring.get(middle), found) {
            (Some(known), _) if !among.is_empty() => {
                let query = Query::Entry(known.id);
                resync.ask(query, Stage::Ring { among, found })
            }
            (_, Some(found)) => {
                let forgotten = self.ring.forget_after(found);
                self.findings.push(Finding::Diverged(forgotten));
                resync.ask(Query::From(self.position()), Stage::Position)
            }
            (_, None) => self.nothing_found(resync, page),
        }
    }

    fn compare_ring(
        &mut self,
        resync: &mut Resync,
        page: &Page,
        among: Range<usize>,
        found: Option<usize>,
    ) -> Step {
        let middle = among.start.midpoint(among.end);
        let is_there = |known| page.begins_with(known);
        // The first entry was read after this one: one that is not lower was not trimmed before.
        let is_trimmed = |known: &Known| page.first.is_none_or(|first| known.id < first);
        match self.ring.get(middle) {
            Some(known) if is_there(known) => {
                self.search(resync, page, middle + 1..among.end, Some(middle))
            }
            // Then one that was found before is trimmed, too.
            Some(known) if is_trimmed(known) => {
                self.search(resync, page, middle + 1..among.end, None)
            }
            _ => self.search(resync, page, among.start..middle, found),
        }
    }

    /// Nothing that was read is in the stream.
    fn nothing_found(&mut self, resync: &mut Resync, page: &Page) -> Step {
        let (position, generation) = (self.position(), page.generation());
        let is_other = self.generation.is_some() && generation != self.generation;
        let is_above = page.floor.is_some_and(|floor| floor.id > position);
        let again_from = JournalPosition::START;
        let finding = match page.first {
            None => Finding::Lost,
            Some(_) if is_other => Finding::Lost,
            Some(first) if is_above && first > position => {
                let again = Stage::Again(Finding::Trimmed, position);
                return resync.ask(Query::From(position), again);
            }
            Some(_) if is_above => Finding::Trimmed,
            Some(_) if generation.is_none() || self.generation.is_none() => Finding::Lost,
            Some(_) => Finding::DivergedUnknown,
        };
        if finding == Finding::Lost || self.began == again_from {
            let again = Stage::Again(finding, again_from);
            resync.ask(Query::From(again_from), again)
        } else {
            resync.ask(Query::Newest, Stage::Newest(finding))
        }
    }

    fn read_again(
        &mut self,
        resync: &mut Resync,
        page: &Page,
        finding: Finding,
        after: JournalPosition,
    ) -> Step {
        let (generation, is_gone) = (page.generation(), page.first.is_none());
        let is_other = resync.before != Some(Before(generation));
        // What was found is true of the stream before.
        if is_other || (is_gone && finding != Finding::Lost) {
            let position = self.position();
            return resync.ask(Query::From(position), Stage::Position);
        }
        self.ring.clear();
        self.after = after;
        self.generation = generation.filter(|_| !is_gone);
        self.findings.push(finding);
        let skip = page.entries.iter().take_while(|entry| entry.id <= after);
        Step::Done { skip: skip.count() }
    }
}

impl Page {
    fn generation(&self) -> Option<Generation> {
        self.floor.map(|floor| floor.generation)
    }

    fn begins_with(&self, known: &Known) -> bool {
        self.entries.first().is_some_and(|entry| {
            entry.id == known.id && Identity::of(entry, entry.numbers()) == known.identity
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::position::Place;
    use crate::keyspace::journal::{Content, Entry, Floor};

    const OURS: Generation = Generation::of(1);
    const OTHER: Generation = Generation::of(2);

    fn entry(ms: u64, content: u64) -> Entry {
        Entry {
            id: JournalPosition::at(ms),
            content: Content::Foreign(content),
        }
    }

    /// The stream of these entries, and its floor.
    type Stream<'a> = (&'a [(u64, u64)], Generation, u64);

    /// A follower that has read entries 10, 20, 30 and 40, and remembers the last three.
    fn followed() -> Followed {
        let place = Place {
            generation: Some(OURS),
            id: JournalPosition::START,
            entry: None,
        };
        let mut followed = Followed::begin(place, JournalPosition::START, 3);
        for ms in [10, 20, 30, 40] {
            followed.read(&entry(ms, ms), None, true);
        }
        followed
    }

    /// Compares with a stream. Returns what was found, and the entries that are handed on.
    fn compare(followed: &mut Followed, stream: Stream<'_>) -> (Vec<Finding>, Vec<u64>) {
        let (entries, generation, floor) = stream;
        let all: Vec<Entry> = entries.iter().map(|(ms, is)| entry(*ms, *is)).collect();
        let mut resync = followed.resync();
        loop {
            let entries = match resync.query() {
                Query::From(id) => all.iter().filter(|entry| entry.id >= id).cloned().collect(),
                Query::Entry(id) => all.iter().filter(|entry| entry.id == id).cloned().collect(),
                Query::Newest => all.last().into_iter().cloned().collect(),
            };
            let page = Page {
                is_master: true,
                entries,
                first: all.first().map(|entry| entry.id),
                floor: Some(Floor {
                    generation,
                    id: JournalPosition::at(floor),
                }),
            };
            match followed.answer(&mut resync, &page) {
                Step::Ask => {}
                Step::Done { skip } => {
                    let handed_on = page.entries[skip..].iter().map(|entry| entry.id.ms);
                    return (followed.take_findings(), handed_on.collect());
                }
                Step::NotMaster => panic!("it is a master"),
            }
        }
    }

    #[test]
    fn what_was_read_decides_where_reading_continues() {
        let diverged = || Finding::Diverged(Vec::new());
        let cases: [(&str, Stream<'_>, Vec<Finding>, &[u64]); 9] = [
            ("the same", (&[(40, 40), (50, 50)], OURS, 40), vec![], &[50]),
            (
                "a floor above it",
                (&[(40, 40), (60, 60)], OURS, 50),
                vec![],
                &[60],
            ),
            (
                "another generation",
                (&[(40, 40), (50, 50)], OTHER, 0),
                vec![],
                &[50],
            ),
            (
                "trimmed",
                (&[(60, 60)], OURS, 55),
                vec![Finding::Trimmed],
                &[60],
            ),
            (
                "a fork",
                (&[(20, 20), (40, 41), (50, 50)], OURS, 0),
                vec![diverged()],
                &[40, 50],
            ),
            (
                "a fork above the floor",
                (&[(30, 30), (50, 50)], OURS, 45),
                vec![diverged()],
                &[50],
            ),
            (
                "another stream",
                (&[(40, 41)], OTHER, 0),
                vec![Finding::Lost],
                &[40],
            ),
            ("no stream", (&[], OURS, 0), vec![Finding::Lost], &[]),
            (
                "more than the ring",
                (&[(10, 10), (15, 15), (45, 45)], OURS, 0),
                vec![Finding::DivergedUnknown],
                &[10, 15, 45],
            ),
        ];
        for (case, stream, findings, handed_on) in cases {
            let result = compare(&mut followed(), stream);
            assert_eq!(result, (findings, handed_on.to_vec()), "{case}");
        }
    }

    #[test]
    fn a_process_is_not_given_what_is_older_than_its_beginning() {
        let place = Place {
            generation: Some(OURS),
            id: JournalPosition::at(40),
            entry: Some(Identity::Foreign(40)),
        };
        for (stream, after) in [
            (&[(10, 10), (39, 39), (45, 45)][..], &[45][..]),
            // The clock went back: later entries will have lower ids.
            (&[(10, 10), (30, 30)], &[]),
        ] {
            let mut followed = Followed::begin(place, place.id, 3);
            let (findings, handed_on) = compare(&mut followed, (stream, OURS, 0));
            assert_eq!(
                (findings, &*handed_on),
                (vec![Finding::DivergedUnknown], after)
            );
            let stream = [stream, &[(31, 31)]].concat();
            let (_, handed_on) = compare(&mut followed, (&stream[..], OURS, 0));
            assert_eq!(handed_on.contains(&31), after.is_empty());
        }
    }

    #[test]
    fn without_an_entry_the_floor_alone_tells_what_was_trimmed() {
        let begin = |generation| {
            let place = Place {
                generation,
                id: JournalPosition::at(25),
                entry: None,
            };
            Followed::begin(place, place.id, 3)
        };
        let stream = [(20, 20), (30, 30)];
        let result = compare(&mut begin(None), (&stream, OURS, 20));
        assert_eq!(result, (vec![], vec![30]));
        // What is left below the floor shows that nothing behind it was trimmed.
        let result = compare(&mut begin(None), (&stream, OURS, 30));
        assert_eq!(result, (vec![], vec![30]));
        let result = compare(&mut begin(None), (&stream[1..], OURS, 30));
        assert_eq!(result, (vec![Finding::Trimmed], vec![30]));
        let result = compare(&mut begin(Some(OTHER)), (&stream, OURS, 0));
        assert_eq!(result, (vec![Finding::Lost], vec![20, 30]));
    }

    #[test]
    fn a_page_of_a_replica_decides_nothing() {
        let mut followed = followed();
        let page = Page::default();
        let mut resync = followed.resync();
        assert_eq!(followed.answer(&mut resync, &page), Step::NotMaster);
        assert!(followed.take_findings().is_empty());
    }
}
