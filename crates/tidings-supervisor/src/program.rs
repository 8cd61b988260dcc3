//! Finds the program of the workers, and checks that other users cannot replace it.

use std::ffi::OsString;
use std::fs::{metadata, read_link, symlink_metadata};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use crate::error::ProgramError;

/// The permission of all users to write.
const WORLD_WRITE: u32 = 0o002;
/// In a sticky directory, users can rename and remove only their own files.
const STICKY: u32 = 0o1000;
/// The permission of any user to execute.
const EXECUTE: u32 = 0o111;

/// Returns the file of a path, or of a name that is searched in `PATH`.
///
/// It is called at each start of a worker, so that links that a deployment moved are followed.
pub(crate) fn find(program: &Path) -> Result<PathBuf, ProgramError> {
    let found = locate(program)?;
    let path = found
        .canonicalize()
        .map_err(|source| ProgramError::Unreadable {
            path: found.clone(),
            source,
        })?;
    if !is_executable(&path) {
        return Err(ProgramError::NotExecutable(path));
    }
    check_path(&found)?;
    Ok(path)
}

fn locate(program: &Path) -> Result<PathBuf, ProgramError> {
    let not_found = || ProgramError::NotFound(program.to_owned());
    if program.components().count() > 1 || program.is_absolute() || program.starts_with(".") {
        return if program.exists() {
            Ok(program.to_owned())
        } else {
            Err(not_found())
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|directory| directory.join(program));
    candidates
        .find(|candidate| is_executable(candidate))
        .ok_or_else(not_found)
}

fn is_executable(path: &Path) -> bool {
    metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & EXECUTE != 0)
}

/// Checks all directories and links that the path leads through: a user that can write a directory can
/// replace what it contains.
fn check_path(found: &Path) -> Result<(), ProgramError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        |source| ProgramError::Unreadable { path, source }
    };
    let absolute = std::path::absolute(found).map_err(unreadable(found))?;
    let mut checked = PathBuf::new();
    let mut unchecked = components(&absolute);
    // This ends: the kernel has resolved the path, and follows at most 40 links.
    while let Some(component) = unchecked.pop() {
        if component == ".." {
            checked.pop();
            continue;
        }
        // Joining a root replaces the whole path.
        let next = checked.join(component);
        let metadata = symlink_metadata(&next).map_err(unreadable(&next))?;
        if metadata.is_symlink() {
            let target = read_link(&next).map_err(unreadable(&next))?;
            unchecked.extend(components(&target));
            continue;
        }
        let mode = metadata.permissions().mode();
        let is_sticky = metadata.is_dir() && mode & STICKY != 0;
        if mode & WORLD_WRITE != 0 && !is_sticky {
            return Err(ProgramError::WorldWritable(next));
        }
        checked = next;
    }
    Ok(())
}

/// Returns the components of a path, the last one first.
fn components(path: &Path) -> Vec<OsString> {
    let components = path.components().rev();
    let components = components.filter(|it| *it != Component::CurDir);
    components.map(|it| it.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::symlink;

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
    fn a_missing_or_not_executable_program_is_rejected() {
        let (_directory, path) = program(0o644);
        assert!(matches!(find(&path), Err(ProgramError::NotExecutable(_))));
        assert!(matches!(
            find(Path::new("no-such-program")),
            Err(ProgramError::NotFound(_))
        ));
        assert!(matches!(
            find(Path::new("./no-such-program")),
            Err(ProgramError::NotFound(_))
        ));
    }

    #[test]
    fn a_world_writable_program_is_rejected() {
        let (_directory, path) = program(0o757);
        assert!(matches!(find(&path), Err(ProgramError::WorldWritable(it)) if it == path));
    }

    #[test]
    fn a_program_in_a_world_writable_directory_is_rejected() {
        let (directory, _) = program(0o755);
        let open = directory.path().canonicalize().unwrap().join("open");
        create_dir(&open).unwrap();
        let path = open.join("program");
        write(&path, "").unwrap();
        set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(find(&path), Err(ProgramError::WorldWritable(it)) if it == open));
    }

    #[test]
    fn a_path_through_a_world_writable_directory_is_rejected() {
        let (directory, program) = program(0o755);
        let root = directory.path().canonicalize().unwrap();
        let open = root.join("open");
        create_dir(&open).unwrap();
        symlink(&program, open.join("link")).unwrap();
        // A link to a link, and a link in the middle of the path.
        symlink("open/link", root.join("indirect")).unwrap();
        symlink("open", root.join("middle")).unwrap();
        set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        for name in ["open/link", "indirect", "middle/link", "open/../indirect"] {
            assert_eq!(find(&root.join(name)).unwrap(), program);
        }

        set_permissions(&open, Permissions::from_mode(0o777)).unwrap();

        for name in ["open/link", "indirect", "middle/link", "open/../program"] {
            let found = find(&root.join(name));
            assert!(
                matches!(&found, Err(ProgramError::WorldWritable(it)) if *it == open),
                "{name}: {found:?}"
            );
        }
        assert!(find(&program).is_ok());
    }
}
