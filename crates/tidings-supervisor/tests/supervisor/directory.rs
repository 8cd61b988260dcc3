//! A temporary directory for sockets.

use std::path::PathBuf;

use tempfile::TempDir;

/// The maximum length of the temporary directory: the path of a socket has at most about 100 bytes.
const MAX_LENGTH: usize = 40;

/// Creates a temporary directory, in `/tmp` if the path of the default one is too long for sockets.
pub(crate) fn short_directory() -> TempDir {
    let default = std::env::temp_dir();
    let is_short = default.as_os_str().len() <= MAX_LENGTH;
    let within = if is_short {
        default
    } else {
        PathBuf::from("/tmp")
    };
    tempfile::tempdir_in(within).expect("the directory for temporary files can be written")
}
