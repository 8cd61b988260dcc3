//! The alternatives that a schema allows, with its references, `allOf` and `anyOf` resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::contract::schemas::Id;

/// Keywords that say nothing about what is written or read. A set reads a list with repeated items.
const ANNOTATIONS: [&str; 12] = [
    "$comment",
    "$id",
    "$schema",
    "default",
    "definitions",
    "deprecated",
    "description",
    "examples",
    "readOnly",
    "title",
    "uniqueItems",
    "writeOnly",
];

/// The keyword for further names of fields, which no file has: the check adds it.
pub(super) const ALIASES: &str = "tidings:aliases";

/// Keywords that the shapes contain.
pub(super) const UNDERSTOOD: [&str; 19] = [
    "$ref",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "enum",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "oneOf",
    "patternProperties",
    "properties",
    "required",
    ALIASES,
];

/// One of the alternatives of a schema.
#[derive(Clone, Debug)]
pub(super) struct Alternative {
    pub(super) shape: Shape,
    /// Keywords that are only compared: a reader with one can read what has the same.
    pub(super) constraints: Constraints,
}

pub(super) type Constraints = BTreeMap<String, Rc<Value>>;

#[derive(Clone, Debug)]
pub(super) enum Shape {
    Anything,
    Null,
    Bool(Option<bool>),
    Integer {
        min: i128,
        max: Most,
    },
    /// A number with a fraction, of 32 bits if it is single.
    Number {
        is_single: bool,
    },
    Text(Text),
    List(List),
    Object(Object),
}

/// The largest integer that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Most {
    Negative(i128),
    Positive(u128),
}

#[derive(Clone, Debug)]
pub(super) struct Text {
    /// The only texts, if not all are allowed.
    pub(super) values: Option<BTreeSet<String>>,
    pub(super) min: u64,
    pub(super) max: u64,
}

#[derive(Clone, Debug)]
pub(super) struct List {
    /// The first items, each with a schema of its own.
    pub(super) first: Vec<Id>,
    /// All further items.
    pub(super) rest: Id,
    pub(super) min: u64,
    pub(super) max: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) fields: BTreeMap<String, Id>,
    pub(super) required: BTreeSet<String>,
    /// Fields that have several names.
    pub(super) aliases: Vec<Names>,
    /// Values by the pattern of their names: maps with numbers as keys.
    pub(super) patterns: BTreeMap<String, Id>,
    pub(super) rest: Rest,
    /// The field with the name of a variant, and this name.
    pub(super) tag: Option<(String, String)>,
}

/// A field that a reader accepts under one of several names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) field: String,
    pub(super) others: BTreeSet<String>,
    pub(super) is_required: bool,
}

/// The fields that an object does not name. A writer has none of them, and a reader skips them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Unnamed,
    Denied,
    Each(Id),
}

impl Alternative {
    pub(super) fn of(shape: Shape) -> Self {
        Self {
            shape,
            constraints: BTreeMap::new(),
        }
    }

    pub(super) fn is_anything(&self) -> bool {
        matches!(self.shape, Shape::Anything) && self.constraints.is_empty()
    }

    /// Returns the number of steps that it takes to look at it.
    pub(super) fn weight(&self) -> usize {
        let parts = match &self.shape {
            Shape::Object(object) => object.fields.len() + object.required.len(),
            Shape::List(list) => list.first.len(),
            Shape::Text(text) => text.values.as_ref().map_or(0, BTreeSet::len),
            _ => 0,
        };
        1 + parts + self.constraints.len()
    }

    /// Returns the object of a variant with a tag.
    pub(super) fn as_variant(&self) -> Option<&Object> {
        match &self.shape {
            Shape::Object(object) if object.tag.is_some() => Some(object),
            _ => None,
        }
    }

    /// Describes the shape in a sentence: `text`, `u32`, `a list`.
    pub(super) fn describe(&self) -> String {
        let text = match &self.shape {
            Shape::Anything => "any value",
            Shape::Null => "null",
            Shape::Bool(_) => "true or false",
            Shape::Integer { min, max } => return integer_name(*min, *max),
            Shape::Number { is_single: true } => "f32",
            Shape::Number { .. } => "f64",
            Shape::Text(text) => return text.describe(&self.constraints),
            Shape::List(list) if list.min == list.max => {
                return format!("a list of {} items", list.min);
            }
            Shape::List(_) => "a list",
            Shape::Object(object) if object.is_map() => "a map",
            Shape::Object(_) => "an object",
        };
        text.to_owned()
    }
}

impl Text {
    pub(super) const ALL: Self = Self {
        values: None,
        min: 0,
        max: u64::MAX,
    };

    /// Returns whether a text has an allowed length.
    pub(super) fn fits(&self, text: &str) -> bool {
        (self.min..=self.max).contains(&(text.chars().count() as u64))
    }

    fn describe(&self, constraints: &Constraints) -> String {
        if let Some(values) = &self.values {
            return match values.first() {
                Some(value) if values.len() == 1 => format!("the text `{value}`"),
                _ => format!("one of {} texts", values.len()),
            };
        }
        if (self.min, self.max) == (1, 1) {
            return "one character".to_owned();
        }
        match constraints.get("format").and_then(|it| it.as_str()) {
            Some(format) => format!("text as `{format}`"),
            None => "text".to_owned(),
        }
    }
}

impl List {
    /// Returns the schema of an item.
    pub(super) fn item(&self, index: usize) -> Id {
        self.first.get(index).copied().unwrap_or(self.rest)
    }
}

impl Object {
    /// Returns whether it has no fields of its own.
    pub(super) fn is_map(&self) -> bool {
        self.fields.is_empty() && (matches!(self.rest, Rest::Each(_)) || !self.patterns.is_empty())
    }

    /// Returns the fields beside the tag.
    pub(super) fn contents(&self) -> impl Iterator<Item = &String> {
        let tag = self.tag.as_ref().map(|(tag, _)| tag);
        self.fields.keys().filter(move |field| Some(*field) != tag)
    }

    /// Returns the only field of a variant with an external tag.
    pub(super) fn only_field(&self) -> Option<&str> {
        let is_variant =
            self.required.len() == 1 && self.fields.len() == 1 && self.rest == Rest::Denied;
        let name = self.required.first().filter(|_| is_variant)?;
        Some(name)
    }
}

impl Names {
    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        [&self.field].into_iter().chain(&self.others)
    }
}

impl From<i128> for Most {
    fn from(number: i128) -> Self {
        u128::try_from(number).map_or(Self::Negative(number), Self::Positive)
    }
}

impl fmt::Display for Most {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Negative(number) => number.fmt(f),
            Self::Positive(number) => number.fmt(f),
        }
    }
}

/// Returns the keywords that are only compared.
pub(super) fn constraints(schema: &Map<String, Value>) -> Constraints {
    let is_number = |schema: &Map<String, Value>| {
        let types = schema.get("type").map(types_of).unwrap_or_default();
        types.contains(&"integer") || types.contains(&"number")
    };
    // Values that no shape has.
    let is_nested = |value: &Value| value.is_array() || value.is_object();
    let has_nested = schema.get("const").is_some_and(is_nested)
        || matches!(schema.get("enum"), Some(Value::Array(all)) if all.iter().any(is_nested));
    let kept = schema.iter().filter(|(keyword, _)| {
        let keyword = keyword.as_str();
        let is_known = ANNOTATIONS.contains(&keyword) || UNDERSTOOD.contains(&keyword);
        // The format of a number is its width, which `integer` has read.
        let is_nested = has_nested && ["const", "enum"].contains(&keyword);
        (!is_known || is_nested) && keyword != "type" && !(keyword == "format" && is_number(schema))
    });
    kept.map(|(keyword, value)| (keyword.clone(), Rc::new(value.clone())))
        .collect()
}

/// Returns the types of the keyword `type`.
pub(super) fn types_of(types: &Value) -> Vec<&str> {
    match types {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Returns the shapes of the values of `enum` or `const`.
pub(super) fn shapes_of_values(values: &[Value]) -> Vec<Shape> {
    let texts: BTreeSet<_> = values.iter().filter_map(Value::as_str).collect();
    let mut shapes = Vec::new();
    if !texts.is_empty() {
        let values = Some(texts.into_iter().map(str::to_owned).collect());
        shapes.push(Shape::Text(Text {
            values,
            ..Text::ALL
        }));
    }
    for value in values {
        shapes.push(match value {
            Value::Null => Shape::Null,
            Value::Bool(value) => Shape::Bool(Some(*value)),
            Value::Number(number) => match number.as_i128() {
                Some(value) => Shape::Integer {
                    min: value,
                    max: value.into(),
                },
                None => Shape::Number { is_single: false },
            },
            _ => continue,
        });
    }
    shapes
}

/// Returns the numbers that an integer of this format holds.
pub(super) fn integer(schema: &Map<String, Value>) -> Shape {
    let format = schema.get("format").and_then(Value::as_str);
    let (min, max) = WIDTHS
        .iter()
        .find(|(_, format_of, ..)| Some(*format_of) == format)
        .map_or((i128::MIN, u128::MAX), |(_, _, min, max)| (*min, *max));
    let max = Most::Positive(max);
    let bound = |keyword: &str| schema.get(keyword).and_then(whole);
    Shape::Integer {
        min: bound("minimum").map_or(min, |least| least.max(min)),
        max: bound("maximum").map_or(max, |most| Most::from(most).min(max)),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a bound with a fraction")]
fn whole(bound: &Value) -> Option<i128> {
    let number = bound.as_number()?;
    number.as_i128().or_else(|| Some(number.as_f64()? as i128))
}

/// The integers of Rust, by the format that `schemars` gives them.
const WIDTHS: [(&str, &str, i128, u128); 12] = [
    ("u8", "uint8", 0, u8::MAX as u128),
    ("u16", "uint16", 0, u16::MAX as u128),
    ("u32", "uint32", 0, u32::MAX as u128),
    ("u64", "uint64", 0, u64::MAX as u128),
    ("usize", "uint", 0, u64::MAX as u128),
    ("u128", "uint128", 0, u128::MAX),
    ("i8", "int8", i8::MIN as i128, i8::MAX as u128),
    ("i16", "int16", i16::MIN as i128, i16::MAX as u128),
    ("i32", "int32", i32::MIN as i128, i32::MAX as u128),
    ("i64", "int64", i64::MIN as i128, i64::MAX as u128),
    ("isize", "int", i64::MIN as i128, i64::MAX as u128),
    ("i128", "int128", i128::MIN, i128::MAX as u128),
];

fn integer_name(min: i128, max: Most) -> String {
    let known = WIDTHS
        .iter()
        .find(|(.., low, high)| (*low, Most::Positive(*high)) == (min, max));
    match known {
        Some((name, ..)) => (*name).to_owned(),
        None if (min, max) == (i128::MIN, Most::Positive(u128::MAX)) => "a whole number".to_owned(),
        None if Most::from(min) == max => format!("the number {max}"),
        None => format!("a whole number from {min} to {max}"),
    }
}
