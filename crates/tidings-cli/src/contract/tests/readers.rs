//! Types as values: their schemas, what they write, and what serde reads as them.
//!
//! A test compares all of this with real types.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A type, in the words of serde.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Bool,
    /// The name in Rust, such as `u32`.
    Integer(&'static str),
    Double,
    Text,
    Char,
    Unit,
    Anything,
    Option(Box<Kind>),
    List(Box<Kind>),
    Tuple(Vec<Kind>),
    Map(Box<Kind>),
    Struct(Struct),
    Enum(Tag, Vec<(String, Variant)>),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Struct {
    pub(super) fields: Vec<Field>,
    pub(super) denies: bool,
    /// The values of a flattened map.
    pub(super) rest: Option<Box<Kind>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) has_default: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Tag {
    External,
    Internal(&'static str),
    Adjacent(&'static str, &'static str),
    Untagged,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Variant {
    Unit,
    Newtype(Kind),
    Struct(Struct),
}

pub(super) const INTEGERS: [(&str, &str, i128, i128); 6] = [
    ("u8", "uint8", 0, u8::MAX as i128),
    ("u32", "uint32", 0, u32::MAX as i128),
    ("u64", "uint64", 0, u64::MAX as i128),
    ("i8", "int8", i8::MIN as i128, i8::MAX as i128),
    ("i32", "int32", i32::MIN as i128, i32::MAX as i128),
    ("i64", "int64", i64::MIN as i128, i64::MAX as i128),
];

/// Random numbers that are the same for the same seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }

    pub(super) fn one_in(&mut self, number: usize) -> bool {
        self.below(number) == 0
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

fn integer(name: &str) -> (&'static str, i128, i128) {
    let (_, format, min, max) = INTEGERS.iter().find(|it| it.0 == name).unwrap();
    (format, *min, *max)
}

impl Kind {
    /// Returns the schema, as `schemars` makes it for serialization or deserialization.
    pub(super) fn schema(&self, is_writer: bool) -> Value {
        let of = |kind: &Self| kind.schema(is_writer);
        match self {
            Self::Bool => json!({ "type": "boolean" }),
            Self::Integer(name) => {
                let (format, min, max) = integer(name);
                let mut schema = json!({ "type": "integer", "format": format });
                if min == 0 {
                    schema["minimum"] = 0.into();
                }
                if max < 256 {
                    schema["minimum"] = i64::try_from(min).unwrap().into();
                    schema["maximum"] = i64::try_from(max).unwrap().into();
                }
                schema
            }
            Self::Double => json!({ "type": "number", "format": "double" }),
            Self::Text => json!({ "type": "string" }),
            Self::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
            Self::Unit => json!({ "type": "null" }),
            Self::Anything => json!(true),
            Self::Option(kind) => json!({ "anyOf": [of(kind), { "type": "null" }] }),
            Self::List(kind) => json!({ "type": "array", "items": of(kind) }),
            Self::Tuple(kinds) => {
                let (items, length) = (kinds.iter().map(of).collect::<Vec<_>>(), kinds.len());
                json!({ "type": "array", "items": items, "minItems": length, "maxItems": length })
            }
            Self::Map(kind) => json!({ "type": "object", "additionalProperties": of(kind) }),
            Self::Struct(fields) => fields.schema(is_writer, None),
            Self::Enum(tag, variants) => {
                let variants = variants
                    .iter()
                    .map(|(name, it)| it.schema(*tag, name, is_writer));
                let keyword = if *tag == Tag::Untagged {
                    "anyOf"
                } else {
                    "oneOf"
                };
                json!({ keyword: variants.collect::<Vec<_>>() })
            }
        }
    }

    /// Returns a value as the type writes it.
    pub(super) fn write(&self, random: &mut Random) -> Value {
        match self {
            Self::Bool => random.one_in(2).into(),
            Self::Integer(name) => {
                let (_, min, max) = integer(name);
                let number = random.pick(&[min, max, 0, 1, 7]);
                i64::try_from(number).map_or_else(|_| json!(u64::MAX), Value::from)
            }
            Self::Double => random.pick(&[0.5, -1.25, 1e300]).into(),
            Self::Text => random.pick(&["", "a", "A", "f0", "long"]).into(),
            Self::Char => random.pick(&["x", "A", "é"]).into(),
            Self::Unit => Value::Null,
            Self::Anything => random.pick(&[
                json!(null),
                json!("x"),
                json!({ "f0": 1 }),
                json!([1]),
                json!(-1),
            ]),
            Self::Option(_) if random.one_in(3) => Value::Null,
            Self::Option(kind) => kind.write(random),
            Self::List(kind) => (0..random.below(4)).map(|_| kind.write(random)).collect(),
            Self::Tuple(kinds) => kinds.iter().map(|kind| kind.write(random)).collect(),
            Self::Map(kind) => entries(kind, random).into(),
            Self::Struct(fields) => fields.write(random).into(),
            Self::Enum(tag, variants) => {
                let (name, variant) = random.pick(variants);
                variant.write(*tag, &name, random)
            }
        }
    }

    /// Returns whether serde reads a value of JSON as this type.
    pub(super) fn reads(&self, value: &Value) -> bool {
        match self {
            Self::Bool => value.is_boolean(),
            Self::Integer(name) => {
                let (_, min, max) = integer(name);
                let number = value.as_number().and_then(serde_json::Number::as_i128);
                number.is_some_and(|number| (min..=max).contains(&number))
            }
            Self::Double => value.is_number(),
            Self::Text => value.is_string(),
            Self::Char => value.as_str().is_some_and(|text| text.chars().count() == 1),
            Self::Unit => value.is_null(),
            Self::Anything => true,
            Self::Option(kind) => value.is_null() || kind.reads(value),
            Self::List(kind) => items(value, |items| items.iter().all(|item| kind.reads(item))),
            Self::Tuple(kinds) => items(value, |items| {
                items.len() == kinds.len()
                    && kinds.iter().zip(items).all(|(kind, it)| kind.reads(it))
            }),
            Self::Map(kind) => fields(value, |fields| fields.values().all(|it| kind.reads(it))),
            Self::Struct(of) => of.reads(value),
            Self::Enum(tag, variants) => variants
                .iter()
                .any(|(name, it)| it.reads(*tag, name, value)),
        }
    }
}

fn items(value: &Value, check: impl FnOnce(&[Value]) -> bool) -> bool {
    value.as_array().is_some_and(|items| check(items))
}

fn fields(value: &Value, check: impl FnOnce(&Map<String, Value>) -> bool) -> bool {
    value.as_object().is_some_and(check)
}

fn entries(kind: &Kind, random: &mut Random) -> Map<String, Value> {
    let names = ["f0", "f1", "A", "other"];
    let count = random.below(3);
    (0..count)
        .map(|_| (random.pick(&names).to_owned(), kind.write(random)))
        .collect()
}

impl Struct {
    fn schema(&self, is_writer: bool, tag: Option<(&str, &str)>) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        if let Some((tag, name)) = tag {
            properties.insert(tag.to_owned(), json!({ "type": "string", "const": name }));
            required.push(tag);
        }
        for field in &self.fields {
            properties.insert(field.name.clone(), field.kind.schema(is_writer));
            if is_writer || !field.may_lack() {
                required.push(&field.name);
            }
        }
        let mut schema =
            json!({ "type": "object", "properties": properties, "required": required });
        if self.denies {
            schema["additionalProperties"] = false.into();
        }
        if let Some(rest) = &self.rest {
            schema["additionalProperties"] = rest.schema(is_writer);
        }
        schema
    }

    fn write(&self, random: &mut Random) -> Map<String, Value> {
        // A writer of a field that is in the flattened map, too, would write it twice.
        let rest = self.rest.as_ref().map(|rest| entries(rest, random));
        let mut all = rest.unwrap_or_default();
        for field in &self.fields {
            all.insert(field.name.clone(), field.kind.write(random));
        }
        all
    }

    fn reads(&self, value: &Value) -> bool {
        match value {
            Value::Object(written) => self.reads_fields(written),
            // By position; what a `default` has may be missing at the end.
            Value::Array(written) if self.rest.is_none() => {
                let is_read = |(index, field): (usize, &Field)| match written.get(index) {
                    Some(value) => field.kind.reads(value),
                    None => field.has_default,
                };
                written.len() <= self.fields.len() && self.fields.iter().enumerate().all(is_read)
            }
            _ => false,
        }
    }

    fn reads_fields(&self, written: &Map<String, Value>) -> bool {
        let known: BTreeMap<_, _> = self
            .fields
            .iter()
            .map(|it| (it.name.as_str(), it))
            .collect();
        let has_all = self
            .fields
            .iter()
            .all(|it| it.may_lack() || written.contains_key(&it.name));
        has_all
            && written.iter().all(
                |(name, value)| match (known.get(name.as_str()), &self.rest) {
                    (Some(field), _) => field.kind.reads(value),
                    (None, Some(rest)) => rest.reads(value),
                    (None, None) => !self.denies,
                },
            )
    }
}

impl Field {
    fn may_lack(&self) -> bool {
        self.has_default || matches!(self.kind, Kind::Option(_))
    }
}

impl Variant {
    /// Returns the type without its tag.
    fn kind(&self) -> Kind {
        match self {
            Self::Unit => Kind::Unit,
            Self::Newtype(kind) => kind.clone(),
            Self::Struct(fields) => Kind::Struct(fields.clone()),
        }
    }

    fn fields(&self) -> Struct {
        match self {
            Self::Struct(fields) => fields.clone(),
            _ => Struct::default(),
        }
    }

    fn schema(&self, tag: Tag, name: &str, is_writer: bool) -> Value {
        match (tag, self) {
            (Tag::External, Self::Unit) => json!({ "type": "string", "const": name }),
            (Tag::External, _) => json!({
                "type": "object", "properties": { name: self.kind().schema(is_writer) },
                "required": [name], "additionalProperties": false,
            }),
            (Tag::Internal(tag), _) => self.fields().schema(is_writer, Some((tag, name))),
            (Tag::Adjacent(tag, content), _) => {
                let name = json!({ "type": "string", "const": name });
                let mut schema = json!({
                    "type": "object", "properties": { tag: name }, "required": [tag],
                });
                if *self != Self::Unit {
                    schema["properties"][content] = self.kind().schema(is_writer);
                    schema["required"] = json!([tag, content]);
                }
                schema
            }
            (Tag::Untagged, _) => self.kind().schema(is_writer),
        }
    }

    fn write(&self, tag: Tag, name: &str, random: &mut Random) -> Value {
        match (tag, self) {
            (Tag::External, Self::Unit) => name.into(),
            (Tag::External, _) => json!({ name: self.kind().write(random) }),
            (Tag::Internal(tag), _) => {
                let mut fields = self.fields().write(random);
                fields.insert(tag.to_owned(), name.into());
                fields.into()
            }
            (Tag::Adjacent(tag, _), Self::Unit) => json!({ tag: name }),
            (Tag::Adjacent(tag, content), _) => {
                json!({ tag: name, content: self.kind().write(random) })
            }
            (Tag::Untagged, _) => self.kind().write(random),
        }
    }

    fn reads(&self, tag: Tag, name: &str, value: &Value) -> bool {
        match tag {
            Tag::External => match value {
                Value::String(text) => *self == Self::Unit && text == name,
                Value::Object(fields) => {
                    let is_only = fields.len() == 1;
                    is_only
                        && fields
                            .get(name)
                            .is_some_and(|content| self.kind().reads(content))
                }
                _ => false,
            },
            Tag::Internal(tag) => {
                let Some(written) = value.as_object() else {
                    return false;
                };
                let mut others = written.clone();
                let is_this = others
                    .remove(tag)
                    .is_some_and(|it| it.as_str() == Some(name));
                is_this && (*self == Self::Unit || self.fields().reads_fields(&others))
            }
            Tag::Adjacent(tag, content) => {
                let is_this = value.get(tag).and_then(Value::as_str) == Some(name);
                let content = value.get(content);
                is_this
                    && match self {
                        Self::Unit => content.is_none_or(Value::is_null),
                        _ => content.is_some_and(|it| self.kind().reads(it)),
                    }
            }
            // Not by position, as others.
            Tag::Untagged => match self {
                Self::Struct(of) => value.as_object().is_some_and(|it| of.reads_fields(it)),
                _ => self.kind().reads(value),
            },
        }
    }
}
