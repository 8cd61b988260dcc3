//! The package `tidings-verdicts`: pairs of types on which the check of contracts is compared with serde
//! and with `json-schema-diff`. They have a package of their own, because the compiler takes half a minute
//! for them.
#![cfg(test)]
#![allow(
    dead_code,
    unused_imports,
    reason = "the program uses more of the check"
)]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod contract;
#[path = "verdicts/pairs.rs"]
mod pairs;

use std::env;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use json_schema_diff::diff;
use serde_json::{Value, json};

use self::contract::tests::broken;
use self::contract::{Contract, Direction, Side};
use self::pairs::{Pair, pairs};

/// The variable of the process that compares two schemas, and what it prints.
const ASKED: &str = "TIDINGS_TEST_DIFFERENCE";
const BROKEN: &str = "one side cannot read it";
const FINE: &str = "both sides can read it";

/// The verdicts of one tool on all pairs, in both directions.
#[derive(Debug, Default)]
struct Tally {
    agree: usize,
    /// It reports a break, and serde reads all samples.
    too_strict: usize,
    /// It reports none, and serde cannot read a sample.
    too_lax: usize,
    /// It gives no verdict.
    failed: usize,
}

/// Returns true if one version cannot read what the other writes, and `None` if the tool gives no verdict.
type IsBroken = fn(&Pair, Direction) -> Option<bool>;

impl Tally {
    fn of(pairs: &[Pair], is_broken: IsBroken) -> Self {
        let mut tally = Self::default();
        for pair in pairs {
            let directions = [Direction::NewReadsOld, Direction::OldReadsNew];
            let has_one_schema = documents(&pair.old) == documents(&pair.new);
            for (direction, reads_all) in directions.into_iter().zip(pair.reads_all) {
                // No tool that is given schemas can tell these types apart.
                if has_one_schema && !reads_all {
                    continue;
                }
                match is_broken(pair, direction) {
                    None => tally.failed += 1,
                    Some(is_broken) if is_broken != reads_all => tally.agree += 1,
                    Some(true) => tally.too_strict += 1,
                    Some(false) => tally.too_lax += 1,
                }
            }
        }
        tally
    }
}

/// Returns the JSON Schemas of what is written and what is read as the event `it`.
fn documents(contract: &Contract) -> [Value; 2] {
    [Side::Writes, Side::Reads].map(|side| {
        let schema = contract.events["it"].payload.get(side).unwrap();
        let mut document = match schema {
            Value::Object(_) => schema.clone(),
            _ => json!({}),
        };
        document["definitions"] = json!(contract.definitions_of(side));
        document
    })
}

/// Compares what is written with what is read, as the check of tidings does.
fn of_both_sides(pair: &Pair, direction: Direction) -> Option<bool> {
    let [old, new] = [&pair.old, &pair.new].map(documents);
    let ([written, _], [_, read]) = in_direction(old, new, direction);
    is_broken(&written, &read)
}

/// Compares the one schema that `schemars` makes of each type by default.
fn of_one_side(pair: &Pair, direction: Direction) -> Option<bool> {
    let [old, new] = [&pair.old, &pair.new].map(documents);
    let ([_, writer], [_, reader]) = in_direction(old, new, direction);
    is_broken(&writer, &reader)
}

/// Returns the version that writes, and the one that reads.
fn in_direction<T>(old: T, new: T, direction: Direction) -> (T, T) {
    match direction {
        Direction::NewReadsOld => (old, new),
        Direction::OldReadsNew => (new, old),
    }
}

/// Asks `json-schema-diff` in a process of its own, which ends by a stack overflow at a type that has
/// itself as a part.
fn is_broken(written: &Value, read: &Value) -> Option<bool> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["difference", "--exact", "--ignored", "--nocapture"])
        .env(ASKED, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    write!(input, "{}", json!([written, read])).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let is_found = |verdict: &str| printed.lines().any(|line| line == verdict);
    match (is_found(BROKEN), is_found(FINE)) {
        (false, false) => None,
        (is_broken, _) => Some(is_broken),
    }
}

/// Compares two schemas of the standard input.
#[test]
#[ignore = "a process that the comparison starts"]
fn difference() {
    if env::var_os(ASKED).is_none() {
        return;
    }
    let [written, read]: [Value; 2] = serde_json::from_reader(io::stdin()).unwrap();
    let changes = diff(written, read).unwrap();
    let is_broken = changes.iter().any(|it| it.change.is_breaking());
    println!("\n{}", if is_broken { BROKEN } else { FINE });
}

#[test]
fn the_check_is_not_worse_than_json_schema_diff() {
    let pairs = pairs();
    println!("{} pairs of types, in both directions:", pairs.len());
    println!("agrees  too strict  too lax  no verdict");
    let tally = |name: &str, is_broken: IsBroken| {
        let tally = Tally::of(&pairs, is_broken);
        let (agree, failed) = (tally.agree, tally.failed);
        let (strict, lax) = (tally.too_strict, tally.too_lax);
        println!("{agree:6}  {strict:10}  {lax:7}  {failed:10}  {name}");
        tally
    };
    let ours = tally("tidings schema check", |pair, direction| {
        Some(!broken(&pair.old, &pair.new, direction).is_empty())
    });
    let others = [
        tally("json-schema-diff, written against read", of_both_sides),
        tally("json-schema-diff, one schema of each type", of_one_side),
    ];
    assert_eq!((ours.too_lax, ours.failed), (0, 0));
    for other in others {
        assert!(ours.agree >= other.agree, "{other:?}");
        assert!(ours.too_strict <= other.too_strict, "{other:?}");
    }
}
