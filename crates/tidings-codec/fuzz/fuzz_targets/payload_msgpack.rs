//! Decodes any bytes as a MessagePack payload.
#![no_main]

#[allow(dead_code)]
#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::payload_msgpack(bytes));
