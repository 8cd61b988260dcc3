//! `cargo xtask check`: the checks, which need no Redis.

use anyhow::Result;

use crate::steps::{Step, run_only};
use crate::tool::{ORDINARY, cargo, cargo_has};
use crate::{compose, deployment, layout, limits, links, prose, texts};

/// Runs the steps whose name contains one of these words; all steps if there is none.
pub(crate) fn run(only: &[String]) -> Result<()> {
    run_only([steps(), vec![lints()], compiled()].concat(), only)
}

/// The steps for which nothing is compiled.
pub(crate) fn steps() -> Vec<Step> {
    let first = vec![
        Step::new("format", cargo("fmt").args(["--all", "--check"])),
        Step::look("layout", layout::look),
        Step::look("links", links::look),
        Step::look("words of the book", prose::look),
        Step::look("texts of the book", texts::look),
        Step::look("limits in the book", limits::look),
        Step::look("compose file", compose::look),
    ];
    [first, deployment::steps(), vec![dependencies()]].concat()
}

/// The lints that `cargo xtask test` checks with [`LINTED`](crate::tool::LINTED).
fn lints() -> Step {
    let lints = cargo("clippy").args(ORDINARY).args(["--all-targets"]);
    Step::new("lints", lints.args(["--locked", "--", "-D", "warnings"]))
}

/// The steps that compile what the tests do not.
pub(crate) fn compiled() -> Vec<Step> {
    let features = cargo("clippy")
        .args(["--package=tidings", "--package=tidings-tests-features"])
        .args(["--lib", "--locked", "--", "-D", "warnings"]);
    let documentation = cargo("doc")
        .args(ORDINARY)
        .args(["--no-deps", "--locked"])
        .env("RUSTDOCFLAGS", "-Dwarnings");
    vec![
        Step::new("lints without features", features),
        Step::new("documentation", documentation),
    ]
}

fn dependencies() -> Step {
    let name = "dependencies";
    if !cargo_has("deny") {
        return Step::skipped(name, "to run it: cargo install cargo-deny --locked");
    }
    Step::new(
        name,
        cargo("deny")
            .args(["--locked", "check", "--hide-inclusion-graph"])
            .args(["bans", "licenses", "sources"]),
    )
}
