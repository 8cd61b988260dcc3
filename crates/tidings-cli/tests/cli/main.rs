//! The program `tidings` from outside, with real processes.

mod run;
mod signals;
mod steer;
mod support;
mod watch;
