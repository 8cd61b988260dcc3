//! Holds the tests of what is wrong, and nothing else.
