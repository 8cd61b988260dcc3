//! Decodes any bytes as one of many types, with and without the fast path.
#![no_main]

#[allow(dead_code)]
#[path = "../differential.rs"]
mod differential;
#[path = "../probe.rs"]
mod probe;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| differential::check(bytes));
