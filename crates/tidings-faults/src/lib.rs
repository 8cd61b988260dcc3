//! Random faults of a real Redis, and the soak of the journal: for the fault program and for the
//! tests of tidings.

pub mod disrupt;
pub mod journal;
pub mod script;
