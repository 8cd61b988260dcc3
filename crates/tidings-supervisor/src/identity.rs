//! The user and group of the workers.

use std::ffi::OsString;

use nix::unistd::{Gid, Group, Uid, User};

use crate::error::StartError;

/// The user and group that a worker switches to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Identity {
    /// Looks up a user and a group by name or number. The default group is the user's own.
    pub(crate) fn find(user: &str, group: Option<&str>) -> Result<Self, StartError> {
        let error = |why: String| StartError::User {
            user: user.to_owned(),
            why,
        };
        let found = match user.parse() {
            Ok(uid) => User::from_uid(Uid::from_raw(uid)),
            Err(_) => User::from_name(user),
        };
        let found = found.map_err(|errno| error(errno.to_string()))?;
        let known = found.map(|user| (user.uid.as_raw(), user.gid.as_raw()));
        let uid = user.parse().ok().or(known.map(|(uid, _)| uid));
        let uid = uid.ok_or_else(|| error("there is no such user".to_owned()))?;
        let gid = match group {
            Some(group) => gid_of(group).map_err(error)?,
            None => known
                .map(|(_, gid)| gid)
                .ok_or_else(|| error("its group is unknown: set the group".to_owned()))?,
        };
        let is_self = Uid::effective().as_raw() == uid && Gid::effective().as_raw() == gid;
        if !Uid::effective().is_root() && !is_self {
            return Err(error("only root can switch to another user".to_owned()));
        }
        Ok(Self { uid, gid })
    }

    /// Returns the variables that describe the user. They have no value for an unknown user.
    pub(crate) fn environment(self) -> [(OsString, Option<OsString>); 3] {
        let user = User::from_uid(Uid::from_raw(self.uid)).ok().flatten();
        let name = user.as_ref().map(|user| OsString::from(&user.name));
        let home = user.map(|user| user.dir.into_os_string());
        [("HOME", home), ("LOGNAME", name.clone()), ("USER", name)]
            .map(|(variable, value)| (variable.into(), value))
    }

    /// Returns whether this process runs as another user or group.
    pub(crate) fn is_another(self) -> bool {
        Uid::effective().as_raw() != self.uid || Gid::effective().as_raw() != self.gid
    }
}

fn gid_of(group: &str) -> Result<u32, String> {
    if let Ok(gid) = group.parse() {
        return Ok(gid);
    }
    let found = Group::from_name(group).map_err(|errno| errno.to_string())?;
    let found = found.map(|group| Gid::as_raw(group.gid));
    found.ok_or_else(|| format!("there is no group `{group}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        if !Uid::effective().is_root() {
            return;
        }
        let root = Identity { uid: 0, gid: 0 };
        assert_eq!(Identity::find("root", None).unwrap(), root);
        assert_eq!(Identity::find("0", Some("root")).unwrap(), root);
        assert_eq!(Identity::find("7654", Some("321")).unwrap().gid, 321);
    }

    #[test]
    fn only_a_known_user_has_a_name_and_a_home() {
        let root = Identity { uid: 0, gid: 0 }.environment();
        assert_eq!(root[1], ("LOGNAME".into(), Some("root".into())));
        assert!(root[0].1.is_some() && root[2].1 == root[1].1);
        let unknown = Identity {
            uid: 7654,
            gid: 321,
        }
        .environment();
        assert_eq!(unknown[0], ("HOME".into(), None));
    }

    #[test]
    fn an_unknown_user_or_group_is_named_in_the_error() {
        for (user, group) in [("no-such-user", None), ("root", Some("no-such-group"))] {
            let error = Identity::find(user, group).unwrap_err().to_string();
            assert!(
                error.contains("no such") || error.contains("no group"),
                "{error}"
            );
        }
    }
}
