//! `tidings schema`, with contracts in repositories of git.

mod examples;
mod export;
mod fleet;
pub(crate) mod member;
mod payloads;

use std::process::Output;

use serde_json::{Value, json};

use crate::fleet::{objects, write_in};
use crate::schema;
use crate::support::{Sandbox, text};

const FILE: &str = "contract/events.json";

/// A repository in a sandbox.
pub(crate) struct Repository {
    pub(crate) sandbox: Sandbox,
}

impl Repository {
    pub(crate) fn new() -> Self {
        let repository = Self {
            sandbox: Sandbox::new(),
        };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    pub(crate) fn git(&self, arguments: &[&str]) {
        git(&self.sandbox, arguments);
    }

    pub(crate) fn commit(&self, file: &str, contract: &Value) {
        write_in(&self.sandbox, file, &with_hash(contract));
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--message", "a version"]);
    }

    /// Removes an object from the repository, as if its disk had lost it.
    fn remove_object(&self, name: &str) {
        let mut command = self.sandbox.command_of("git");
        let command = command.current_dir(self.sandbox.directory.path());
        let output = command.args(["rev-parse", name]).output().unwrap();
        let id = text(&output.stdout);
        let (directory, file) = id.trim().split_at(2);
        let path = format!(".git/objects/{directory}/{file}");
        std::fs::remove_file(self.sandbox.path(&path)).unwrap();
    }

    fn write(&self, contract: &Value) {
        write_in(&self.sandbox, FILE, &with_hash(contract));
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.sandbox.command();
        let command = command.current_dir(self.sandbox.directory.path());
        command.arg("schema").args(arguments).output().unwrap()
    }

    fn answer(&self, arguments: &[&str]) -> (String, i32) {
        let output = self.run(arguments);
        (text(&output.stdout), output.status.code().unwrap())
    }

    /// Runs a command that fails, and returns its error.
    #[track_caller]
    fn error(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        text(&output.stderr)
    }

    /// Runs `tidings --json`, and returns the objects of its lines, which are valid.
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let objects = objects(&self.answer(&[arguments, &["--json"]].concat()).0);
        for object in &objects {
            schema::check("schema", object);
        }
        objects
    }
}

/// Runs git without the settings of the user.
pub(crate) fn git(sandbox: &Sandbox, arguments: &[&str]) {
    let mut command = sandbox.command_of("git");
    let command = command.current_dir(sandbox.directory.path());
    let command = command.args(["-c", "user.name=t", "-c", "user.email=t@example.com"]);
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// Returns the text of a contract, as the test kit writes it.
pub(crate) fn with_hash(contract: &Value) -> String {
    let mut hashed = json!({});
    for part in ["counters", "definitions", "events", "maps", "values"] {
        hashed[part] = contract.get(part).cloned().unwrap_or_else(|| json!({}));
    }
    for (_, places) in hashed.as_object_mut().unwrap() {
        for place in places
            .as_object_mut()
            .unwrap()
            .values_mut()
            .filter_map(Value::as_object_mut)
        {
            place.retain(|key, _| !["handled_by", "since"].contains(&key.as_str()));
        }
    }
    let hash = hashed
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mut whole = contract.clone();
    whole["tidings"] = 1.into();
    whole["hash"] = format!("{hash:016x}").into();
    serde_json::to_string_pretty(&whole).unwrap() + "\n"
}

/// Returns a contract of `user.renamed`, whose readers need these fields, and of an unchanged event.
pub(crate) fn renamed(fields: &[&str], required: &[&str]) -> Value {
    let properties: Value = fields
        .iter()
        .map(|name| ((*name).to_owned(), json!({ "type": "string" })))
        .collect();
    let schema = |required: &[&str]| json!({ "type": "object", "properties": properties, "required": required });
    let renamed = if fields == required {
        json!({ "both": schema(required) })
    } else {
        json!({ "writes": schema(fields), "reads": schema(required) })
    };
    json!({
        "annotations": { "events.user.renamed": { "": { "source": "src/users.rs" } } },
        "events": { "user.renamed": renamed, "cache.clear": { "both": { "type": "null" } } },
    })
}

/// Prints each form of the JSON of `schema`, in a repository of its own.
pub(crate) fn each_form() -> Vec<(&'static str, Value)> {
    let repository = Repository::new();
    repository.commit(FILE, &renamed(&["name"], &["name"]));
    repository.write(&json!({ "events": {
        "user.renamed": renamed(&["name", "reason"], &["name", "reason"])["events"]["user.renamed"],
        "Bad Name": {},
    } }));
    let printed = [&["check"][..], &["diff", "main"], &["lint"]].map(|it| repository.json(it));
    printed
        .into_iter()
        .flatten()
        .map(|line| ("schema", line))
        .collect()
}

#[test]
fn a_break_is_named_with_its_place_who_cannot_read_it_and_what_to_do_instead() {
    let repository = Repository::new();
    repository.commit(FILE, &renamed(&["name"], &["name"]));
    assert_eq!(repository.answer(&["check"]).1, 0);
    repository.write(&renamed(&["name", "reason"], &["name", "reason"]));

    let (stdout, code) = repository.answer(&["check"]);

    assert_eq!(code, 3, "{stdout}");
    for part in [
        "contract/events.json against ",
        " (main)\n",
        "breaks   user.renamed  field-added-required  .reason\n",
        "new processes cannot read what old processes write: `reason` is required, and not written\n",
        "instead: give it `#[serde(default)]`, or make it an `Option`  src/users.rs\n",
        "1 break, 1 unchanged\n",
    ] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    let lines = repository.json(&["check"]);
    assert_eq!(lines[0]["rule"], "field-added-required");
    assert_eq!(lines[0]["direction"], "new-reads-old");
    assert_eq!(lines[1]["breaks"], 1);
    let (stdout, code) = repository.answer(&["check", "--format", "github"]);
    assert_eq!(code, 3);
    let annotation = "::error file=contract/events.json,line=";
    assert!(stdout.starts_with(annotation), "{stdout}");
    assert!(
        stdout.contains(",title=field-added-required::user.renamed .reason, against "),
        "{stdout}"
    );
    let old_readers = ["check", "--direction", "old-reads-new"];
    assert_eq!(repository.answer(&old_readers).1, 0);
}

#[test]
fn a_field_with_a_default_and_a_changed_comment_are_fine() {
    let repository = Repository::new();
    repository.commit(FILE, &renamed(&["name"], &["name"]));
    let mut new = renamed(&["name", "note"], &["name"]);
    new["annotations"]["events.user.renamed"][""]["description"] = "Another comment.".into();
    repository.write(&new);

    let (stdout, code) = repository.answer(&["check"]);

    assert_eq!(code, 0, "{stdout}");
    assert!(
        stdout.contains("fine     user.renamed  .note: a field was added"),
        "{stdout}"
    );
    assert!(
        stdout.ends_with("0 breaks, 1 change that is fine, 1 unchanged\n"),
        "{stdout}"
    );
}

#[test]
fn the_baseline_is_a_revision_a_file_in_one_a_file_or_every_tag() {
    let repository = Repository::new();
    repository.commit(FILE, &renamed(&["name", "old"], &["name", "old"]));
    repository.git(&["tag", "v1.0.0"]);
    repository.commit(FILE, &renamed(&["name"], &["name"]));
    repository.git(&["tag", "v1.1.0"]);
    repository.git(&["mv", FILE, "events.json"]);
    repository.git(&["commit", "--quiet", "--message", "moved"]);
    let check =
        |arguments: &[&str]| repository.answer(&[&["check", "events.json"], arguments].concat());

    assert_eq!(check(&[]).1, 0);
    assert_eq!(check(&["--against", "v1.0.0:contract/events.json"]).1, 3);
    write_in(
        &repository.sandbox,
        "old.json",
        &with_hash(&renamed(&["name", "old"], &["name", "old"])),
    );
    assert_eq!(check(&["--against", "old.json"]).1, 3);
    repository.git(&["mv", "events.json", FILE]);
    let (stdout, code) = repository.answer(&["check", "--all"]);
    assert_eq!(code, 3, "{stdout}");
    assert!(
        stdout.contains("(v1.0.0)") && stdout.contains("(v1.1.0)"),
        "{stdout}"
    );
}

#[test]
fn a_baseline_that_git_cannot_read_is_an_error() {
    let repository = Repository::new();
    repository.commit(FILE, &renamed(&["name", "old"], &["name", "old"]));
    repository.git(&["tag", "v1.0.0"]);
    repository.write(&renamed(&["name"], &["name"]));
    repository.remove_object(&format!("HEAD:{FILE}"));

    let baselines = [
        &[][..],
        &["--against", "v1.0.0"],
        &["--against", "v1.0.0:contract/events.json"],
        &["--all"],
    ];
    for arguments in baselines {
        let error = repository.error(&[&["check"], arguments].concat());
        assert!(
            error.contains("cannot read another revision") && error.contains("fatal: "),
            "{arguments:?}: {error}"
        );
    }
}

#[test]
fn a_second_contract_in_a_repository_is_new_and_is_compared_with_its_own_tags() {
    let repository = Repository::new();
    repository.commit(FILE, &renamed(&["name"], &["name"]));
    repository.git(&["tag", "v1.0.0"]);
    repository.git(&["checkout", "--quiet", "-b", "change"]);
    repository.commit("b/events.json", &renamed(&["other"], &["other"]));
    for arguments in [
        &["check", "b/events.json"][..],
        &["check", "b/events.json", "--all"],
    ] {
        let output = repository.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(
            text(&output.stderr).contains("b/events.json is new"),
            "{output:?}"
        );
    }
    repository.git(&["tag", "v1.1.0"]);
    let (stdout, code) = repository.answer(&["check", "b/events.json", "--all"]);
    assert_eq!(code, 0, "{stdout}");
    assert!(
        stdout.contains("(v1.1.0)") && !stdout.contains("(v1.0.0)"),
        "{stdout}"
    );
}

#[test]
fn an_exception_with_a_reason_allows_a_break_until_its_end() {
    let repository = Repository::new();
    repository.commit(FILE, &renamed(&["name"], &["name"]));
    repository.write(&renamed(&["name", "reason"], &["name", "reason"]));
    let exception = |until: &str| {
        let text = format!(
            "contract.file = \"contract/events.json\"\n[[contract.allow]]\nrule = \"field-added-required\"\n\
             event = \"user.renamed\"\npath = \".reason\"\nreason = \"nobody sends it\"\nuntil = \"{until}\"\n"
        );
        write_in(&repository.sandbox, "tidings.toml", &text);
        let output = repository.run(&["check"]);
        (text_of(&output), output.status.code().unwrap())
    };
    let (printed, code) = exception("2999-01-01");
    assert_eq!(code, 0, "{printed}");
    assert!(
        printed.contains("allowed  user.renamed  field-added-required  .reason: nobody sends it"),
        "{printed}"
    );
    let (printed, code) = exception("2020-01-01");
    assert_eq!(code, 3, "{printed}");
    assert!(printed.contains("warning: the exception for field-added-required of user.renamed.reason ended on 2020-01-01"), "{printed}");
}

fn text_of(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn a_contract_that_cannot_be_compared_says_what_to_do() {
    let repository = Repository::new();
    write_in(&repository.sandbox, "readme.md", "x");
    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "--message", "nothing"]);
    let error = repository.error(&["check"]);
    assert!(
        error.contains("cannot read contract/events.json: there is no such file"),
        "{error}"
    );
    assert!(error.contains("run with UPDATE=1"), "{error}");

    repository.write(&renamed(&["name"], &["name"]));
    let output = repository.run(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text(&output.stderr)
            .contains("contract/events.json is new: there is nothing to compare it with")
    );

    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "--message", "first"]);
    write_in(
        &repository.sandbox,
        "moved.json",
        &with_hash(&renamed(&["name"], &["name"])),
    );
    let output = repository.run(&["check", "moved.json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stderr).contains("moved.json is new"));
    repository.git(&["rm", "--quiet", FILE]);
    let error = repository.error(&["check", "moved.json"]);
    assert!(error.contains("(main) has no moved.json"), "{error}");
    assert!(
        error.contains("help: it has another contract: --against main:contract/events.json"),
        "{error}"
    );
    let error = repository.error(&["check", "moved.json", "--against", "v9"]);
    assert!(
        error.contains("there is no revision or file `v9`"),
        "{error}"
    );
    repository.git(&["tag", "key", "main:readme.md"]);
    let error = repository.error(&["check", "moved.json", "--against", "key"]);
    assert!(
        error.contains("`key` names a blob, and no commit"),
        "{error}"
    );
    let error = repository.error(&["check", "moved.json", "--all"]);
    assert!(
        error.contains("the repository has no tags to compare with"),
        "{error}"
    );
}

#[test]
fn a_file_that_was_edited_or_is_of_a_newer_version_says_what_to_do() {
    let repository = Repository::new();
    repository.commit(FILE, &renamed(&["name"], &["name"]));
    let written = with_hash(&renamed(&["name"], &["name"]));
    write_in(
        &repository.sandbox,
        FILE,
        &written.replace("string", "integer"),
    );
    let error = repository.error(&["check"]);
    assert!(error.contains("was edited by hand or merged"), "{error}");
    assert!(
        error.contains("help: write it again: UPDATE=1 cargo test"),
        "{error}"
    );
    write_in(
        &repository.sandbox,
        FILE,
        &written.replace("\"tidings\": 1", "\"tidings\": 2"),
    );
    let error = repository.error(&["check"]);
    assert!(
        error.contains("it has format 2, and this `tidings` reads format 1"),
        "{error}"
    );
    assert!(error.contains("help: update this program"), "{error}");
    write_in(&repository.sandbox, FILE, "<<<<<<< HEAD");
    let error = repository.error(&["check"]);
    assert!(
        error.contains("it is not a contract: expected value at line 1 column 1"),
        "{error}"
    );
}

#[test]
fn a_repository_that_git_cannot_read_is_an_error_of_its_own() {
    let repository = Repository::new();
    repository.commit(FILE, &renamed(&["name"], &["name"]));
    for (reference, at) in [
        ("refs/tags/v1", "HEAD"),
        ("refs/tags/tree", "HEAD^{tree}"),
        ("refs/remotes/origin/main", "HEAD"),
    ] {
        repository.git(&["update-ref", reference, at]);
    }
    repository.commit(FILE, &renamed(&["name", "x"], &["name"]));
    assert_eq!(repository.answer(&["check"]).1, 0);
    // A tag of something else than a commit is none of a version.
    assert_eq!(repository.answer(&["check", "--all"]).1, 0);

    // It compares with no other revision instead.
    repository.remove_object("origin/main");
    for arguments in [
        &["check"][..],
        &["check", "--all"],
        &["check", "--against", "v1"],
    ] {
        let error = repository.error(arguments);
        assert!(error.contains("git ended with"), "{error}");
        assert!(error.contains("^{}"), "{error}");
    }

    std::fs::write(repository.sandbox.path(".git/config"), "[").unwrap();
    let error = repository.error(&["check"]);
    assert!(error.contains("bad config line"), "{error}");
    let same = ["check", "--against", FILE];
    assert_eq!(repository.answer(&same).1, 0);
}

#[test]
fn without_git_or_in_a_shallow_clone_it_says_what_to_do() {
    let sandbox = Sandbox::new();
    write_in(&sandbox, FILE, &with_hash(&renamed(&["name"], &["name"])));
    let outside = Repository { sandbox };
    let error = outside.error(&["check"]);
    assert!(
        error.contains("contract/events.json is in no git repository"),
        "{error}"
    );
    assert!(error.contains("--against old.json"), "{error}");
    let same = ["check", "--against", FILE];
    assert_eq!(outside.answer(&same).1, 0);
    let mut command = outside.sandbox.command();
    let command = command
        .current_dir(outside.sandbox.directory.path())
        .env("PATH", "");
    let output = command.args(["schema", "check"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("there is no `git`"),
        "{output:?}"
    );

    let origin = Repository::new();
    origin.commit(FILE, &renamed(&["name"], &["name"]));
    origin.commit(FILE, &renamed(&["name", "x"], &["name"]));
    origin.git(&["checkout", "--quiet", "-b", "change"]);
    let url = format!("file://{}", origin.sandbox.directory.path().display());
    let clone = Repository {
        sandbox: Sandbox::new(),
    };
    clone.git(&[
        "clone",
        "--quiet",
        "--depth=1",
        "--branch=change",
        &url,
        ".",
    ]);
    let error = clone.error(&["check"]);
    assert!(
        error.contains("there is no revision origin/main to compare with"),
        "{error}"
    );
    let fetch =
        "help: this clone is shallow: git fetch --depth=1 origin main:refs/remotes/origin/main";
    assert!(error.contains(fetch), "{error}");
    clone.git(&[
        "fetch",
        "--quiet",
        "--depth=1",
        "origin",
        "main:refs/remotes/origin/main",
    ]);
    assert_eq!(clone.answer(&["check"]).1, 0);
}

#[test]
fn a_diff_is_markdown_for_a_changelog() {
    let repository = Repository::new();
    repository.commit(FILE, &renamed(&["name"], &["name"]));
    repository.git(&["tag", "v1.0.0"]);
    let mut new = renamed(&["name", "reason"], &["name", "reason"]);
    new["events"]["order.paid"] = json!({ "both": { "type": "null" } });
    repository.commit(FILE, &new);
    repository.git(&["tag", "v1.1.0"]);

    let (stdout, code) = repository.answer(&["diff", "v1.0.0", "v1.1.0"]);

    assert_eq!(code, 0);
    let wanted = "### Breaking changes\n\n* `user.renamed` `.reason`: new processes cannot read what old \
                  processes write: `reason` is required, and not written (field-added-required)\n\n\
                  ### Compatible changes\n\n* `order.paid`: the event was added\n";
    assert_eq!(stdout, wanted);
    let same = ["diff", "v1.1.0"];
    assert_eq!(repository.answer(&same).0, "The contract is unchanged.\n");
}

#[test]
fn lint_names_what_is_likely_to_cause_trouble() {
    let repository = Repository::new();
    repository.write(&json!({ "events": { "order.paid": {}, "cache.clear": { "opaque": true } } }));
    let (stdout, code) = repository.answer(&["lint"]);
    assert_eq!(code, 3, "{stdout}");
    assert!(
        stdout.starts_with("warn  event order.paid: it has no schema"),
        "{stdout}"
    );
    assert!(
        stdout.ends_with("1 remark in contract/events.json\n"),
        "{stdout}"
    );
    repository.write(&renamed(&["name"], &["name"]));
    assert_eq!(repository.answer(&["lint"]).1, 0);
}

#[test]
fn hostile_names_have_no_effect_on_a_terminal() {
    let repository = Repository::new();
    let evil = "a\u{1b}[2J\n::error::x%0A";
    let of = |kind: &str| json!({ "events": { evil: { "both": { "type": kind } } } });
    repository.commit(FILE, &of("string"));
    repository.write(&of("null"));
    for arguments in [
        &["check"][..],
        &["check", "--format", "github"],
        &["check", "--json"],
        &["diff", "main"],
        &["lint"],
    ] {
        let output = repository.run(arguments);
        assert!(!output.stdout.contains(&0x1b), "{arguments:?}");
        let stdout = text(&output.stdout);
        assert!(
            !stdout.lines().any(|line| line.starts_with("::error::")),
            "{stdout}"
        );
    }
}
