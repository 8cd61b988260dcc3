//! Checks that the programs compile on the one page of the book that needs more than the examples.

#[cfg(doctest)]
#[doc = include_str!("../docs/src/observing.md")]
struct Observing;
