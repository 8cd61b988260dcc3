//! Computes the intersection of two schemas.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::contract::schemas::{ANYTHING, Id, Schemas};
use crate::contract::shape::{Alternative, List, Object, Rest, Shape, Text};

static NOTHING: Value = Value::Bool(false);

impl Schemas<'_> {
    pub(super) fn meet_all(
        &mut self,
        some: Vec<Alternative>,
        others: Vec<Alternative>,
    ) -> Vec<Alternative> {
        match (&some[..], &others[..]) {
            ([one], _) if one.is_anything() => return others,
            (_, [one]) if one.is_anything() => return some,
            _ => {}
        }
        if !self.budget.spend(some.len().saturating_mul(others.len())) {
            return Vec::new();
        }
        let pairs = some
            .iter()
            .flat_map(|one| others.iter().map(move |it| (one, it)));
        pairs
            .filter_map(|(one, other)| self.meet(one, other))
            .collect()
    }

    /// Returns what is allowed by both.
    fn meet(&mut self, one: &Alternative, other: &Alternative) -> Option<Alternative> {
        let steps = one.weight() + other.weight();
        if !self.budget.spend(steps.saturating_mul(4)) {
            return None;
        }
        let shape = match (&one.shape, &other.shape) {
            (Shape::Anything, shape) | (shape, Shape::Anything) => shape.clone(),
            (Shape::Null, Shape::Null) => Shape::Null,
            (Shape::Bool(None), Shape::Bool(value)) | (Shape::Bool(value), Shape::Bool(None)) => {
                Shape::Bool(*value)
            }
            (number @ Shape::Number { is_single: true }, Shape::Number { .. })
            | (Shape::Number { .. }, number @ (Shape::Number { .. } | Shape::Integer { .. }))
            | (number @ Shape::Integer { .. }, Shape::Number { .. }) => number.clone(),
            (
                Shape::Integer { min, max },
                Shape::Integer {
                    min: least,
                    max: most,
                },
            ) => Shape::Integer {
                min: *min.max(least),
                max: *max.min(most),
            },
            (Shape::Text(one), Shape::Text(other)) => Shape::Text(meet_texts(one, other)?),
            (Shape::List(one), Shape::List(other)) => Shape::List(self.meet_lists(one, other)),
            (Shape::Object(one), Shape::Object(other)) => {
                Shape::Object(self.meet_objects(one, other))
            }
            _ => return None,
        };
        let mut constraints = one.constraints.clone();
        constraints.extend(other.constraints.clone());
        Some(Alternative { shape, constraints })
    }

    fn meet_lists(&mut self, one: &List, other: &List) -> List {
        let length = one.first.len().max(other.first.len());
        let first = (0..length).map(|it| self.meet_ids(one.item(it), other.item(it)));
        List {
            first: first.collect(),
            rest: self.meet_ids(one.rest, other.rest),
            min: one.min.max(other.min),
            max: one.max.min(other.max),
        }
    }

    /// Joins the fields: a flattened type is a part of the object.
    fn meet_objects(&mut self, one: &Object, other: &Object) -> Object {
        let patterns = [&one.patterns, &other.patterns].map(Clone::clone);
        let [mut patterns, more] = patterns;
        for (pattern, id) in more {
            let met = patterns.get(&pattern).copied().unwrap_or(ANYTHING);
            patterns.insert(pattern, self.meet_ids(met, id));
        }
        let names: BTreeSet<_> = one.fields.keys().chain(other.fields.keys()).collect();
        let mut fields = BTreeMap::new();
        for name in names {
            let ids = [one, other].map(|it| self.allowed_in(it, name));
            fields.insert(name.clone(), self.meet_ids(ids[0], ids[1]));
        }
        let required = one.required.union(&other.required);
        let mut aliases = one.aliases.clone();
        let more = other.aliases.iter();
        aliases.extend(more.filter(|it| !one.aliases.contains(it)).cloned());
        Object {
            fields,
            required: required.cloned().collect(),
            aliases,
            patterns,
            rest: match (one.rest, other.rest) {
                (Rest::Denied, _) | (_, Rest::Denied) => Rest::Denied,
                (Rest::Each(one), Rest::Each(other)) => Rest::Each(self.meet_ids(one, other)),
                (Rest::Unnamed, rest) | (rest, Rest::Unnamed) => rest,
            },
            tag: one.tag.clone().or_else(|| other.tag.clone()),
        }
    }

    /// Returns what an object allows for a field, which it may not name.
    fn allowed_in(&mut self, object: &Object, name: &str) -> Id {
        match (object.fields.get(name).copied(), object.rest) {
            (Some(id), _) | (None, Rest::Each(id)) => id,
            (None, Rest::Unnamed) => ANYTHING,
            (None, Rest::Denied) => self.id(&NOTHING),
        }
    }
}

fn meet_texts(one: &Text, other: &Text) -> Option<Text> {
    let values = match (&one.values, &other.values) {
        (Some(one), Some(other)) => Some(one.intersection(other).cloned().collect()),
        (Some(values), None) | (None, Some(values)) => Some(values.clone()),
        (None, None) => None,
    };
    let (min, max) = (one.min.max(other.min), one.max.min(other.max));
    let is_empty = values.as_ref().is_some_and(BTreeSet::is_empty);
    (!is_empty && min <= max).then_some(Text { values, min, max })
}
