//! Shared by the suites; and the programs of the pages of the book that need more than the
//! examples.

use std::env;
use std::process::{Command, Output};

#[cfg(doctest)]
#[doc = include_str!("../docs/src/observing.md")]
struct Observing;

#[cfg(doctest)]
#[doc = include_str!("../docs/src/events.md")]
struct Events;

/// Set in a test that runs in its own process.
const ALONE: &str = "TIDINGS_TEST_ALONE";

/// Runs a test again in its own process, and returns its output; returns `None` in that process.
/// For tests that other tests of the program would disturb: memory, descriptors, threads and
/// standard streams. `test` is the name in the test program's list.
///
/// # Panics
///
/// When the test fails there, or no test has this name.
pub fn alone(test: &str) -> Option<Output> {
    if env::var_os(ALONE).is_some() {
        return None;
    }
    let program = env::current_exe().expect("the path of this program");
    let output = Command::new(program)
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, "1")
        .output()
        .expect("this program starts again");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let is_passed = output.status.success() && stdout.contains("1 passed");
    assert!(is_passed, "{}: {stdout}{stderr}", output.status);
    Some(output)
}
