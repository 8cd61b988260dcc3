//! The recipes of the book for a change in two releases: each step can be read by both sides, as serde
//! says, and the check allows it, with the exception that the book names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{breaks, contract_of, reads_all};
use crate::contract::rule::Rule;
use crate::contract::{Contract, Finding};

/// Checks a release, and returns the rules that the check reports.
fn released(old: &Contract, new: &Contract) -> Vec<Rule> {
    let rule = |finding: Finding| finding.cause.or(finding.rule);
    breaks(old, new).into_iter().filter_map(rule).collect()
}

macro_rules! recipes {
    ($(#[doc = $about:literal] $name:ident [$($rule:ident)?, $($last:ident)?]: $(mod $version:ident { $($item:item)+ } [$($sample:expr),+])+)+) => {
        $(
            #[doc = $about]
            mod $name {
                $(mod $version {
                    use super::super::*;
                    $(#[derive(Serialize, Deserialize, JsonSchema)] $item)+
                    pub(super) fn samples() -> Vec<T> { vec![$($sample),+] }
                })+

                #[test]
                fn takes_two_releases() {
                    use super::*;
                    let versions = [$(contract_of::<$version::T>()),+];
                    let (first, then, last) = (v1::samples(), v2::samples(), v3::samples());
                    assert!(reads_all::<_, v2::T>(&first) && reads_all::<_, v1::T>(&then));
                    assert!(reads_all::<_, v3::T>(&then) && reads_all::<_, v2::T>(&last));
                    let in_one = reads_all::<_, v3::T>(&first) && reads_all::<_, v1::T>(&last);
                    assert!(!in_one, "two releases are not needed");
                    let excepted: &[Rule] = &[$(Rule::$rule)?];
                    assert_eq!(released(&versions[0], &versions[1]), excepted);
                    let excepted: &[Rule] = &[$(Rule::$last)?];
                    assert_eq!(released(&versions[1], &versions[2]), excepted);
                    assert!(!released(&versions[0], &versions[2]).is_empty());
                }
            }
        )+
    };
}

recipes! {
    /// Both names are read before the new one is written. Only `#[event(alias)]` tells the check.
    rename_a_field [FieldRenamed, FieldRenamed]:
    mod v1 { pub(super) struct T { name: String } } [T { name: "x".into() }]
    mod v2 { pub(super) struct T { #[serde(rename(serialize = "name"), alias = "name")] title: String } } [T { title: "x".into() }]
    mod v3 { pub(super) struct T { #[serde(alias = "name")] title: String } } [T { title: "x".into() }]

    /// The field has a default before it is required.
    add_a_required_field [, ]:
    mod v1 { pub(super) struct T { id: u32 } } [T { id: 1 }]
    mod v2 { pub(super) struct T { id: u32, #[serde(default)] name: String } } [T { id: 1, name: "x".into() }]
    mod v3 { pub(super) struct T { id: u32, name: String } } [T { id: 1, name: "x".into() }]

    /// The field has a default before it is removed.
    remove_a_required_field [, ]:
    mod v1 { pub(super) struct T { id: u32, name: String } } [T { id: 1, name: "x".into() }]
    mod v2 { pub(super) struct T { id: u32, #[serde(default)] name: String } } [T { id: 1, name: "x".into() }]
    mod v3 { pub(super) struct T { id: u32 } } [T { id: 1 }]

    /// The type is wider before such a number is written.
    widen_a_number [NumberWidened, ]:
    mod v1 { pub(super) struct T { id: u32 } } [T { id: 1 }]
    mod v2 { pub(super) struct T { id: u64 } } [T { id: 1 }]
    mod v3 { pub(super) struct T { id: u64 } } [T { id: u64::MAX }]

    /// Readers take unknown variants before one is written.
    add_a_variant [ValueAdded, ValueAdded]:
    mod v1 { pub(super) enum T { A } } [T::A]
    mod v2 { pub(super) enum T { A, #[serde(other)] Unknown } } [T::A]
    mod v3 { pub(super) enum T { A, B, #[serde(other)] Unknown } } [T::A, T::B]

    /// `None` is read before it is written.
    make_a_field_optional [NullAdded, ]:
    mod v1 { pub(super) struct T { id: u32 } } [T { id: 1 }]
    mod v2 { pub(super) struct T { id: Option<u32> } } [T { id: Some(1) }]
    mod v3 { pub(super) struct T { id: Option<u32> } } [T { id: None }]
}
