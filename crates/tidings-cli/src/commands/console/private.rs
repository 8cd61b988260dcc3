//! Reads files that other users must not read.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::exit::Problem;
use crate::terminal::escape;

/// The maximum length of such a file, in bytes.
const LENGTH: u64 = 1 << 20;

/// The mode bits of all users but the owner.
pub(super) const OTHERS: u32 = 0o077;

/// The mode bits of all users but the owner, and of the group to write: keys are often readable to a group.
pub(super) const OTHERS_THAN_GROUP: u32 = 0o027;

/// Reads a file unless its mode has one of these bits. `what` names it.
pub(super) fn read(what: &str, path: &Path, forbidden: u32) -> Result<Vec<u8>, Problem> {
    let shown = escape(path.display());
    let not_read = |error: &dyn std::fmt::Display| {
        Problem::usage(format!("cannot read {what} {shown}: {error}"))
    };
    let file = File::open(path).map_err(|error| not_read(&error))?;
    let metadata = file.metadata().map_err(|error| not_read(&error))?;
    if !metadata.is_file() {
        return Err(not_read(&"it is no file"));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & forbidden != 0 {
        let text = format!("{what} {shown} has mode {mode:03o}, so that other users can use it");
        return Err(Problem::usage(text).help(format!("chmod 600 {shown}")));
    }
    let mut bytes = Vec::new();
    let read = file.take(LENGTH + 1).read_to_end(&mut bytes);
    read.map_err(|error| not_read(&error))?;
    if bytes.len() as u64 > LENGTH {
        return Err(not_read(&format_args!("it has more than {LENGTH} bytes")));
    }
    Ok(bytes)
}
