//! Explains a pair that does not hold: each obstacle with its place.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use crate::contract::inclusion::{Inclusion, Pair};
use crate::contract::obstacle::Obstacle;
use crate::contract::rule::{Direction, Rule};
use crate::contract::shape::{Alternative, Shape};

/// The most places of types that are listed a second time, because they are in several places.
const AGAIN: usize = 300;

/// An obstacle to reading a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reason {
    pub(crate) rule: Rule,
    /// The place in the payload: `.address.street`, `.items[]`; `.` for all of it.
    pub(crate) path: String,
    /// The written and the read schema, in words.
    pub(crate) what: String,
}

/// The obstacles of a pair that does not hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reasons {
    pub(crate) all: Vec<Reason>,
    /// True if there are more places than are listed.
    pub(crate) is_truncated: bool,
}

/// Lists the reasons why a pair does not hold: in each place of each type, and in a type that contains
/// itself once.
pub(super) fn explain(
    inclusion: &mut Inclusion<'_, '_>,
    pair: Pair,
    direction: Direction,
) -> Reasons {
    let mut explanation = Explanation {
        inclusion,
        direction,
        seen: HashSet::from([pair]),
        waiting: VecDeque::new(),
        again: VecDeque::new(),
        here: Rc::new(Place { pair, outer: None }),
        known: HashSet::new(),
        reasons: Vec::new(),
    };
    explanation.pair("");
    while let Some((place, path)) = explanation.waiting.pop_front() {
        explanation.here = place;
        explanation.pair(&path);
    }
    for _ in 0..AGAIN {
        let Some((place, path)) = explanation.again.pop_front() else {
            break;
        };
        explanation.here = place;
        explanation.pair(&path);
    }
    Reasons {
        is_truncated: !explanation.again.is_empty(),
        all: explanation.reasons,
    }
}

/// A pair, and what contains it.
struct Place {
    pair: Pair,
    outer: Option<Rc<Self>>,
}

impl Place {
    fn is_within(&self, pair: Pair) -> bool {
        let mut place = Some(self);
        while let Some(here) = place {
            if here.pair == pair {
                return true;
            }
            place = here.outer.as_deref();
        }
        false
    }
}

struct Explanation<'a, 'w, 'r> {
    inclusion: &'a mut Inclusion<'w, 'r>,
    direction: Direction,
    /// The pairs that have a place.
    seen: HashSet<Pair>,
    /// The pairs that are explained next, those with the shortest paths first.
    waiting: VecDeque<(Rc<Place>, String)>,
    /// Further places of pairs. Each pair has its first place before one has its second.
    again: VecDeque<(Rc<Place>, String)>,
    /// The place that is explained now.
    here: Rc<Place>,
    known: HashSet<Reason>,
    reasons: Vec<Reason>,
}

impl Explanation<'_, '_, '_> {
    fn pair(&mut self, path: &str) {
        let pair = self.here.pair;
        let writes = self.inclusion.writes.alternatives(pair.0);
        let reads = self.inclusion.reads.alternatives(pair.1);
        if writes.is_empty() || reads.is_empty() {
            self.add(
                Rule::TypeChanged,
                path,
                "no value can be read here".to_owned(),
            );
        }
        for written in writes.iter() {
            let found: Vec<_> = reads.iter().map(|read| self.left(written, read)).collect();
            if found.iter().any(Vec::is_empty) {
                continue;
            }
            let nearest = nearest(written, &reads, &found);
            match nearest {
                Some(index) => self.alternative(written, &reads[index], &found[index], path),
                None if !reads.is_empty() => self.other_type(written, &reads, path),
                None => {}
            }
        }
    }

    /// Returns the obstacles between two alternatives, without the parts that can be read.
    fn left(&mut self, written: &Alternative, read: &Alternative) -> Vec<Obstacle> {
        let mut found = self.inclusion.obstacles(written, read);
        found.retain(|obstacle| match obstacle {
            // A part was not compared if another obstacle came first.
            Obstacle::Part { pair, .. } => !self.inclusion.holds(*pair),
            _ => true,
        });
        found
    }

    fn alternative(
        &mut self,
        written: &Alternative,
        read: &Alternative,
        found: &[Obstacle],
        path: &str,
    ) {
        let path = match variant_of(written) {
            Some(Variant::Tagged { name, .. }) => format!("{path}({name})"),
            _ => path.to_owned(),
        };
        for obstacle in found {
            if let Obstacle::Part { place, pair } = obstacle {
                self.part(*pair, &path, place);
                continue;
            }
            self.obstacle(obstacle, written, read, &path);
        }
    }

    fn part(&mut self, pair: Pair, path: &str, place: &str) {
        let is_first = self.seen.insert(pair);
        if !is_first && self.here.is_within(pair) {
            return;
        }
        let outer = Some(Rc::clone(&self.here));
        let queue = if is_first {
            &mut self.waiting
        } else {
            &mut self.again
        };
        let part = Rc::new(Place { pair, outer });
        queue.push_back((part, format!("{path}{place}")));
    }

    fn obstacle(
        &mut self,
        obstacle: &Obstacle,
        written: &Alternative,
        read: &Alternative,
        path: &str,
    ) {
        let rule = Rule::of(obstacle, self.direction);
        match obstacle {
            Obstacle::Missing { field, is_optional } => {
                let path = format!("{path}.{field}");
                if let Some(old) = self.renamed(field, written, read) {
                    let what = format!("`{field}` is required, and `{old}` is written");
                    return self.add(Rule::FieldRenamed, &path, what);
                }
                let how = if *is_optional { "not always" } else { "not" };
                self.add(
                    rule,
                    &path,
                    format!("`{field}` is required, and {how} written"),
                );
            }
            Obstacle::Twice {
                names: [one, other],
            } => {
                let what = format!("`{one}` and `{other}` are written, and are names of one field");
                self.add(rule, &format!("{path}.{one}"), what);
            }
            Obstacle::Denied { field } => {
                let what = format!("`{field}` is written, and unknown fields are denied");
                self.add(rule, &format!("{path}.{field}"), what);
            }
            Obstacle::Texts { unknown } => {
                let unknown: Vec<_> = unknown.iter().map(|it| format!("`{it}`")).collect();
                let what = format!("{} is written, and not known", unknown.join(", "));
                self.add(rule, path, what);
            }
            Obstacle::Constraint { keyword } => {
                let what = format!("{} is written, and {}", written.describe(), read.describe());
                let what = format!("{what} with another `{keyword}` is read");
                self.add(rule, path, what);
            }
            Obstacle::NumberKeys => {
                let what = "one side has numbers as keys, and the other texts".to_owned();
                self.add(rule, path, what);
            }
            Obstacle::Range if is_other_range(written, read) => {
                self.add(Rule::TypeChanged, path, written_and_read(written, &[read]));
            }
            _ => self.add(rule, path, written_and_read(written, &[read])),
        }
    }

    /// Returns the field that is written in place of a missing one: unknown to the reader, with a
    /// type that it can read.
    fn renamed(
        &mut self,
        missing: &str,
        written: &Alternative,
        read: &Alternative,
    ) -> Option<String> {
        let (Shape::Object(written), Shape::Object(read)) = (&written.shape, &read.shape) else {
            return None;
        };
        let wanted = *read.fields.get(missing)?;
        let unknown = written.fields.iter();
        let unknown = unknown.filter(|(name, _)| !read.fields.contains_key(*name));
        let mut similar: Vec<_> = unknown
            .filter(|(name, id)| {
                let is_same = self.inclusion.holds((**id, wanted));
                is_same && written.required.contains(*name)
            })
            .map(|(name, _)| (strsim::normalized_levenshtein(name, missing), name))
            .collect();
        similar.sort_by(|one, other| one.0.total_cmp(&other.0));
        similar.pop().map(|(_, name)| name.clone())
    }

    /// Adds the reason for a type that no alternative of the reader has.
    fn other_type(&mut self, written: &Alternative, reads: &[Alternative], path: &str) {
        let names: Vec<_> = reads.iter().filter_map(variant_of).collect();
        let variant = variant_of(written).filter(|_| !names.is_empty());
        if let Some(variant) = variant {
            let name = variant.name();
            let what = format!("the variant `{name}` is written, and not known");
            return self.add(Rule::VariantChanged, path, what);
        }
        let rule = match (&written.shape, reads) {
            (Shape::Null, _) => Rule::of_null(self.direction),
            (Shape::Anything, _) => Rule::of(&Obstacle::Anything, self.direction),
            // A variant without fields is a text beside objects.
            (Shape::Text(text), _) if text.values.is_some() && !names.is_empty() => {
                Rule::VariantChanged
            }
            _ => Rule::TypeChanged,
        };
        let reads: Vec<_> = reads.iter().collect();
        self.add(rule, path, written_and_read(written, &reads));
    }

    fn add(&mut self, rule: Rule, path: &str, what: String) {
        let path = if path.is_empty() { "." } else { path };
        let reason = Reason {
            rule,
            path: path.to_owned(),
            what,
        };
        if self.known.insert(reason.clone()) {
            self.reasons.push(reason);
        }
    }
}

/// A variant of an enum, by what distinguishes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant<'a> {
    /// The only field is the name of the variant.
    Field(&'a str),
    /// A field has the name.
    Tagged { tag: &'a str, name: &'a str },
}

impl<'a> Variant<'a> {
    fn name(self) -> &'a str {
        match self {
            Self::Field(name) | Self::Tagged { name, .. } => name,
        }
    }
}

fn variant_of(alternative: &Alternative) -> Option<Variant<'_>> {
    let Shape::Object(object) = &alternative.shape else {
        return None;
    };
    let field = object.only_field().map(Variant::Field);
    let tag = || {
        object
            .tag
            .as_ref()
            .map(|(tag, name)| Variant::Tagged { tag, name })
    };
    field.or_else(tag)
}

/// Returns the alternative that was probably meant to read this one.
fn nearest(written: &Alternative, reads: &[Alternative], found: &[Vec<Obstacle>]) -> Option<usize> {
    let variant = variant_of(written);
    let same_type = (0..reads.len()).filter(|index| {
        let is_other_type = |it: &Obstacle| matches!(it, Obstacle::Type | Obstacle::Anything);
        !found[*index].iter().any(is_other_type)
    });
    let candidates: Vec<_> = same_type.collect();
    let same: Vec<_> = candidates
        .iter()
        .copied()
        .filter(|index| variant_of(&reads[*index]) == variant)
        .collect();
    let are_variants = variant.is_some() && reads.iter().any(|it| variant_of(it).is_some());
    let candidates = if same.is_empty() && !are_variants {
        candidates
    } else {
        same
    };
    candidates
        .into_iter()
        .min_by_key(|index| found[*index].len())
}

/// Returns whether neither range contains the other.
fn is_other_range(written: &Alternative, read: &Alternative) -> bool {
    match (&written.shape, &read.shape) {
        (
            Shape::Integer { min, max },
            Shape::Integer {
                min: least,
                max: most,
            },
        ) => !(min <= least && most <= max),
        _ => false,
    }
}

fn written_and_read(written: &Alternative, reads: &[&Alternative]) -> String {
    let mut read: Vec<_> = reads.iter().map(|it| it.describe()).collect();
    read.dedup();
    format!(
        "{} is written, and {} is read",
        written.describe(),
        read.join(" or ")
    )
}
