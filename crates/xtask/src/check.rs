//! `cargo xtask check`: what needs no Redis.

use anyhow::{Result, ensure};

use crate::steps::{Step, run_all};
use crate::tool::{cargo, cargo_has};
use crate::{layout, links};

/// All of it, and what `cargo xtask test` leaves out: the libraries to compare with take a minute.
pub(crate) fn run(only: &[String]) -> Result<()> {
    let peers = Step::new(
        "lints with peers",
        cargo("clippy")
            .args(["--workspace", "--all-targets", "--all-features", "--locked"])
            .args(["--", "-D", "warnings"]),
    );
    let mut steps = [steps(), vec![peers]].concat();
    steps.retain(|step| only.is_empty() || only.iter().any(|name| step.name().contains(name)));
    ensure!(!steps.is_empty(), "no step has such a name");
    run_all(&steps)
}

pub(crate) fn steps() -> Vec<Step> {
    vec![
        Step::new("format", cargo("fmt").args(["--all", "--check"])),
        Step::new(
            "lints",
            cargo("clippy")
                .args(["--workspace", "--all-targets", "--locked"])
                .args(["--", "-D", "warnings"]),
        ),
        // The others build all of tidings: the tests ask for its features.
        Step::new(
            "lints without features",
            cargo("clippy")
                .args(["--package", "tidings", "--all-targets", "--locked"])
                .args(["--", "-D", "warnings"]),
        ),
        Step::new(
            "documentation",
            cargo("doc")
                .args(["--workspace", "--no-deps", "--locked"])
                .env("RUSTDOCFLAGS", "-Dwarnings"),
        ),
        Step::look("layout", layout::look),
        Step::look("links", links::look),
        dependencies(),
    ]
}

fn dependencies() -> Step {
    let name = "dependencies";
    if !cargo_has("deny") {
        return Step::skipped(name, "to have it: cargo install cargo-deny --locked");
    }
    Step::new(
        name,
        cargo("deny")
            .args(["--locked", "check", "--hide-inclusion-graph"])
            .args(["bans", "licenses", "sources"]),
    )
}
