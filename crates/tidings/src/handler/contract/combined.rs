//! One schema of several types, with the annotations of each type at its place.

use serde_json::{Value, json};

use crate::event::schema::{Annotations, Describe, Schemas, Sides, add_annotations};

/// The schemas of one type, with their annotations.
pub(super) struct Part {
    pub(super) sides: Sides,
    pub(super) about: Annotations,
}

impl Part {
    pub(super) fn of(describe: Describe, schemas: &mut Schemas) -> Self {
        let mut about = Annotations::new();
        let sides = schemas.sides(describe, &mut about);
        Self { sides, about }
    }
}

/// The schema of one side of a part, with the annotations of the part.
type OneSide<'a> = (&'a Value, &'a Annotations);

/// Returns the side that is written.
pub(super) fn written(part: &Part) -> OneSide<'_> {
    (&part.sides.writes, &part.about)
}

/// Returns the side that is read.
pub(super) fn read(part: &Part) -> OneSide<'_> {
    (&part.sides.reads, &part.about)
}

/// Returns the schema of values that all parts allow, and adds its annotations to `about`.
pub(super) fn all_of<'a>(
    parts: impl IntoIterator<Item = OneSide<'a>>,
    about: &mut Annotations,
) -> Option<Value> {
    let mut parts: Vec<_> = parts.into_iter().collect();
    if parts.iter().any(|(schema, _)| !is_anything(schema)) {
        parts.retain(|(schema, _)| !is_anything(schema));
    }
    combined("allOf", &parts, about)
}

/// Returns the schema of values that one of the parts allows, and adds its annotations to `about`.
pub(super) fn any_of<'a>(
    parts: impl IntoIterator<Item = OneSide<'a>>,
    about: &mut Annotations,
) -> Option<Value> {
    let parts: Vec<_> = parts.into_iter().collect();
    if parts.iter().any(|(schema, _)| is_anything(schema)) {
        return Some(json!(true));
    }
    combined("anyOf", &parts, about)
}

fn is_anything(schema: &Value) -> bool {
    *schema == json!(true)
}

fn combined(keyword: &str, parts: &[OneSide<'_>], about: &mut Annotations) -> Option<Value> {
    let mut schemas: Vec<&Value> = parts.iter().map(|(schema, _)| *schema).collect();
    schemas.sort_by_cached_key(ToString::to_string);
    schemas.dedup();
    let place = |schema: &Value| {
        let at = schemas.iter().position(|it| *it == schema);
        let at = at.filter(|_| schemas.len() > 1);
        at.map_or_else(String::new, |at| format!("/{keyword}/{at}"))
    };
    for (schema, of_part) in parts {
        let place = place(schema);
        let moved = of_part.iter();
        let moved =
            moved.map(|(pointer, of_place)| (format!("{place}{pointer}"), of_place.clone()));
        add_annotations(about, moved.collect());
    }
    match schemas.as_slice() {
        [] => None,
        [only] => Some((*only).clone()),
        _ => Some(json!({ keyword: schemas })),
    }
}
