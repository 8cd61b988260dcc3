//! The outline of a schema: its fields with their types in words, for people and for forms.

use serde::Serialize;

use crate::contract::budget::{Budget, TooComplex};
use crate::contract::model::{Contract, Side, Sides};
use crate::contract::schemas::{Id, Schemas};
use crate::contract::shape::{Alternative, List, Object, Rest, Shape};

/// The most parts of an outline, and the most bytes of their names and choices. What exceeds them has no
/// parts.
const PARTS: usize = 300;
const BYTES: usize = 32 << 10;

/// The most parts that contain each other.
const DEPTH: usize = 8;

/// The most characters of a type in words.
const WORDS: usize = 200;

/// The steps of one outline: less than a second.
const STEPS: usize = 100_000;

/// A part of what is written or read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Outline {
    /// The type in words: `u64`, `text`, `a list`.
    words: String,
    /// True if it may be `null` instead.
    is_nullable: bool,
    #[serde(flatten)]
    parts: Parts,
}

/// The content of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Parts {
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    Choice {
        values: Vec<String>,
    },
    List {
        item: Box<Outline>,
    },
    Map {
        value: Box<Outline>,
    },
    Object {
        fields: Vec<Field>,
    },
    Variants {
        variants: Vec<Outline>,
    },
    /// Anything else, and what is nested too deep or contains itself.
    Other,
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Field {
    name: String,
    is_required: bool,
    #[serde(flatten)]
    outline: Outline,
}

/// Returns the outline of one side of a place. `None` if the contract has no schema for it.
pub(crate) fn outline(
    contract: &Contract,
    (kind, name): (&'static str, &str),
    sides: &Sides,
    side: Side,
) -> Result<Option<Outline>, TooComplex> {
    let Some(schema) = sides.get(side) else {
        return Ok(None);
    };
    let budget = Budget::new(STEPS);
    // As what is written: a comparison adds to what is read, and no reader needs that.
    let definitions = contract.definitions_of(side);
    let mut schemas = Schemas::new(Side::Writes, definitions, &budget);
    let id = schemas.id(schema);
    let mut outliner = Outliner {
        schemas,
        parts: PARTS,
        bytes: BYTES,
        open: Vec::new(),
    };
    let outline = outliner.outline(id);
    if budget.is_spent() {
        let name = name.to_owned();
        return Err(TooComplex { kind, name });
    }
    Ok(Some(outline))
}

struct Outliner<'a> {
    schemas: Schemas<'a>,
    /// The number of parts that the limits still allow.
    parts: usize,
    bytes: usize,
    /// The schemas that contain this part.
    open: Vec<Id>,
}

impl Outliner<'_> {
    fn outline(&mut self, id: Id) -> Outline {
        let alternatives = self.schemas.alternatives(id);
        let is_null = |it: &&Alternative| matches!(it.shape, Shape::Null);
        let others: Vec<_> = alternatives.iter().filter(|it| !is_null(it)).collect();
        let is_nullable = others.len() < alternatives.len() && !others.is_empty();
        let is_closed = self.open.contains(&id) || self.open.len() >= DEPTH;
        self.open.push(id);
        let mut outline = match others.as_slice() {
            [] if alternatives.is_empty() => Outline::other("no value"),
            [] => Outline::new("null", Parts::Null),
            [only] => self.alternative(only, is_closed),
            several if is_bool(several) => Outline::new("true or false", Parts::Boolean),
            several => self.variants(several, is_closed),
        };
        self.open.pop();
        outline.is_nullable = is_nullable;
        outline
    }

    fn alternative(&mut self, alternative: &Alternative, is_closed: bool) -> Outline {
        let words = alternative.describe();
        let parts = match &alternative.shape {
            Shape::Null => Parts::Null,
            Shape::Bool(_) => Parts::Boolean,
            Shape::Integer { .. } => Parts::Integer,
            Shape::Number { .. } => Parts::Number,
            Shape::Text(text) => match &text.values {
                Some(values) if self.has_room_for(values.iter()) => Parts::Choice {
                    values: values.iter().cloned().collect(),
                },
                _ => Parts::Text,
            },
            Shape::List(list) if !is_closed => self.list(list),
            Shape::Object(object) if !is_closed => self.object(object),
            _ => Parts::Other,
        };
        Outline::new(words, parts)
    }

    fn list(&mut self, list: &List) -> Parts {
        // The items of a tuple have types of their own.
        if !list.first.is_empty() || !self.has_room_for([].iter()) {
            return Parts::Other;
        }
        let item = Box::new(self.outline(list.rest));
        Parts::List { item }
    }

    fn object(&mut self, object: &Object) -> Parts {
        if !self.has_room_for(object.fields.keys()) {
            return Parts::Other;
        }
        if object.is_map() {
            let each = match object.rest {
                Rest::Each(each) => Some(each),
                _ => object.patterns.values().next().copied(),
            };
            return each.map_or(Parts::Other, |each| Parts::Map {
                value: Box::new(self.outline(each)),
            });
        }
        let fields = object.fields.iter();
        let fields = fields.map(|(name, id)| Field {
            name: name.clone(),
            is_required: object.required.contains(name),
            outline: self.outline(*id),
        });
        Parts::Object {
            fields: fields.collect(),
        }
    }

    fn variants(&mut self, several: &[&Alternative], is_closed: bool) -> Outline {
        let words = format!("one of {} forms", several.len());
        if is_closed || several.len() > self.parts {
            return Outline::other(words);
        }
        self.parts -= several.len();
        let variants = several.iter().map(|it| self.alternative(it, false));
        let variants = variants.collect();
        Outline::new(words, Parts::Variants { variants })
    }

    /// Takes the room for a part with these texts, if there is some left.
    fn has_room_for<'t>(&mut self, texts: impl ExactSizeIterator<Item = &'t String>) -> bool {
        let parts = 1 + texts.len();
        let bytes: usize = texts.map(String::len).sum();
        let has_room = parts <= self.parts && bytes <= self.bytes;
        if has_room {
            self.parts -= parts;
            self.bytes -= bytes;
        }
        has_room
    }
}

impl Outline {
    fn new(words: impl Into<String>, parts: Parts) -> Self {
        Self {
            words: words.into().chars().take(WORDS).collect(),
            is_nullable: false,
            parts,
        }
    }

    fn other(words: impl Into<String>) -> Self {
        Self::new(words, Parts::Other)
    }
}

fn is_bool(several: &[&Alternative]) -> bool {
    several.iter().all(|it| matches!(it.shape, Shape::Bool(_)))
}
