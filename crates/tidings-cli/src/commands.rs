//! The commands of `tidings`, one module each.

pub(crate) mod ps;
pub(crate) mod reload;
pub(crate) mod run;
pub(crate) mod scale;
pub(crate) mod stop;

use std::process::ExitCode;

use tidings_supervisor::Stopped;

/// The exit code if workers had to be killed.
const KILLED: u8 = 3;

fn exit_code(stopped: Stopped) -> ExitCode {
    match stopped {
        Stopped {
            all_failed: true, ..
        } => ExitCode::FAILURE,
        Stopped { killed: 0, .. } => ExitCode::SUCCESS,
        _ => ExitCode::from(KILLED),
    }
}
