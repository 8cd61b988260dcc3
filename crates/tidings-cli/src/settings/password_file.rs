//! Checks which users may use the file with the password.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::exit::Problem;
use crate::terminal::escape;

/// The mode bit with which all users can read.
const READABLE: u32 = 0o004;

/// The mode bits with which the group or all users can write.
const WRITABLE: u32 = 0o022;

/// Refuses a file that other users can change, and returns a warning of one that all users can read:
/// secrets that are mounted into containers often are. A file that cannot be found is an error of the
/// connection.
pub(super) fn check(path: &Path) -> Result<Option<String>, Problem> {
    let Ok(metadata) = fs::metadata(path) else {
        return Ok(None);
    };
    let (mode, shown) = (
        metadata.permissions().mode() & 0o777,
        escape(path.display()),
    );
    if !metadata.is_file() {
        return Ok(None);
    }
    if mode & WRITABLE != 0 {
        let text = format!(
            "the password file {shown} has mode {mode:03o}, so that other users can change it"
        );
        return Err(Problem::usage(text).help(format!("chmod 600 {shown}")));
    }
    let warning = || format!("other users can read the password file {shown} (chmod 600 {shown})");
    Ok((mode & READABLE != 0).then(warning))
}
