//! The comparison of two contracts, event by event, in both directions.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Serialize;
use serde_json::{Value, json};

use crate::contract::alias::with_aliases;
use crate::contract::budget::{Budget, TooComplex};
use crate::contract::changes::Changes;
use crate::contract::explain::{Reason, explain};
use crate::contract::inclusion::Inclusion;
use crate::contract::model::{Contract, Event, Side, Sides};
use crate::contract::renamed::{Added, Renamed};
use crate::contract::rule::{Direction, Rule};
use crate::contract::schemas::Schemas;

const BOTH: [Direction; 2] = [Direction::NewReadsOld, Direction::OldReadsNew];

/// The response of a handler that returns no value, which is not in the contract.
static NO_VALUE: LazyLock<Sides> = LazyLock::new(|| Sides::of(json!({ "type": "null" })));

/// The severity of a change, the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Old and new processes can read each other.
    Fine,
    Warning,
    /// One side cannot read the other.
    Break,
}

/// A change, and who cannot read what because of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// The kind of place: `event`, `response`, `value`, `map` or `counter`.
    pub(crate) kind: &'static str,
    /// The name of the event, value, map or counter.
    pub(crate) name: String,
    pub(crate) path: String,
    /// None if the change is fine.
    pub(crate) rule: Option<Rule>,
    /// The rule of the part that has changed, if `rule` is about responses or values.
    pub(crate) cause: Option<Rule>,
    pub(crate) direction: Option<Direction>,
    pub(crate) text: String,
    pub(crate) instead: Option<String>,
}

impl Finding {
    /// A finding about the whole of a place.
    fn new(place: Place<'_>, level: Level, text: String) -> Self {
        Self {
            level,
            kind: place.kind,
            name: place.name.to_owned(),
            path: ".".to_owned(),
            rule: None,
            cause: None,
            direction: None,
            text,
            instead: None,
        }
    }

    fn with_rule(self, rule: Rule) -> Self {
        Self {
            rule: Some(rule),
            instead: Some(rule.instead().to_owned()),
            ..self
        }
    }
}

/// The names of the two contracts in sentences.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) old: String,
    pub(crate) new: String,
}

/// The directions that are checked. Values and maps of both versions always meet.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) directions: Vec<Direction>,
    /// False if only what both have is compared, because each may have events of its own.
    pub(crate) is_same_program: bool,
    pub(crate) names: Names,
}

/// The result of a check.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    /// The number of events, values and maps without a change.
    pub(crate) unchanged: usize,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            directions: BOTH.to_vec(),
            is_same_program: true,
            names: Names {
                old: "old processes".to_owned(),
                new: "new processes".to_owned(),
            },
        }
    }
}

impl Asked {
    /// The comparison with a process that runs, of any program: each may have events of its own.
    /// Without a second one, the other contract is that of new processes.
    pub(crate) fn in_fleet(one: &str, other: Option<&str>) -> Self {
        let like = |name: &str| format!("processes like {name}");
        let mut asked = Self {
            is_same_program: false,
            ..Self::default()
        };
        asked.names.old = like(one);
        if let Some(other) = other {
            asked.names.new = like(other);
        }
        asked
    }
}

/// Compares two contracts. Fails if the schemas of a place take too long, which is no result.
pub(crate) fn check(old: &Contract, new: &Contract, asked: &Asked) -> Result<Report, TooComplex> {
    check_within(&Budget::of(&[old, new]), old, new, asked)
}

pub(super) fn check_within(
    budget: &Budget,
    old: &Contract,
    new: &Contract,
    asked: &Asked,
) -> Result<Report, TooComplex> {
    // A schema with aliases has to live as long as the comparison.
    let [old_reads, new_reads] = [old, new].map(reads_of_events);
    let inclusions = BOTH.map(|direction| {
        let (writer, reader) = match direction {
            Direction::NewReadsOld => (old, new),
            Direction::OldReadsNew => (new, old),
        };
        Inclusion::new(
            Schemas::new(Side::Writes, writer.definitions_of(Side::Writes), budget),
            Schemas::new(Side::Reads, reader.definitions_of(Side::Reads), budget),
            budget,
        )
    });
    let mut comparison = Comparison {
        old,
        new,
        asked,
        inclusions,
        changes: Changes::new([old, new].map(|it| it.definitions_of(Side::Reads))),
        budget,
        too_complex: None,
        report: Report::default(),
    };
    comparison.events(&old_reads, &new_reads);
    comparison.shared("value", &old.values, &new.values);
    comparison.shared("map", &old.maps, &new.maps);
    comparison.counters();
    if let Some(place) = comparison.too_complex {
        return Err(place);
    }
    let mut report = comparison.report;
    report
        .findings
        .sort_by_key(|finding| std::cmp::Reverse(finding.level));
    Ok(report)
}

fn reads_of_events(contract: &Contract) -> BTreeMap<&str, Value> {
    let events = contract.events.iter();
    let reads = events.filter_map(|(name, event)| {
        let reads = event.payload.get(Side::Reads)?;
        Some((name.as_str(), with_aliases(reads, &event.alias)))
    });
    reads.collect()
}

struct Comparison<'a> {
    old: &'a Contract,
    new: &'a Contract,
    asked: &'a Asked,
    /// One for each direction, in the order of `BOTH`.
    inclusions: [Inclusion<'a, 'a>; 2],
    changes: Changes<'a>,
    budget: &'a Budget,
    /// The first place for which the budget was too small.
    too_complex: Option<TooComplex>,
    report: Report,
}

/// A place of the contract: an event, a response, a value or a map.
#[derive(Clone, Copy)]
struct Place<'a> {
    kind: &'static str,
    name: &'a str,
}

/// The schemas of a place, on both sides of both versions.
#[derive(Clone, Copy)]
struct Schemas2<'a> {
    writes: [&'a Value; 2],
    reads: [&'a Value; 2],
}

impl<'a> Comparison<'a> {
    fn events(
        &mut self,
        old_reads: &'a BTreeMap<&str, Value>,
        new_reads: &'a BTreeMap<&str, Value>,
    ) {
        let (old, new) = (self.old, self.new);
        let added = Added::of(old, new);
        for (name, was) in &old.events {
            let place = Place {
                kind: "event",
                name,
            };
            let Some(is) = new.events.get(name) else {
                let renamed = added.like(was);
                self.removed(place, renamed);
                continue;
            };
            let before = self.report.findings.len();
            self.event(
                place,
                [was, is],
                [old_reads.get(&**name), new_reads.get(&**name)],
            );
            self.responses(name, [was, is]);
            if self.report.findings.len() == before {
                self.report.unchanged += 1;
            }
        }
        for name in added.names {
            self.missing_in_one("event", name, "added");
        }
    }

    fn removed(&mut self, place: Place<'a>, renamed: Option<Renamed<'a>>) {
        if !self.asked.is_same_program {
            return;
        }
        let name = place.name;
        let [old, new] = [&self.asked.names.old, &self.asked.names.new];
        let (level, rule, text) = if let Some(Renamed { to, is_certain }) = renamed {
            let is_break = is_certain && self.asked.directions.contains(&Direction::OldReadsNew);
            let level = if is_break {
                Level::Break
            } else {
                Level::Warning
            };
            let how = if is_certain { "was" } else { "looks" };
            let text = format!(
                "{old} and {new} do not handle each other's events: `{name}` {how} renamed to `{to}`"
            );
            (level, Rule::EventRenamed, text)
        } else {
            let text = format!("{old} may still send it, and {new} do not handle it");
            (Level::Warning, Rule::EventRemoved, text)
        };
        let finding = Finding::new(place, level, text).with_rule(rule);
        self.report.findings.push(finding);
    }

    /// Adds what only one of the versions has.
    fn missing_in_one(&mut self, kind: &'static str, name: &str, what: &str) {
        if self.asked.is_same_program {
            self.fine(Place { kind, name }, ".", &format!("the {kind} was {what}"));
        }
    }

    fn event(&mut self, place: Place<'a>, events: [&'a Event; 2], reads: [Option<&'a Value>; 2]) {
        let [was, is] = events;
        let writes = [was, is].map(|it| it.payload.get(Side::Writes));
        let ([Some(old_writes), Some(new_writes)], [Some(old_reads), Some(new_reads)]) =
            (writes, reads)
        else {
            self.without_schema(place, &was.payload, &is.payload);
            return;
        };
        let schemas = Schemas2 {
            writes: [old_writes, new_writes],
            reads: [old_reads, new_reads],
        };
        self.compare(place, schemas, None, &self.asked.directions.clone());
    }

    fn responses(&mut self, name: &'a str, events: [&'a Event; 2]) {
        let place = Place {
            kind: "response",
            name,
        };
        let is_handled = events.iter().all(|event| !event.handled_by.is_empty());
        let (rule, directions) = (Rule::ResponseChanged, self.asked.directions.clone());
        match events.map(|event| event.response.as_ref()) {
            [Some(was), Some(is)] => self.sides(place, [was, is], rule, &directions),
            // The handlers return no value, and those who request it expect none.
            [None, Some(is)] if is_handled => {
                let before = self.report.findings.len();
                self.sides(place, [&*NO_VALUE, is], rule, &directions);
                if self.report.findings.len() == before {
                    self.fine(place, ".", "the response was added");
                }
            }
            [None, Some(_)] => self.fine(place, ".", "the response was added"),
            [Some(_), None] if self.asked.directions.contains(&Direction::OldReadsNew) => {
                let [old, new] = [&self.asked.names.old, &self.asked.names.new];
                let text = format!("{old} that request it get no response from {new}");
                self.report.findings.push(Finding {
                    direction: Some(Direction::OldReadsNew),
                    ..Finding::new(place, Level::Break, text).with_rule(Rule::ResponseChanged)
                });
            }
            [_, None] => {}
        }
    }

    /// Compares values or maps, which all versions read and write.
    fn shared(
        &mut self,
        kind: &'static str,
        old: &'a BTreeMap<String, Sides>,
        new: &'a BTreeMap<String, Sides>,
    ) {
        for (name, was) in old {
            let place = Place { kind, name };
            let Some(is) = new.get(name) else {
                self.missing_in_one(kind, name, "removed");
                continue;
            };
            let before = self.report.findings.len();
            self.sides(place, [was, is], Rule::ValueChanged, &BOTH);
            if self.report.findings.len() == before {
                self.report.unchanged += 1;
            }
        }
        for name in new.keys().filter(|name| !old.contains_key(*name)) {
            self.missing_in_one(kind, name, "added");
        }
    }

    fn counters(&mut self) {
        let (old, new) = (&self.old.counters, &self.new.counters);
        for (these, others, what) in [(old, new, "removed"), (new, old, "added")] {
            for name in these.keys().filter(|name| !others.contains_key(*name)) {
                self.missing_in_one("counter", name, what);
            }
        }
    }

    fn sides(
        &mut self,
        place: Place<'a>,
        [was, is]: [&'a Sides; 2],
        rule: Rule,
        directions: &[Direction],
    ) {
        let of = |side| [was.get(side), is.get(side)];
        let ([Some(old_writes), Some(new_writes)], [Some(old_reads), Some(new_reads)]) =
            (of(Side::Writes), of(Side::Reads))
        else {
            self.without_schema(place, was, is);
            return;
        };
        let schemas = Schemas2 {
            writes: [old_writes, new_writes],
            reads: [old_reads, new_reads],
        };
        self.compare(place, schemas, Some(rule), directions);
    }

    fn compare(
        &mut self,
        place: Place<'a>,
        schemas: Schemas2<'a>,
        rule: Option<Rule>,
        directions: &[Direction],
    ) {
        let mut is_broken = false;
        for (index, direction) in BOTH.into_iter().enumerate() {
            if !directions.contains(&direction) {
                continue;
            }
            // New readers read what old processes write, and the other way round.
            let (written, read) = (schemas.writes[index], schemas.reads[1 - index]);
            let inclusion = &mut self.inclusions[index];
            let pair = (inclusion.writes.id(written), inclusion.reads.id(read));
            if inclusion.holds(pair) {
                continue;
            }
            is_broken = true;
            let reasons = explain(inclusion, pair, direction);
            for reason in reasons.all {
                self.broken(place, rule, direction, reason);
            }
            if reasons.is_truncated {
                self.truncated(place, direction);
            }
        }
        if self.budget.is_spent() {
            self.too_complex.get_or_insert_with(|| TooComplex {
                kind: place.kind,
                name: place.name.to_owned(),
            });
        } else if !is_broken {
            for (path, text) in self.changes.between(schemas.reads) {
                self.fine(place, &path, &text);
            }
        }
    }

    fn broken(
        &mut self,
        place: Place<'a>,
        rule: Option<Rule>,
        direction: Direction,
        reason: Reason,
    ) {
        let [old, new] = [&self.asked.names.old, &self.asked.names.new];
        let (readers, writers) = match direction {
            Direction::NewReadsOld => (new, old),
            Direction::OldReadsNew => (old, new),
        };
        let text = match place.kind {
            "response" => format!("{readers} cannot read the response of {writers}"),
            _ => format!("{readers} cannot read what {writers} write"),
        };
        let text = format!("{text}: {}", reason.what);
        self.report.findings.push(Finding {
            path: reason.path,
            rule: Some(rule.unwrap_or(reason.rule)),
            cause: rule.map(|_| reason.rule),
            direction: Some(direction),
            ..Finding::new(place, Level::Break, text).with_rule(reason.rule)
        });
    }

    /// Adds a break that no exception allows: there are more places than one can list.
    fn truncated(&mut self, place: Place<'a>, direction: Direction) {
        let text = "the same types are in more places than are listed".to_owned();
        self.report.findings.push(Finding {
            direction: Some(direction),
            ..Finding::new(place, Level::Break, text)
        });
    }

    /// Warns of a place whose schema is not known any more, or was not.
    fn without_schema(&mut self, place: Place<'a>, was: &Sides, is: &Sides) {
        if !is.is_unknown() {
            return self.fine(place, ".", "a schema was added");
        }
        if was.is_unknown() {
            return;
        }
        let text = if self.asked.is_same_program {
            "it had a schema, and has none now: nothing can be checked".to_owned()
        } else {
            let new = &self.asked.names.new;
            format!("{new} have no schema of it: nothing can be checked")
        };
        let finding = Finding::new(place, Level::Warning, text).with_rule(Rule::NoSchema);
        self.report.findings.push(finding);
    }

    fn fine(&mut self, place: Place<'_>, path: &str, text: &str) {
        self.report.findings.push(Finding {
            path: path.to_owned(),
            ..Finding::new(place, Level::Fine, text.to_owned())
        });
    }
}
