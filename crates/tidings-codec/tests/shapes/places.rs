//! Places of a value in a payload: in each representation of enums, flattened, in maps and lists, and
//! nested.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::table::{Expected, Table};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Named<T> {
    pub(crate) inner: T,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Newtype<T>(pub(crate) T);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Transparent<T> {
    pub(crate) inner: T,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TupleStruct<T>(pub(crate) T, pub(crate) u8);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum External<T> {
    Unit,
    Newtype(T),
    Tuple(T, u8),
    Struct { inner: T },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub(crate) enum Internal<T> {
    Unit,
    Newtype(Named<T>),
    Struct { inner: T },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value")]
pub(crate) enum Adjacent<T> {
    Unit,
    Newtype(T),
    Tuple(T, u8),
    Struct { inner: T },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Untagged<T> {
    Struct { only_here: T },
    Newtype(T),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum UntaggedTuple<T> {
    Tuple(T, u8, u8, u8),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Flat<T> {
    pub(crate) id: u32,
    #[serde(flatten)]
    pub(crate) rest: T,
}

/// As [`Internal`], with one variant, which the compiler makes in a third of the time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum OnlyInternal<T> {
    Struct { inner: T },
}

/// Tries the value in all places.
pub(crate) fn everywhere<T>(table: &mut Table, expected: [Expected; 2], name: &str, value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + Clone,
{
    bare(table, expected, name, value);
    buffered(table, expected, name, value);
}

/// Tries the value alone, next to a tag, and in an untagged enum.
pub(crate) fn at_edges<T>(table: &mut Table, expected: [Expected; 2], name: &str, value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + Clone,
{
    let inner = || value.clone();
    let mut put = Put {
        table,
        expected,
        name,
    };
    put.at("alone", value);
    put.at(
        "in an internal struct",
        &OnlyInternal::Struct { inner: inner() },
    );
    put.at("in an untagged newtype", &Untagged::Newtype(inner()));
}

/// Tries the value where serde reads it directly from the payload.
pub(crate) fn bare<T>(table: &mut Table, expected: [Expected; 2], name: &str, value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + Clone,
{
    let inner = || value.clone();
    let mut put = Put {
        table,
        expected,
        name,
    };
    put.at("alone", value);
    put.at("in a list", &vec![inner(), inner()]);
    put.at("in a map", &BTreeMap::from([("key".to_owned(), inner())]));
    put.at("in a struct", &Named { inner: inner() });
    put.at("in an external newtype", &External::Newtype(inner()));
    put.at("in an adjacent tuple", &Adjacent::Tuple(inner(), 7));
}

/// Tries the value where serde buffers it before it knows its type.
pub(crate) fn buffered<T>(table: &mut Table, expected: [Expected; 2], name: &str, value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + Clone,
{
    let inner = || value.clone();
    let named = || Named { inner: inner() };
    let flat = || Flat {
        id: 7,
        rest: named(),
    };
    let mut put = Put {
        table,
        expected,
        name,
    };
    put.at("in an internal newtype", &Internal::Newtype(named()));
    put.at("in an untagged newtype", &Untagged::Newtype(inner()));
    put.at(
        "in an untagged struct",
        &Untagged::Struct { only_here: inner() },
    );
    put.at("flattened", &flat());
    put.at(
        "in a flattened map",
        &Flat {
            id: 7,
            rest: HashMap::from([("key".to_owned(), inner())]),
        },
    );
    put.at(
        "internal, a list of external",
        &Internal::Struct {
            inner: vec![External::Tuple(inner(), 7)],
        },
    );
    put.at(
        "adjacent, untagged",
        &Adjacent::Newtype(Untagged::Newtype(inner())),
    );
}

/// Tries the value in nested representations; in the long run also in transparent types and in all
/// other combinations.
pub(crate) fn within_each_other<T>(
    table: &mut Table,
    expected: [Expected; 2],
    name: &str,
    value: &T,
) where
    T: Serialize + DeserializeOwned + PartialEq + Debug + Clone,
{
    let inner = || value.clone();
    let named = || Named { inner: inner() };
    let flat = || Flat {
        id: 7,
        rest: named(),
    };
    let mut put = Put {
        table,
        expected,
        name,
    };
    put.at("in a transparent struct", &Transparent { inner: inner() });
    put.at(
        "flattened twice",
        &Flat {
            id: 7,
            rest: Flat2 {
                other: 8,
                rest: named(),
            },
        },
    );
    put.at(
        "internal, internal",
        &Internal::Struct {
            inner: Internal::Newtype(named()),
        },
    );
    put.at(
        "untagged, external",
        &Untagged::Newtype(External::Newtype(inner())),
    );
    put.at("external, flattened", &External::Newtype(flat()));
    put.at("in a Box", &Box::new(inner()));
    put.at("in an Rc", &Rc::new(inner()));
    put.at("in an Arc", &Arc::new(inner()));
    put.at("in a Cow", &Cow::<'_, T>::Owned(inner()));
    put.at("in a tuple", &(inner(), 7_u8));
    put.at("in an array", &[inner(), inner()]);
    put.at("in a newtype", &Newtype(inner()));
    put.at("in a tuple struct", &TupleStruct(inner(), 7));
    put.at("in an external tuple", &External::Tuple(inner(), 7));
    put.at(
        "in an external struct",
        &External::Struct { inner: inner() },
    );
    put.at("in an adjacent newtype", &Adjacent::Newtype(inner()));
    put.at(
        "in an adjacent struct",
        &Adjacent::Struct { inner: inner() },
    );
    put.at(
        "in an internal struct",
        &Internal::Struct { inner: inner() },
    );
    put.at(
        "in an untagged tuple",
        &UntaggedTuple::Tuple(inner(), 1, 2, 3),
    );
    put.at(
        "flattened, internal",
        &Flat {
            id: 7,
            rest: Internal::Struct { inner: inner() },
        },
    );
    put.at(
        "flattened, adjacent",
        &Flat {
            id: 7,
            rest: Adjacent::Newtype(inner()),
        },
    );
    put.at(
        "flattened, external",
        &Flat {
            id: 7,
            rest: External::Newtype(inner()),
        },
    );
    put.at(
        "flattened, untagged",
        &Flat {
            id: 7,
            rest: Untagged::Struct { only_here: inner() },
        },
    );
    put.at("internal, flattened", &Internal::Struct { inner: flat() });
    put.at(
        "internal, a list",
        &Internal::Struct {
            inner: vec![inner()],
        },
    );
    put.at(
        "internal, a map",
        &Internal::Struct {
            inner: BTreeMap::from([("key".to_owned(), inner())]),
        },
    );
    put.at(
        "untagged, internal",
        &Untagged::Newtype(Internal::Struct { inner: inner() }),
    );
    put.at(
        "untagged, a tuple struct",
        &Untagged::Newtype(TupleStruct(inner(), 7)),
    );
    put.at("a list of untagged", &vec![Untagged::Newtype(inner())]);
}

/// As [`Flat`], with another field, so that one can be nested in the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Flat2<T> {
    pub(crate) other: u32,
    #[serde(flatten)]
    pub(crate) rest: T,
}

struct Put<'a> {
    table: &'a mut Table,
    expected: [Expected; 2],
    name: &'a str,
}

impl Put<'_> {
    fn at<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, place: &str, value: &T) {
        let shape = format!("{} {place}", self.name);
        self.table.expect(self.expected, &shape, value);
    }
}
