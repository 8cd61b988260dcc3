//! Enums in all four representations, with each kind of variant.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::places::{
    Adjacent, External, Flat, Internal, Named, Newtype, Untagged, at_edges, bare, everywhere,
    within_each_other,
};
use super::table::{Expected, SAME, Table};

#[test]
fn enums_in_every_representation_are_read_back() {
    let mut table = Table::default();
    let all = &mut table;
    everywhere(all, SAME, "external unit", &External::<u8>::Unit);
    everywhere(all, SAME, "external newtype", &External::Newtype(7_u8));
    at_edges(
        all,
        SAME,
        "external newtype of unit",
        &External::Newtype(()),
    );
    at_edges(
        all,
        SAME,
        "external newtype of none",
        &External::Newtype(None::<u8>),
    );
    everywhere(all, SAME, "external tuple", &External::Tuple('a', 7));
    everywhere(
        all,
        SAME,
        "external struct",
        &External::Struct { inner: 7_u8 },
    );
    everywhere(all, SAME, "internal unit", &Internal::<u8>::Unit);
    everywhere(
        all,
        SAME,
        "internal newtype",
        &Internal::Newtype(Named { inner: 7_u8 }),
    );
    everywhere(
        all,
        SAME,
        "internal struct",
        &Internal::Struct { inner: 7_u8 },
    );
    everywhere(all, SAME, "adjacent unit", &Adjacent::<u8>::Unit);
    everywhere(all, SAME, "adjacent newtype", &Adjacent::Newtype(7_u8));
    at_edges(
        all,
        SAME,
        "adjacent tuple",
        &Adjacent::Tuple("a".to_owned(), 7),
    );
    at_edges(
        all,
        SAME,
        "adjacent struct",
        &Adjacent::Struct { inner: 7_u8 },
    );
    at_edges(all, SAME, "untagged newtype", &Untagged::Newtype(7_u8));
    bare(
        all,
        SAME,
        "untagged struct",
        &Untagged::Struct { only_here: 7_u8 },
    );
    everywhere(
        all,
        SAME,
        "flattened struct",
        &Flat {
            id: 7,
            rest: Named { inner: 7_u8 },
        },
    );
    bare(
        all,
        SAME,
        "option of an enum",
        &Some(External::Newtype(7_u8)),
    );
    at_edges(
        all,
        SAME,
        "option of a unit variant",
        &Some(External::<u8>::Unit),
    );
    table.check();
}

#[test]
fn nested_representations_are_read_back() {
    let mut table = Table::default();
    let all = &mut table;
    let address = IpAddr::from([10, 0, 0, 7]);
    within_each_other(all, SAME, "address", &address);
    within_each_other(all, SAME, "list of addresses", &vec![address]);
    within_each_other(
        all,
        SAME,
        "numbers as keys",
        &BTreeMap::from([(7_u64, -1_i8)]),
    );
    within_each_other(all, SAME, "external", &External::Newtype(address));
    within_each_other(all, SAME, "unit variant", &External::<u8>::Unit);
    within_each_other(all, SAME, "internal", &Internal::Struct { inner: address });
    within_each_other(all, SAME, "adjacent", &Adjacent::Newtype(address));
    within_each_other(
        all,
        SAME,
        "bytes",
        &serde_bytes::ByteBuf::from(vec![0, 255]),
    );
    within_each_other(all, SAME, "unit", &());
    within_each_other(all, [Expected::Rejected("128 bits"); 2], "u128", &u128::MAX);
    within_each_other(
        all,
        [Expected::Rejected("not finite"), Expected::Same],
        "NaN",
        &f64::NAN,
    );
    table.check();
}

#[test]
fn an_untagged_enum_is_read_as_the_first_variant_that_fits() {
    let mut table = Table::default();
    let inner = Untagged::Struct { only_here: 7_u8 };
    table.expect(
        [Expected::Differs; 2],
        "the other variant fits too",
        &Untagged::Newtype(inner),
    );
    let some = Untagged::Newtype(Some(External::Newtype(7_u8)));
    table.expect(
        [Expected::Differs; 2],
        "an option that may be missing",
        &some,
    );
    table.check();
}

#[test]
fn an_internally_tagged_enum_is_read_back_where_serde_supports_it() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        Unit(()),
        Map(BTreeMap<String, u8>),
        Struct(Named<u8>),
        Nested(Internal2),
        External(External<u8>),
        Number(u8),
        Text(String),
        List(Vec<u8>),
        Flag(bool),
        Maybe(Option<Named<u8>>),
        Newtype(Newtype<Named<u8>>),
    }
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "other")]
    enum Internal2 {
        Struct { inner: u8 },
        Unit,
    }
    let mut table = Table::default();
    let all = &mut table;
    at_edges(all, SAME, "unit next to a tag", &Tagged::Unit(()));
    at_edges(
        all,
        SAME,
        "map next to a tag",
        &Tagged::Map(BTreeMap::from([("a".into(), 1)])),
    );
    everywhere(
        all,
        SAME,
        "struct next to a tag",
        &Tagged::Struct(Named { inner: 7 }),
    );
    at_edges(
        all,
        SAME,
        "newtype next to a tag",
        &Tagged::Newtype(Newtype(Named { inner: 7 })),
    );
    everywhere(
        all,
        SAME,
        "tag next to a tag",
        &Tagged::Nested(Internal2::Struct { inner: 7 }),
    );
    at_edges(
        all,
        SAME,
        "unit tag next to a tag",
        &Tagged::Nested(Internal2::Unit),
    );
    at_edges(
        all,
        SAME,
        "external next to a tag",
        &Tagged::External(External::Newtype(7)),
    );
    at_edges(
        all,
        SAME,
        "external struct next to a tag",
        &Tagged::External(External::Struct { inner: 7 }),
    );
    at_edges(
        all,
        SAME,
        "external tuple next to a tag",
        &Tagged::External(External::Tuple(7, 8)),
    );
    at_edges(
        all,
        SAME,
        "external unit next to a tag",
        &Tagged::External(External::Unit),
    );
    let rejected = [Expected::Rejected("cannot serialize tagged newtype variant"); 2];
    everywhere(all, rejected, "number next to a tag", &Tagged::Number(7));
    at_edges(
        all,
        rejected,
        "text next to a tag",
        &Tagged::Text("a".into()),
    );
    at_edges(all, rejected, "list next to a tag", &Tagged::List(vec![7]));
    at_edges(all, rejected, "flag next to a tag", &Tagged::Flag(true));
    at_edges(all, rejected, "option next to a tag", &Tagged::Maybe(None));
    table.check();
}

#[test]
fn variants_can_be_renamed_and_have_a_fallback() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "SCREAMING-KEBAB-CASE")]
    enum Status {
        InProgress,
        #[serde(rename = "done & gone", alias = "done")]
        Done {
            exit_code: i32,
        },
        #[serde(other)]
        Unknown,
    }
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum NumberOrText {
        Number(i64),
        Float(f64),
        Text(String),
        List(Vec<NumberOrText>),
        Nothing,
    }
    let mut table = Table::default();
    let all = &mut table;
    at_edges(all, SAME, "renamed unit", &Status::InProgress);
    at_edges(all, SAME, "renamed struct", &Status::Done { exit_code: -1 });
    at_edges(all, SAME, "other", &Status::Unknown);
    everywhere(
        all,
        SAME,
        "number of untagged",
        &NumberOrText::Number(i64::MIN),
    );
    at_edges(all, SAME, "float of untagged", &NumberOrText::Float(0.5));
    at_edges(
        all,
        SAME,
        "whole float of untagged",
        &NumberOrText::Float(1.0),
    );
    at_edges(
        all,
        SAME,
        "text of untagged",
        &NumberOrText::Text("7".into()),
    );
    at_edges(
        all,
        SAME,
        "list of untagged",
        &NumberOrText::List(vec![
            NumberOrText::Number(7),
            NumberOrText::Text("a".into()),
        ]),
    );
    everywhere(all, SAME, "nothing of untagged", &NumberOrText::Nothing);
    table.check();
}
