//! `cargo xtask check`: the checks, which need no Redis.

use anyhow::Result;

use crate::steps::{Step, run_only};
use crate::tool::{ORDINARY, cargo, cargo_has};
use crate::{compose, deployment, layout, limits, links, prose, texts};

/// Runs the steps whose name contains one of these words; all steps if there is none.
pub(crate) fn run(only: &[String]) -> Result<()> {
    run_only(steps(), only)
}

pub(crate) fn steps() -> Vec<Step> {
    [
        short(),
        deployment::steps(),
        vec![dependencies()],
        background(),
    ]
    .concat()
}

/// The steps that run one after the other.
fn short() -> Vec<Step> {
    vec![
        Step::new("format", cargo("fmt").args(["--all", "--check"])),
        Step::new(
            "lints",
            cargo("clippy").args(ORDINARY).args([
                "--all-targets",
                "--locked",
                "--",
                "-D",
                "warnings",
            ]),
        ),
        Step::look("layout", layout::look),
        Step::look("links", links::look),
        Step::look("words of the book", prose::look),
        Step::look("texts of the book", texts::look),
        Step::look("limits in the book", limits::look),
        Step::look("compose file", compose::look),
    ]
}

fn background() -> Vec<Step> {
    vec![
        // The compiler turns to these two while the tests wait for servers and timers.
        // The lints above build tidings with all features, because the tests ask for them. Of its
        // dependencies this step takes the same features.
        Step::background(
            "lints without features",
            cargo("clippy")
                .args(["--package=tidings", "--package=tidings-tests-features"])
                .args(["--lib", "--locked"])
                .args(["--", "-D", "warnings"]),
        ),
        Step::background(
            "documentation",
            cargo("doc")
                .args(ORDINARY)
                .args(["--no-deps", "--locked"])
                .env("RUSTDOCFLAGS", "-Dwarnings"),
        ),
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
