//! What the compiler says about wrong uses of the macros, word for word: ui/*.stderr.

use std::env;
use std::process::Command;

const VARIABLE: &str = "CARGO_ENCODED_RUSTFLAGS";

/// What trybuild gives to the compiler when it builds the cases, separated as cargo wants it.
///
/// It has built their dependencies without the last of these, so cargo would build all of them once
/// more, for the other flags. This variable counts before what trybuild says.
const FLAGS: &str =
    "--cfg\u{1f}trybuild\u{1f}--verbose\u{1f}-Adead_code\u{1f}--diagnostic-width=140";

#[test]
fn wrong_uses_are_explained() {
    if env::var(VARIABLE).is_ok_and(|flags| flags == FLAGS) {
        // Only failures: one case that has to be linked would make trybuild link them all.
        trybuild::TestCases::new().compile_fail("ui/*.rs");
        return;
    }
    // The variable of a process that runs is set by whoever starts it. No filter: this test is the
    // only one here, and a name that is wrong one day would run nothing, and pass.
    let mut again = Command::new(env::current_exe().unwrap());
    let status = again.arg("--nocapture").env(VARIABLE, FLAGS).status();
    assert!(status.unwrap().success(), "see above");
}
