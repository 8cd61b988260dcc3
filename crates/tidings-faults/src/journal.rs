//! The soak of the journal: random faults under traffic, and the account of every event.
//!
//! A [round](round::Round) starts servers, sends events through them while faults happen one after the
//! other, reads the journal that is left, and [checks](check::audit) it against what each sender was
//! told and what each subscriber received.

pub mod check;
pub mod faults;
pub mod fleet;
pub mod log;
pub mod process;
pub mod remains;
pub mod round;
pub mod servers;
pub mod soak;
