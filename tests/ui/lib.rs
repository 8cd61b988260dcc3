//! Tests of compiler errors.
