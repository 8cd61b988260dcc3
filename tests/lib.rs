//! What the suites share; and the programs compile on the one page of the book that needs more than
//! the examples.

use std::env;
use std::process::{Command, Output};

#[cfg(doctest)]
#[doc = include_str!("../docs/src/observing.md")]
struct Observing;

/// Set where a test is the process of its own.
const ALONE: &str = "TIDINGS_TEST_ALONE";

/// Runs a test once more in a process of its own, and returns what that printed; `None` in that
/// process. For what other tests of the same program change: its memory, descriptors, threads and
/// standard streams. `test` is the test's name as the test program lists it.
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
