//! What the compiler says about wrong uses of the macros, word for word: ui/*.stderr.

#[test]
fn wrong_uses_are_explained() {
    // Only failures: one case that has to be linked would make trybuild link them all.
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}
