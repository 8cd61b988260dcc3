//! `cargo xtask test`: everything, on a machine that may have neither Redis nor valgrind yet.

use std::thread::available_parallelism;

use anyhow::Result;

use crate::check;
use crate::install::{ensure_redis, ensure_valgrind};
use crate::secrets;
use crate::steps::{Step, run_all};
use crate::tool::{cargo, cargo_has};

const SECRETS: &str = "no password is shown";

pub(crate) fn run() -> Result<()> {
    ensure_redis()?;
    ensure_valgrind()?;
    run_all(&[check::steps(), tests()].concat())
}

fn tests() -> Vec<Step> {
    if !cargo_has("nextest") {
        // No flag chooses what to run: `--examples` would build other examples than those that the
        // tests start, and `--all-targets` would run the benchmarks.
        let all = cargo("test").args(["--workspace", "--locked", "--no-fail-fast"]);
        let advice = "to have it: cargo install cargo-nextest --locked";
        return vec![Step::new("tests", all), Step::skipped(SECRETS, advice)];
    }
    // nextest runs no doctests. They go first: the last that a reader, or a
    // program, sees of the tests should be the count of all the others.
    let examples = cargo("test").args(["--workspace", "--locked", "--no-fail-fast", "--doc"]);
    let tests = cargo("nextest").args(["run", "--workspace", "--locked"]);
    let tests = tests.args(["--test-threads", &test_threads().to_string()]);
    vec![
        Step::new("examples in the documentation", examples),
        Step::new("tests", tests),
        Step::look(SECRETS, secrets::look),
    ]
}

/// Half as many again as there are processors: most tests wait for a server more than they compute.
fn test_threads() -> usize {
    let processors = available_parallelism().map_or(1, usize::from);
    processors + processors.div_ceil(2)
}
