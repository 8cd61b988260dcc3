//! What the compiler accepts and rejects: each right use of the macros in `shapes/`, and the message
//! for each wrong one, word for word, in `ui/*.stderr`.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

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
fn wrong_uses_are_explained() {
    if env::var(VARIABLE).is_ok_and(|flags| flags == FLAGS) {
        // Only failures: one case that has to be linked would make trybuild link them all.
        trybuild::TestCases::new().compile_fail("ui/*.rs");
        return;
    }
    // A process sets this variable for its children only, so the test runs itself again.
    let mut again = Command::new(env::current_exe().unwrap());
    again.args(["--exact", "wrong_uses_are_explained", "--nocapture"]);
    let status = again.env(VARIABLE, FLAGS).status();
    assert!(status.unwrap().success(), "see above");
}
