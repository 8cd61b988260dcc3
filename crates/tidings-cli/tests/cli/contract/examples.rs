//! The contract of the examples, checked as a project in CI would do it.

use std::fs;
use std::path::Path;
use std::process::Output;

use super::{Repository, git};
use crate::support::{Sandbox, text};

/// The file of the examples, from the root of the repository.
const FILE: &str = "examples/contract/events.json";

/// The root of the repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The reasons why there is nothing to compare with: in a shallow clone, or outside of git.
const NO_REVISION: [&str; 3] = [
    "there is no revision origin/main to compare with",
    "is in no git repository",
    "there is no `git`",
];

fn check(root: &Path, arguments: &[&str]) -> Output {
    let mut command = Sandbox::new().command();
    let command = command.current_dir(root);
    let command = command.args(["schema", "check", FILE]).args(arguments);
    command.output().unwrap()
}

/// Checks the file against the revision that is compared with by default, if there is one, and against
/// itself. Returns the reason if there is none.
#[track_caller]
fn assert_has_no_break(root: &Path) -> Option<&'static str> {
    let itself = check(root, &["--against", FILE]);
    assert_eq!(itself.status.code(), Some(0), "{itself:?}");
    let output = check(root, &[]);
    let stderr = text(&output.stderr);
    let is_told = |reason: &&&str| output.status.code() == Some(1) && stderr.contains(**reason);
    if let Some(reason) = NO_REVISION.iter().find(is_told) {
        println!("the examples are compared with no other revision: {stderr}");
        return Some(reason);
    }
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    None
}

#[test]
fn the_contract_of_the_examples_has_no_break() {
    assert_has_no_break(Path::new(ROOT));
}

#[test]
fn the_contract_of_the_examples_can_be_checked_in_any_copy_of_the_source() {
    let contract = fs::read_to_string(Path::new(ROOT).join(FILE)).unwrap();
    let origin = Repository::new();
    let put = |sandbox: &Sandbox, contract: &str| crate::fleet::write_in(sandbox, FILE, contract);
    put(&origin.sandbox, &contract);
    origin.git(&["add", "."]);
    origin.git(&["commit", "--quiet", "--message", "a version"]);
    origin.git(&["branch", "change"]);
    let url = format!("file://{}", origin.sandbox.directory.path().display());
    let clone = |options: &[&str]| {
        let sandbox = Sandbox::new();
        git(
            &sandbox,
            &[&["clone", "--quiet"], options, &[&url, "."]].concat(),
        );
        sandbox
    };
    let checked = |sandbox: &Sandbox| assert_has_no_break(sandbox.directory.path());

    assert_eq!(checked(&clone(&[])), None);
    assert_eq!(checked(&clone(&["--depth=1"])), None);
    let of_a_branch = clone(&["--depth=1", "--branch=change"]);
    assert_eq!(checked(&of_a_branch), Some(NO_REVISION[0]));
    let archive = Sandbox::new();
    put(&archive, &contract);
    assert_eq!(checked(&archive), Some(NO_REVISION[1]));
}

#[test]
#[should_panic(expected = "breaks   configuration.in-force  type-changed  .greeting")]
fn a_break_in_the_contract_of_the_examples_is_found() {
    let contract = fs::read_to_string(Path::new(ROOT).join(FILE)).unwrap();
    let mut contract: serde_json::Value = serde_json::from_str(&contract).unwrap();
    let repository = Repository::new();
    repository.commit(FILE, &contract);
    for side in ["reads", "writes"] {
        contract["events"]["configuration.in-force"][side]["properties"]["greeting"] =
            serde_json::json!({ "type": "boolean" });
    }
    crate::fleet::write_in(&repository.sandbox, FILE, &super::with_hash(&contract));
    assert_has_no_break(repository.sandbox.directory.path());
}
