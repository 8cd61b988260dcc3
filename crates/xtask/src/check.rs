//! `cargo xtask check`: what needs no Redis.

use anyhow::Result;

use crate::steps::{Step, run_all};
use crate::tool::{cargo, cargo_has};

pub(crate) fn run() -> Result<()> {
    run_all(&[sources(), dependencies()].concat())
}

/// What looks at our own code.
pub(crate) fn sources() -> Vec<Step> {
    vec![
        Step::new("format", cargo("fmt").args(["--all", "--check"])),
        Step::new(
            "lints",
            cargo("clippy")
                .args(["--workspace", "--all-targets", "--all-features", "--locked"])
                .args(["--", "-D", "warnings"]),
        ),
        Step::new(
            "documentation",
            cargo("doc")
                .args(["--workspace", "--no-deps", "--locked"])
                .env("RUSTDOCFLAGS", "-Dwarnings"),
        ),
    ]
}

/// What looks at the code that we use.
pub(crate) fn dependencies() -> Vec<Step> {
    let deny = cargo("deny")
        .args(["--locked", "check", "--hide-inclusion-graph"])
        .args(["bans", "licenses", "sources"]);
    vec![if cargo_has("deny") {
        Step::new("dependencies", deny)
    } else {
        Step::skipped(
            "dependencies",
            "to have it: cargo install cargo-deny --locked",
        )
    }]
}
