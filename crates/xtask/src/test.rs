//! `cargo xtask test`: everything, on a machine that may have no Redis yet.

use anyhow::Result;

use crate::check;
use crate::install::ensure_redis;
use crate::steps::{Step, run_all};
use crate::tool::{cargo, cargo_has};

pub(crate) fn run() -> Result<()> {
    ensure_redis()?;
    run_all(&[check::steps(), tests()].concat())
}

fn tests() -> Vec<Step> {
    // Not `--all-targets` for cargo test: that would run the benchmarks.
    let tests = if cargo_has("nextest") {
        cargo("nextest").args(["run", "--workspace", "--locked"])
    } else {
        cargo("test").args(["--workspace", "--locked"]).args([
            "--lib",
            "--bins",
            "--tests",
            "--examples",
        ])
    };
    // nextest runs no doctests. They go first: the last that a reader, or a
    // program, sees of the tests should be the count of all the others.
    let examples = cargo("test").args(["--workspace", "--locked", "--doc"]);

    vec![
        Step::new("examples in the documentation", examples),
        Step::new("tests", tests),
    ]
}
