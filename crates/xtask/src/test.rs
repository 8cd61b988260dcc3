//! `cargo xtask test`: all checks and tests, on a machine that may have no Redis yet.

use anyhow::Result;

use crate::book;
use crate::check;
use crate::dist;
use crate::install::{CHROMEDRIVER, CHROMIUM, CURL, NPM, REDIS, VALGRIND};
use crate::peers;
use crate::secrets;
use crate::steps::{Step, run_all};
use crate::tool::{LINTED, MEASURING, ORDINARY, Tool, cargo, cargo_has};

/// Tests that run at the same time. Most of them wait for a server or a timer; the group in
/// `.config/nextest.toml` limits those that compute.
const TEST_THREADS: &str = "12";

/// The variable with the number of random cases of a property test.
const CASES: &str = "PROPTEST_CASES";
const FEW: &str = "64";
const MANY: &str = "2000";

/// The variable by which tests see that this is the long run.
const LONG: &str = "TIDINGS_TEST_LONG";

/// The step that compiles the tests, checks the lints meanwhile, and runs the tests.
const TESTS: &str = "lints and tests";

/// The step of the long run that an author of documentation misses most in the ordinary one.
const DOCUMENTATION: &str = "examples in the documentation";

/// Modules with property tests.
const CASES_OF: &[&str] = &[
    "address",
    "changed_once",
    "chaos",
    "edited",
    "round_trip",
    "sequence",
    "renewal_gaps",
];

/// The package whose test compiles tidings and all dependencies once more.
const COMPILING: [&str; 2] = ["--exclude", "tidings-tests-ui"];

/// Runs what every change must pass.
pub(crate) fn run() -> Result<()> {
    REDIS.ensure()?;
    CURL.ensure()?;
    prepare_browser()?;
    secrets::forget()?;
    run_all(&[check::steps(), tests()].concat())
}

/// Runs what takes minutes, and what `run` leaves out. Installs the packages that it needs.
pub(crate) fn run_long() -> Result<()> {
    REDIS.ensure()?;
    CURL.ensure()?;
    prepare_browser()?;
    if cfg!(target_os = "linux") {
        VALGRIND.ensure()?;
    }
    peers::prepare_programs()?;
    peers::prepare_asyncapi()?;
    run_all(&long())
}

/// Installs the browser of the tests of the web console, and the rules that they check.
fn prepare_browser() -> Result<()> {
    for package in [CHROMIUM, CHROMEDRIVER, NPM] {
        package.ensure()?;
    }
    peers::prepare_browser()
}

fn tests() -> Vec<Step> {
    const SECRETS: &str = "no password is printed";
    let advice = "to run it: cargo xtask test --long";
    let documentation = Step::skipped(DOCUMENTATION, advice);
    if !cargo_has("nextest") {
        // No flag selects targets: `--examples` would build other examples than those that the
        // tests start, and `--all-targets` would run the benchmarks.
        let all = linted(ORDINARY).args(COMPILING);
        let all = all.args(["--locked", "--no-fail-fast"]).env(CASES, FEW);
        let advice = "to run it: cargo install cargo-nextest --locked";
        let secrets = Step::skipped(SECRETS, advice);
        return vec![Step::new(TESTS, all), secrets, documentation];
    }
    let tests = cargo("nextest").args(["run"]).args(LINTED);
    let tests =
        tests
            .args(ORDINARY)
            .args(COMPILING)
            .args(["--locked", "--test-threads", TEST_THREADS]);
    vec![
        Step::new(TESTS, tests.env(CASES, FEW)),
        Step::look(SECRETS, secrets::look),
        documentation,
    ]
}

/// Returns the command that tests these packages, as the ordinary run compiles them.
fn linted<const N: usize>(packages: [&'static str; N]) -> Tool {
    cargo("test").args(LINTED).args(packages)
}

fn long() -> Vec<Step> {
    // nextest runs none of them.
    let examples = linted(ORDINARY);
    let examples = examples.args(["--locked", "--no-fail-fast", "--doc"]);
    let examples = examples.env("RUST_TEST_THREADS", TEST_THREADS);
    let lints = cargo("clippy")
        .args(MEASURING)
        .args(["--features", "tidings-bench/peers,tidings-faults/peers"])
        .args(["--all-targets", "--locked", "--", "-D", "warnings"]);
    // With the features of the whole workspace, which the ordinary run has built.
    let soak = linted(["--package", "tidings-faults", "--lib", "--locked"]);
    let tests = linted(["--workspace", "--locked", "--no-fail-fast"])
        .args(["--bin=tidings-bench", "--bin=tidings-faults"])
        .args(["--bin=tidings-steps", "--test=ui"]);
    let shapes = linted(ORDINARY);
    let shapes = shapes.args(["--locked", "--test=shapes"]);
    let without_console = cargo("clippy").args(["--package", "tidings-cli"]);
    let without_console = without_console.args(["--no-default-features", "--locked"]);
    let without_console = without_console.args(["--", "-D", "warnings"]);
    // No test starts this program, so nextest compiles only its tests.
    let xtask = cargo("clippy").args(["--package=xtask", "--bins", "--locked"]);
    let xtask = xtask.args(["--", "-D", "warnings"]);
    // Optimized, because it decodes ten million payloads.
    let payloads = cargo("test").args(["--release", "--locked"]);
    let payloads = payloads.args(["--package", "tidings-codec", "--test=fast_path"]);
    let payloads = payloads.env(LONG, "1");
    let first = [
        Step::new(DOCUMENTATION, examples),
        Step::new("lints of what measures", lints),
        Step::new("lints without the console", without_console),
        Step::new("lints of xtask", xtask),
        Step::new("what measures, compiler errors", tests),
        Step::new("tests of the soak", soak),
        Step::new("more payloads", payloads),
        Step::new("payloads of every shape", shapes),
    ];
    let last = [
        Step::look("release archive", dist::try_out),
        Step::look("rendered book", book::look),
    ];
    [&first[..], &check::compiled(), &selected(), &last].concat()
}

/// The steps that run some of the tests of a program.
fn selected() -> Vec<Step> {
    let cases = linted(ORDINARY)
        .args([
            "--locked",
            "--no-fail-fast",
            "--lib",
            "--test=codec",
            "--bin=tidings",
        ])
        .args(["--"])
        .env(CASES, MANY)
        .env(LONG, "1");
    // The other tests start no program in another language.
    let programs = linted(ORDINARY);
    let programs = programs.args(["--locked", "--test=tests", "--"]);
    let programs = programs.args(["--ignored"]);
    let documents = linted(ORDINARY);
    let documents = documents.args(["--locked", "--test=cli", "--"]);
    let documents = documents.args(["--ignored"]);
    let journal = linted(ORDINARY).args(["--locked", "--test=tests", "--"]);
    let journal = journal.env(LONG, "1");
    // One at a time, because they measure.
    let console = linted(ORDINARY);
    let console = console.args(["--locked", "--test=cli", "--", "--ignored"]);
    let console = console.args(["--test-threads=1"]);
    let verdicts = linted(["--locked", "--package", "tidings-verdicts"]);
    let verdicts = verdicts.args(["--", "--nocapture"]);
    vec![
        Step::tests("more cases", cases, CASES_OF),
        Step::tests("verdicts on contracts", verdicts, &["the_check_"]),
        Step::tests("faults of the journal", journal, &["journal::soak::"]),
        Step::tests("programs in other languages", programs, &["programs::"]),
        Step::tests(
            "AsyncAPI, other languages",
            documents,
            &["contract::export", "book::shop"],
        ),
        Step::tests(
            "the web console under load",
            console,
            &["console::browser::", "console::attacks::"],
        ),
    ]
}
