//! A directory for a test's sockets.

use std::path::PathBuf;

use tempfile::TempDir;

/// A path of a socket has about 100 bytes; a directory of tests and the names in it take the rest.
const LONGEST: usize = 40;

/// As `tempfile::tempdir()`, and in `/tmp` where the path would be too long for those of sockets in it.
pub(crate) fn short_directory() -> TempDir {
    let own = std::env::temp_dir();
    let is_short = own.as_os_str().len() <= LONGEST;
    let within = if is_short { own } else { PathBuf::from("/tmp") };
    tempfile::tempdir_in(within).expect("the directory for temporary files can be written")
}
