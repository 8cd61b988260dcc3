//! Rejects duplicate keys in structs and maps.
//!
//! Serde writes the tag of an enum and flattened fields next to the other fields of a value. If two
//! of them have the same name, no receiver can read the value.

use std::collections::HashSet;
use std::fmt::Display;

use serde::ser::{Error, Serialize, SerializeMap, SerializeStruct};

use super::Strict;
use crate::Escaped;

/// The error of a key of a flattened map.
const FLATTENED: &str = "the keys of a flattened map must be strings (a map of unknown length looks like \
                         one: pass its length to `serialize_map`)";

/// Returns whether this may be a tag: serde writes tags as `str`, which is unsized, unlike the fields
/// and entries of structs and maps.
const fn is_tag<T: ?Sized>() -> bool {
    size_of::<&T>() > size_of::<usize>()
}

fn duplicate_key<E: Error>(key: impl Display) -> E {
    E::custom(format_args!(
        "duplicate key {}: a flattened or tagged value has a field of the same name",
        Escaped(key)
    ))
}

/// A struct whose fields are checked.
pub(crate) struct StrictStruct<S, const JSON: bool> {
    fields: S,
    /// The names of tags, which come first. Other fields of a struct have distinct names.
    tags: Vec<&'static str>,
    /// True if the field is raw JSON.
    is_raw: bool,
}

impl<S, const JSON: bool> StrictStruct<S, JSON> {
    #[inline]
    pub(super) fn new(fields: S, is_raw: bool) -> Self {
        Self {
            fields,
            tags: Vec::new(),
            is_raw,
        }
    }

    /// Stays out of line, so that the fields of a struct without tags are written inline.
    #[cold]
    fn check<E: Error>(&self, key: &'static str) -> Result<(), E> {
        if self.tags.contains(&key) {
            return Err(duplicate_key(format_args!("{key:?}")));
        }
        Ok(())
    }
}

impl<S: SerializeStruct, const JSON: bool> SerializeStruct for StrictStruct<S, JSON> {
    type Ok = S::Ok;
    type Error = S::Error;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), S::Error> {
        if !self.tags.is_empty() {
            self.check::<S::Error>(key)?;
        }
        if is_tag::<T>() {
            self.tags.push(key);
        }
        let value = Strict::<_, JSON>::with(value, !self.is_raw);
        self.fields.serialize_field(key, &value)
    }

    #[inline]
    fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
        self.fields.skip_field(key)
    }

    #[inline]
    fn end(self) -> Result<S::Ok, S::Error> {
        self.fields.end()
    }
}

/// A map whose entries are checked.
pub(crate) struct StrictMap<S, const JSON: bool> {
    map: S,
    /// The keys of a flattened map are read as field names.
    is_flattened: bool,
    /// The keys as JSON; `None` for a plain map, whose keys are distinct.
    keys: Option<HashSet<Vec<u8>>>,
    is_empty: bool,
}

impl<S: SerializeMap, const JSON: bool> StrictMap<S, JSON> {
    #[inline]
    pub(super) fn new(map: S, is_flattened: bool) -> Self {
        Self {
            map,
            is_flattened,
            keys: is_flattened.then(HashSet::new),
            is_empty: true,
        }
    }

    #[inline]
    fn check<K: Serialize + ?Sized>(&mut self, key: &K) -> Result<(), S::Error> {
        let is_first = std::mem::replace(&mut self.is_empty, false);
        if is_first && is_tag::<K>() {
            self.keys.get_or_insert_default();
        }
        let Some(keys) = &mut self.keys else {
            return Ok(());
        };
        // The format rejects a key that JSON cannot express, or the key equals no field name.
        let Ok(key) = serde_json::to_vec(key) else {
            return Ok(());
        };
        if self.is_flattened && key.first() != Some(&b'"') {
            return Err(S::Error::custom(FLATTENED));
        }
        if keys.contains(&key) {
            return Err(duplicate_key(String::from_utf8_lossy(&key)));
        }
        keys.insert(key);
        Ok(())
    }
}

impl<S: SerializeMap, const JSON: bool> SerializeMap for StrictMap<S, JSON> {
    type Ok = S::Ok;
    type Error = S::Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.check(key)?;
        self.map.serialize_key(&Strict::<_, JSON>::with(key, false))
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.map.serialize_value(&Strict::<_, JSON>::new(value))
    }

    #[inline]
    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), S::Error> {
        self.check(key)?;
        let (key, value) = (
            Strict::<_, JSON>::with(key, false),
            Strict::<_, JSON>::new(value),
        );
        self.map.serialize_entry(&key, &value)
    }

    #[inline]
    fn end(self) -> Result<S::Ok, S::Error> {
        self.map.end()
    }
}
