//! Which program workers run, and that nobody else can put another in its place.

use std::fs::metadata;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::ProgramError;

/// Everybody may write.
const WRITE: u32 = 0o002;
/// In a directory of this kind nobody renames or removes what belongs to others.
const STICKY: u32 = 0o1000;
/// Somebody may run it.
const EXECUTE: u32 = 0o111;

/// The file behind a name, as a shell would find it: a path, or a name to look for in `PATH`.
///
/// It is looked for at each start, so that a link that a deployment moved is followed.
pub(crate) fn find(program: &Path) -> Result<PathBuf, ProgramError> {
    let found = locate(program)?;
    // What a link points to now; the check is of the file that runs.
    let path = found
        .canonicalize()
        .map_err(|source| ProgramError::Unreadable {
            path: found.clone(),
            source,
        })?;
    check(&path)?;
    Ok(path)
}

fn locate(program: &Path) -> Result<PathBuf, ProgramError> {
    let missing = || ProgramError::Missing(program.to_owned());
    if program.components().count() > 1 || program.is_absolute() || program.starts_with(".") {
        return if program.exists() {
            Ok(program.to_owned())
        } else {
            Err(missing())
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|directory| directory.join(program));
    candidates
        .find(|candidate| is_executable(candidate))
        .ok_or_else(missing)
}

fn is_executable(path: &Path) -> bool {
    metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & EXECUTE != 0)
}

fn check(path: &Path) -> Result<(), ProgramError> {
    if !is_executable(path) {
        return Err(ProgramError::NotExecutable(path.to_owned()));
    }
    let is_open = |path: &Path, unless: u32| {
        let mode = metadata(path).map(|it| it.permissions().mode());
        mode.map_err(|source| ProgramError::Unreadable {
            path: path.to_owned(),
            source,
        })
        .map(|mode| mode & WRITE != 0 && mode & unless == 0)
    };
    if is_open(path, 0)? {
        return Err(ProgramError::WorldWritable(path.to_owned()));
    }
    // Whoever can write a directory can replace what lies in it.
    for directory in path.ancestors().skip(1) {
        if is_open(directory, STICKY)? {
            return Err(ProgramError::WorldWritable(directory.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, create_dir, set_permissions, write};

    fn program(mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap().join("program");
        write(&path, "").unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn a_program_is_found_by_path_and_by_name() {
        let (_directory, path) = program(0o755);
        assert_eq!(find(&path).unwrap(), path);
        assert!(find(Path::new("sh")).unwrap().is_absolute());
    }

    #[test]
    fn what_is_not_there_or_cannot_be_run_is_refused() {
        let (_directory, path) = program(0o644);
        assert!(matches!(find(&path), Err(ProgramError::NotExecutable(_))));
        assert!(matches!(
            find(Path::new("no-such-program")),
            Err(ProgramError::Missing(_))
        ));
        assert!(matches!(
            find(Path::new("./no-such-program")),
            Err(ProgramError::Missing(_))
        ));
    }

    #[test]
    fn what_everybody_can_write_is_refused() {
        let (_directory, path) = program(0o757);
        assert!(matches!(find(&path), Err(ProgramError::WorldWritable(it)) if it == path));
    }

    #[test]
    fn what_lies_where_everybody_can_write_is_refused() {
        let (directory, _) = program(0o755);
        let open = directory.path().canonicalize().unwrap().join("open");
        create_dir(&open).unwrap();
        let path = open.join("program");
        write(&path, "").unwrap();
        set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(find(&path), Err(ProgramError::WorldWritable(it)) if it == open));
    }
}
