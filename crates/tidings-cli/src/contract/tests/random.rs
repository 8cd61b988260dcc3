//! Random types that are changed once: what the check allows can be read.
//!
//! `readers` writes and reads them as serde does; the first test compares it with real types.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::readers::{Field, INTEGERS, Kind, Random, Struct, Tag, Variant};
use super::{breaks, broken, contract, contract_of};
use crate::contract::{Contract, Direction};

/// The types of one run.
const FEW: u64 = 500;
const MANY: u64 = 10_000;

/// The values of each type.
const VALUES: usize = 24;

fn contract_of_kind(kind: &Kind) -> Contract {
    let (writes, reads) = (kind.schema(true), kind.schema(false));
    contract(&json!({ "events": { "it": { "writes": writes, "reads": reads } } }))
}

fn leaf(random: &mut Random) -> Kind {
    let integer = random.pick(&INTEGERS).0;
    random.pick(&[
        Kind::Bool,
        Kind::Integer(integer),
        Kind::Integer("u32"),
        Kind::Double,
        Kind::Text,
        Kind::Text,
        Kind::Char,
        Kind::Unit,
        Kind::Anything,
    ])
}

fn kind(random: &mut Random, depth: usize) -> Kind {
    if depth == 0 {
        return leaf(random);
    }
    let inner = |random: &mut Random| Box::new(kind(random, depth - 1));
    match random.below(10) {
        0..3 => leaf(random),
        3 => Kind::Option(inner(random)),
        4 => Kind::List(inner(random)),
        5 => Kind::Tuple(
            (0..=random.below(3))
                .map(|_| kind(random, depth - 1))
                .collect(),
        ),
        6 => Kind::Map(inner(random)),
        7 => enumeration(random, depth),
        _ => Kind::Struct(structure(random, depth)),
    }
}

fn structure(random: &mut Random, depth: usize) -> Struct {
    let count = random.below(4);
    let mut of = Struct {
        fields: (0..count)
            .map(|index| field(random, &format!("f{index}"), depth))
            .collect(),
        denies: random.one_in(4),
        rest: None,
    };
    if random.one_in(6) {
        of.rest = Some(Box::new(kind(random, depth - 1)));
        of.denies = false;
    }
    of
}

fn field(random: &mut Random, name: &str, depth: usize) -> Field {
    Field {
        name: name.to_owned(),
        kind: kind(random, depth - 1),
        has_default: random.one_in(3),
    }
}

fn enumeration(random: &mut Random, depth: usize) -> Kind {
    let tag = random.pick(&[
        Tag::External,
        Tag::External,
        Tag::Internal("t"),
        Tag::Adjacent("t", "c"),
        Tag::Untagged,
    ]);
    let names = ["A", "B", "C"].iter().take(1 + random.below(3));
    let variants = names.map(|name| ((*name).to_owned(), variant(random, tag, depth)));
    Kind::Enum(tag, variants.collect())
}

fn variant(random: &mut Random, tag: Tag, depth: usize) -> Variant {
    match (random.below(3), tag) {
        (0, _) => Variant::Unit,
        // A newtype within an internal tag has the fields of its type.
        (1, Tag::External | Tag::Adjacent(..) | Tag::Untagged) => {
            Variant::Newtype(kind(random, depth - 1))
        }
        _ => {
            let mut fields = structure(random, depth);
            if let Tag::Internal(_) = tag {
                fields.rest = None;
            }
            Variant::Struct(fields)
        }
    }
}

/// Changes one part of a type.
fn mutate(of: &mut Kind, random: &mut Random) {
    if random.one_in(4) {
        return replace(of, random);
    }
    match of {
        Kind::Option(inner) | Kind::List(inner) | Kind::Map(inner) => mutate(inner, random),
        Kind::Tuple(kinds) if random.one_in(3) => kinds.push(leaf(random)),
        Kind::Tuple(kinds) if kinds.len() > 1 && random.one_in(3) => drop(kinds.pop()),
        Kind::Tuple(kinds) => {
            let index = random.below(kinds.len());
            mutate(&mut kinds[index], random);
        }
        Kind::Struct(fields) => mutate_fields(fields, random),
        Kind::Enum(tag, variants) => mutate_enum(tag, variants, random),
        _ => replace(of, random),
    }
}

fn replace(of: &mut Kind, random: &mut Random) {
    let old = Box::new(of.clone());
    *of = match random.below(5) {
        0 => Kind::Option(old),
        1 => Kind::List(old),
        2 => match *old {
            Kind::Option(inner) | Kind::List(inner) | Kind::Map(inner) => *inner,
            Kind::Struct(fields) => fields.rest.map_or(Kind::Anything, Kind::Map),
            _ => leaf(random),
        },
        3 => leaf(random),
        _ => kind(random, 2),
    };
}

fn mutate_fields(of: &mut Struct, random: &mut Random) {
    let count = of.fields.len();
    match random.below(8) {
        0 => of.fields.push(field(random, "f9", 1)),
        1 if count > 0 => drop(of.fields.remove(random.below(count))),
        2 if count > 0 => of.fields[random.below(count)].name = "f8".to_owned(),
        3 if count > 0 => {
            let field = &mut of.fields[random.below(count)];
            field.has_default = !field.has_default;
        }
        4 if of.rest.is_none() => of.denies = !of.denies,
        5 if !of.denies => of.rest = of.rest.is_none().then(|| Box::new(leaf(random))),
        _ if count > 0 => mutate(&mut of.fields[random.below(count)].kind, random),
        _ => of.fields.push(field(random, "f9", 1)),
    }
}

fn mutate_enum(tag: &mut Tag, variants: &mut Vec<(String, Variant)>, random: &mut Random) {
    let count = variants.len();
    match random.below(6) {
        0 => variants.push(("D".to_owned(), variant(random, *tag, 1))),
        1 if count > 1 => drop(variants.remove(random.below(count))),
        2 => variants[random.below(count)].0 = "E".to_owned(),
        3 => {
            let is_simple = |it: &Variant| !matches!(it, Variant::Newtype(_));
            let without_rest =
                |it: &Variant| !matches!(it, Variant::Struct(it) if it.rest.is_some());
            if variants
                .iter()
                .all(|(_, it)| is_simple(it) && without_rest(it))
            {
                *tag = random.pick(&[Tag::Internal("t"), Tag::Internal("u"), Tag::External]);
            } else {
                *tag = random.pick(&[Tag::External, Tag::Adjacent("t", "d"), Tag::Untagged]);
            }
        }
        4 => variants[random.below(count)].1 = variant(random, *tag, 2),
        _ => match &mut variants[random.below(count)].1 {
            Variant::Newtype(kind) => mutate(kind, random),
            Variant::Struct(fields) => mutate_fields_of_variant(fields, *tag, random),
            unit @ Variant::Unit => *unit = variant(random, *tag, 1),
        },
    }
}

fn mutate_fields_of_variant(fields: &mut Struct, tag: Tag, random: &mut Random) {
    mutate_fields(fields, random);
    if let Tag::Internal(_) = tag {
        fields.rest = None;
    }
}

#[test]
fn what_is_allowed_can_be_read_for_random_types_that_are_changed_once() {
    let is_long = std::env::var_os("TIDINGS_TEST_LONG").is_some();
    let cases = if is_long { MANY } else { FEW };
    let (mut allowed, mut refused, mut readable) = (0, 0, 0);
    for seed in 0..cases {
        let random = &mut Random(seed);
        let old = kind(random, 3);
        let mut new = old.clone();
        mutate(&mut new, random);
        let contracts = [&old, &new].map(contract_of_kind);
        for (direction, writer, reader) in [
            (Direction::NewReadsOld, &old, &new),
            (Direction::OldReadsNew, &new, &old),
        ] {
            let is_broken = !broken(&contracts[0], &contracts[1], direction).is_empty();
            let values: Vec<_> = (0..VALUES).map(|_| writer.write(random)).collect();
            let unread = values.iter().find(|value| !reader.reads(value));
            match (is_broken, unread) {
                (true, Some(_)) => refused += 1,
                (true, None) => readable += 1,
                (false, None) => allowed += 1,
                (false, Some(value)) => panic!(
                    "seed {seed}, {direction:?}: {value} is allowed, and cannot be read\n{writer:#?}\n{reader:#?}"
                ),
            }
        }
    }
    println!(
        "{cases} types: {allowed} verdicts allow what is read, {refused} refuse what is not, {readable} \
         refuse although all {VALUES} values were read, 0 too lax"
    );
    // A check that refuses everything would pass, too.
    assert!(
        allowed > cases / 2 && readable < cases / 2,
        "{allowed} {readable}"
    );
}

/// A real type, and the same as a value.
struct Real {
    kind: Kind,
    contract: Contract,
    reads: fn(&Value) -> bool,
}

fn real<T: JsonSchema + DeserializeOwned>(kind: Kind) -> Real {
    Real {
        kind,
        contract: contract_of::<T>(),
        reads: |value| serde_json::from_str::<T>(&value.to_string()).is_ok(),
    }
}

macro_rules! real_types {
    ($($item:item)+) => { $(#[derive(Serialize, Deserialize, JsonSchema)] #[allow(dead_code)] $item)+ };
}

real_types! {
    struct Fields { f0: u32, f1: Option<String>, #[serde(default)] f2: bool }
    #[serde(deny_unknown_fields)] struct Closed { f0: u32, #[serde(default)] f1: u8 }
    struct Open { f0: u32, #[serde(flatten)] rest: BTreeMap<String, i64> }
    enum External { A, B(u32), C { f0: char } }
    #[serde(tag = "t")] enum Internal { A, B { f0: u32, #[serde(default)] f1: bool } }
    #[serde(tag = "t", content = "c")] enum Adjacent { A, B(Vec<u64>), C { f0: f64 } }
    #[serde(untagged)] enum Untagged { A(u32), B { f0: bool }, C }
}

fn field_of(name: &str, kind: Kind, has_default: bool) -> Field {
    Field {
        name: name.to_owned(),
        kind,
        has_default,
    }
}

fn fields_of(fields: Vec<Field>) -> Struct {
    Struct {
        fields,
        ..Struct::default()
    }
}

fn variants_of<const N: usize>(variants: [Variant; N]) -> Vec<(String, Variant)> {
    let names = ["A", "B", "C"].map(str::to_owned);
    names.into_iter().zip(variants).collect()
}

fn real_types() -> Vec<Real> {
    let u32_of = |name: &str| field_of(name, Kind::Integer("u32"), false);
    let text = Kind::Option(Box::new(Kind::Text));
    let closed = Struct {
        denies: true,
        ..fields_of(vec![
            u32_of("f0"),
            field_of("f1", Kind::Integer("u8"), true),
        ])
    };
    let open = Struct {
        rest: Some(Box::new(Kind::Integer("i64"))),
        ..fields_of(vec![u32_of("f0")])
    };
    let external = [
        Variant::Unit,
        Variant::Newtype(Kind::Integer("u32")),
        Variant::Struct(fields_of(vec![field_of("f0", Kind::Char, false)])),
    ];
    let flag = field_of("f1", Kind::Bool, true);
    let internal = [
        Variant::Unit,
        Variant::Struct(fields_of(vec![u32_of("f0"), flag])),
    ];
    let list = Kind::List(Box::new(Kind::Integer("u64")));
    let double = fields_of(vec![field_of("f0", Kind::Double, false)]);
    let adjacent = [
        Variant::Unit,
        Variant::Newtype(list),
        Variant::Struct(double),
    ];
    let flag = fields_of(vec![field_of("f0", Kind::Bool, false)]);
    let number = Variant::Newtype(Kind::Integer("u32"));
    let untagged = [number, Variant::Struct(flag), Variant::Unit];
    vec![
        real::<Fields>(Kind::Struct(fields_of(vec![
            u32_of("f0"),
            field_of("f1", text, false),
            field_of("f2", Kind::Bool, true),
        ]))),
        real::<Closed>(Kind::Struct(closed)),
        real::<Open>(Kind::Struct(open)),
        real::<External>(Kind::Enum(Tag::External, variants_of(external))),
        real::<Internal>(Kind::Enum(Tag::Internal("t"), variants_of(internal))),
        real::<Adjacent>(Kind::Enum(Tag::Adjacent("t", "c"), variants_of(adjacent))),
        real::<Untagged>(Kind::Enum(Tag::Untagged, variants_of(untagged))),
        real::<(u32, String)>(Kind::Tuple(vec![Kind::Integer("u32"), Kind::Text])),
        real::<[bool; 2]>(Kind::Tuple(vec![Kind::Bool, Kind::Bool])),
        real::<BTreeMap<String, i8>>(Kind::Map(Box::new(Kind::Integer("i8")))),
        real::<Vec<Value>>(Kind::List(Box::new(Kind::Anything))),
        real::<()>(Kind::Unit),
    ]
}

#[test]
fn types_as_values_have_the_schemas_and_the_readers_of_real_types() {
    let all = real_types();
    let random = &mut Random(7);
    for Real {
        kind,
        contract,
        reads,
    } in &all
    {
        let same = contract_of_kind(kind);
        assert_eq!(breaks(&same, contract), [], "{kind:?}");
        assert_eq!(breaks(contract, &same), [], "{kind:?}");
        let mut compared = (0, 0);
        for index in 0..4000 {
            // Values of the type itself, of a similar one, and of any.
            let mut writer = if index % 4 == 3 {
                random.pick(&all.iter().map(|it| it.kind.clone()).collect::<Vec<_>>())
            } else {
                kind.clone()
            };
            if index % 4 != 0 {
                mutate(&mut writer, random);
            }
            let value = writer.write(random);
            assert_eq!(kind.reads(&value), reads(&value), "{value} as {kind:?}");
            compared = if reads(&value) {
                (compared.0 + 1, compared.1)
            } else {
                (compared.0, compared.1 + 1)
            };
        }
        assert!(compared.0 > 500 && compared.1 > 200, "{compared:?}");
    }
}
