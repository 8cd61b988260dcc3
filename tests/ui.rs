//! What the compiler says about wrong uses of the macros, word for word: ui/fail/*.stderr.

#[test]
fn wrong_uses_are_explained_and_right_ones_compile() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/pass/*.rs");
    cases.compile_fail("ui/fail/*.rs");
}
