//! Valid uses of the macros compile (`shapes/`), and each invalid use has the expected compiler error
//! (`ui/*.stderr`).
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

pub mod shapes;

use std::env;
use std::process::Command;

const VARIABLE: &str = "CARGO_ENCODED_RUSTFLAGS";

/// The flags that trybuild gives to the compiler when it builds the cases, separated as cargo
/// expects.
///
/// trybuild builds their dependencies without the last of these flags, so cargo would build all of
/// them again. This variable takes precedence over what trybuild sets.
const FLAGS: &str =
    "--cfg\u{1f}trybuild\u{1f}--verbose\u{1f}-Adead_code\u{1f}--diagnostic-width=140";

#[test]
fn invalid_uses_have_the_expected_errors() {
    if env::var(VARIABLE).is_ok_and(|flags| flags == FLAGS) {
        // Only failures: one case that has to be linked would make trybuild link them all.
        trybuild::TestCases::new().compile_fail("ui/*.rs");
        return;
    }
    // A process sets this variable for its children only, so the test runs itself again.
    let mut again = Command::new(env::current_exe().unwrap());
    again.args([
        "--exact",
        "invalid_uses_have_the_expected_errors",
        "--nocapture",
    ]);
    let status = again.env(VARIABLE, FLAGS).status();
    assert!(status.unwrap().success(), "see above");
}
