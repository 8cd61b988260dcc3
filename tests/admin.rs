//! The servers behind an address, for operators.

mod servers;
