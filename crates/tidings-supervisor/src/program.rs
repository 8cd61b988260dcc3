//! Which program workers run, and that nobody else can put another in its place.

use std::ffi::OsString;
use std::fs::{metadata, read_link, symlink_metadata};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

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
    if !is_executable(&path) {
        return Err(ProgramError::NotExecutable(path));
    }
    check_way(&found)?;
    Ok(path)
}

fn locate(program: &Path) -> Result<PathBuf, ProgramError> {
    let missing = || ProgramError::NotFound(program.to_owned());
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

/// Looks at all that the system passes on its way, from link to link: whoever can write a directory
/// can replace what lies in it.
fn check_way(found: &Path) -> Result<(), ProgramError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        |source| ProgramError::Unreadable { path, source }
    };
    let absolute = std::path::absolute(found).map_err(unreadable(found))?;
    let mut at = PathBuf::new();
    let mut ahead = steps(&absolute);
    // There is an end to it: the system went this way before, and it follows 40 links at most.
    while let Some(step) = ahead.pop() {
        if step == ".." {
            at.pop();
            continue;
        }
        // The root begins anew.
        let next = at.join(step);
        let metadata = symlink_metadata(&next).map_err(unreadable(&next))?;
        if metadata.is_symlink() {
            let target = read_link(&next).map_err(unreadable(&next))?;
            ahead.extend(steps(&target));
            continue;
        }
        let mode = metadata.permissions().mode();
        let is_shared = metadata.is_dir() && mode & STICKY != 0;
        if mode & WRITE != 0 && !is_shared {
            return Err(ProgramError::WorldWritable(next));
        }
        at = next;
    }
    Ok(())
}

/// The last one first.
fn steps(path: &Path) -> Vec<OsString> {
    let steps = path.components().rev();
    let steps = steps.filter(|step| *step != Component::CurDir);
    steps.map(|step| step.as_os_str().to_owned()).collect()
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
    fn what_is_not_there_or_cannot_be_run_is_refused() {
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

    #[test]
    fn a_link_that_lies_where_everybody_can_write_is_refused() {
        let (directory, program) = program(0o755);
        let root = directory.path().canonicalize().unwrap();
        let open = root.join("open");
        create_dir(&open).unwrap();
        symlink(&program, open.join("link")).unwrap();
        // A link to a link, and a link in the middle of the path.
        symlink("open/link", root.join("far")).unwrap();
        symlink("open", root.join("middle")).unwrap();
        set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        for name in ["open/link", "far", "middle/link", "open/../far"] {
            assert_eq!(find(&root.join(name)).unwrap(), program);
        }

        set_permissions(&open, Permissions::from_mode(0o777)).unwrap();

        for name in ["open/link", "far", "middle/link", "open/../program"] {
            let found = find(&root.join(name));
            assert!(
                matches!(&found, Err(ProgramError::WorldWritable(it)) if *it == open),
                "{name}: {found:?}"
            );
        }
        assert!(find(&program).is_ok());
    }
}
