//! Compares two alternatives, and finds the obstacle to reading one as the other.

use crate::contract::inclusion::Pair;
use crate::contract::schemas::{ANYTHING, Id};
use crate::contract::shape::{Alternative, List, Most, Names, Object, Rest, Shape, Text};

/// The keys of a map of numbers, as `schemars` describes them.
const WHOLE: &str = r"^-?\d+$";
const POSITIVE: &str = r"^\d+$";

/// The integers that no reader of a fraction or of any value refuses.
const OF_64_BITS: (i128, Most) = (i64::MIN as i128, Most::Positive(u64::MAX as u128));

/// A reason why an alternative cannot be read, or a part that has to be readable, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// A part of both at this place: `.name` or `[]`.
    Part { place: String, pair: Pair },
    /// Readers need a field that is not always written.
    Missing { field: String, is_optional: bool },
    /// Two names of a field are written, and readers take one.
    Twice { names: [String; 2] },
    /// Readers deny a field that is written.
    Denied { field: String },
    /// The types differ.
    Type,
    /// Any value is written, and a certain type is read.
    Anything,
    /// Numbers are written that are too large or too small.
    Range,
    /// Texts of an enum are written that readers do not know.
    Texts { unknown: Vec<String> },
    /// The numbers of items or characters differ.
    Length,
    /// Readers state something that writers do not, such as a format.
    Constraint { keyword: String },
    /// Keys are numbers, which MessagePack does not write as texts.
    NumberKeys,
}

/// Compares two alternatives. Parts come last, and are obstacles only if they cannot be read.
pub(super) fn obstacles(written: &Alternative, read: &Alternative) -> Vec<Obstacle> {
    let mut found = match (&written.shape, &read.shape) {
        (shape, Shape::Anything) => as_anything(shape),
        (Shape::Anything, _) => return vec![Obstacle::Anything],
        (Shape::Null, Shape::Null) => Vec::new(),
        (Shape::Bool(written), Shape::Bool(read)) if read.is_none() || written == read => {
            Vec::new()
        }
        (
            Shape::Number { is_single },
            Shape::Number {
                is_single: is_read_single,
            },
        ) => {
            if *is_read_single && !is_single {
                vec![Obstacle::Range]
            } else {
                Vec::new()
            }
        }
        (Shape::Integer { min, max }, Shape::Number { .. }) => {
            // No reader of a fraction takes an integer of 128 bits.
            is_within((*min, *max), OF_64_BITS)
        }
        (
            Shape::Integer { min, max },
            Shape::Integer {
                min: least,
                max: most,
            },
        ) => is_within((*min, *max), (*least, *most)),
        (Shape::Number { .. }, Shape::Integer { .. }) => vec![Obstacle::Range],
        (Shape::Text(written), Shape::Text(read)) => texts(written, read),
        (Shape::List(written), Shape::List(read)) => lists(written, read),
        (Shape::Object(written), Shape::Object(read)) => objects(written, read),
        _ => return vec![Obstacle::Type],
    };
    for (keyword, value) in &read.constraints {
        if written.constraints.get(keyword) != Some(value) {
            let keyword = keyword.clone();
            found.insert(0, Obstacle::Constraint { keyword });
        }
    }
    found
}

fn is_within(written: (i128, Most), read: (i128, Most)) -> Vec<Obstacle> {
    let is_within = read.0 <= written.0 && written.1 <= read.1;
    if is_within {
        Vec::new()
    } else {
        vec![Obstacle::Range]
    }
}

/// Any value is read; but keys that are numbers, and numbers of 128 bits, are none that
/// `serde_json::Value` takes from MessagePack.
fn as_anything(written: &Shape) -> Vec<Obstacle> {
    match written {
        Shape::Object(object) if !object.patterns.is_empty() => vec![Obstacle::NumberKeys],
        Shape::Object(object) => {
            let fields = object.fields.iter();
            let mut parts: Vec<_> = fields
                .map(|(name, id)| part(format!(".{name}"), *id, ANYTHING))
                .collect();
            if let Rest::Each(each) = object.rest {
                parts.push(part(".*".to_owned(), each, ANYTHING));
            }
            parts
        }
        Shape::List(list) => {
            let all = list.first.iter().chain([&list.rest]);
            all.map(|id| part("[]".to_owned(), *id, ANYTHING)).collect()
        }
        Shape::Integer { min, max } => is_within((*min, *max), OF_64_BITS),
        _ => Vec::new(),
    }
}

fn part(place: String, written: Id, read: Id) -> Obstacle {
    Obstacle::Part {
        place,
        pair: (written, read),
    }
}

fn texts(written: &Text, read: &Text) -> Vec<Obstacle> {
    let Some(values) = &written.values else {
        let is_within = read.min <= written.min && written.max <= read.max;
        return match &read.values {
            Some(_) => vec![Obstacle::Type],
            None if is_within => Vec::new(),
            None => vec![Obstacle::Length],
        };
    };
    let is_known = |value: &&String| match &read.values {
        Some(known) => known.contains(*value),
        None => read.fits(value),
    };
    let unknown: Vec<_> = values.iter().filter(|it| !is_known(it)).cloned().collect();
    if unknown.is_empty() {
        Vec::new()
    } else {
        vec![Obstacle::Texts { unknown }]
    }
}

fn lists(written: &List, read: &List) -> Vec<Obstacle> {
    let mut found = Vec::new();
    if written.min < read.min || read.max < written.max {
        found.push(Obstacle::Length);
    }
    let named = written.first.len().max(read.first.len());
    for index in 0..named {
        if (index as u64) < written.max {
            let place = format!("[{index}]");
            found.push(part(place, written.item(index), read.item(index)));
        }
    }
    if (named as u64) < written.max {
        found.push(part("[]".to_owned(), written.rest, read.rest));
    }
    found
}

fn objects(written: &Object, read: &Object) -> Vec<Obstacle> {
    let missing = read.required.difference(&written.required);
    let mut found: Vec<_> = missing
        .map(|field| Obstacle::Missing {
            field: field.clone(),
            is_optional: written.fields.contains_key(field),
        })
        .collect();
    let aliases = read.aliases.iter();
    found.extend(aliases.filter_map(|names| one_of(names, written)));
    for (field, id) in &written.fields {
        found.extend(field_of(field, *id, read));
    }
    if let Rest::Each(each) = written.rest {
        found.extend(further_fields(each, written, read));
    }
    for (pattern, id) in &written.patterns {
        let same = read.patterns.get(pattern);
        let wider = || read.patterns.get(WHOLE).filter(|_| pattern == POSITIVE);
        found.push(match same.or_else(wider) {
            Some(each) => part(".*".to_owned(), *id, *each),
            None => Obstacle::NumberKeys,
        });
    }
    found
}

/// Compares a field with several names: serde refuses one that is there twice.
fn one_of(names: &Names, written: &Object) -> Option<Obstacle> {
    let is_map = matches!(written.rest, Rest::Each(_));
    let is_written = |name: &&String| is_map || written.fields.contains_key(*name);
    let mut possible = names.all().filter(is_written);
    match (possible.next(), possible.next()) {
        (Some(one), Some(other)) => Some(Obstacle::Twice {
            names: [one, other].map(Clone::clone),
        }),
        (one, _) => {
            let is_missing = !names.all().any(|name| written.required.contains(name));
            (names.is_required && is_missing).then(|| Obstacle::Missing {
                field: names.field.clone(),
                is_optional: one.is_some(),
            })
        }
    }
}

/// Compares a field that is written.
fn field_of(field: &str, id: Id, read: &Object) -> Option<Obstacle> {
    let place = format!(".{field}");
    if let Some(known) = read.fields.get(field) {
        return Some(part(place, id, *known));
    }
    match read.rest {
        Rest::Unnamed => None,
        Rest::Each(each) => Some(part(place, id, each)),
        Rest::Denied => Some(Obstacle::Denied {
            field: field.to_owned(),
        }),
    }
}

/// Compares the fields of a map that is written: each of them may have any name.
fn further_fields(each: Id, written: &Object, read: &Object) -> Vec<Obstacle> {
    let fields = read.fields.iter();
    let fields = fields.filter(|(name, _)| !written.fields.contains_key(*name));
    let mut found: Vec<_> = fields
        .map(|(name, known)| part(format!(".{name}"), each, *known))
        .collect();
    match read.rest {
        Rest::Unnamed => {}
        Rest::Each(known) => found.push(part(".*".to_owned(), each, known)),
        Rest::Denied if read.is_map() => found.push(Obstacle::NumberKeys),
        Rest::Denied => found.push(Obstacle::Denied {
            field: "*".to_owned(),
        }),
    }
    found
}
