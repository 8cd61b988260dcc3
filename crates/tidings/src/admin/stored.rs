//! The names of what a namespace has stored in Redis.

use std::collections::BTreeSet;

use crate::admin::keys;
use crate::admin::look::DOING;
use crate::admin::view::Admin;
use crate::error::connect::ConnectError;
use crate::transport::server::redis_connection::in_time;
use crate::transport::server::role::Role;
use crate::transport::servers::Located;

/// The maximum number of names that are remembered.
const MAX_NAMES: usize = 10_000;

/// The shared values, maps and counters of a namespace, from
/// [`Admin::stored`](crate::admin::Admin::stored).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Their names, at most 10,000. Foreign programs may have chosen them: print them with
    /// [`Escaped`](crate::codec::Escaped).
    pub names: BTreeSet<StoredName>,
    /// False if there may be more: the search ended early.
    pub is_complete: bool,
}

/// The name of a shared value, a map or a counter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct StoredName {
    /// The type of the value.
    pub kind: StoredKind,
    /// The name that [`Bus::shared`](crate::Bus::shared), [`map`](crate::Bus::map) or
    /// [`counter`](crate::Bus::counter) was called with.
    pub name: String,
}

/// The type of a stored value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StoredKind {
    /// A [`Shared`](crate::Shared) value.
    Shared,
    /// A [`SharedMap`](crate::SharedMap).
    Map,
    /// A [`Counter`](crate::Counter).
    Counter,
}

impl StoredName {
    /// Returns the name in a key without the prefix of the namespace. Other keys have none.
    fn of(rest: &[u8]) -> Option<Self> {
        let (kind, name) = std::str::from_utf8(rest).ok()?.split_once(':')?;
        let kind = match kind {
            "shared" => StoredKind::Shared,
            "map" => StoredKind::Map,
            "counter" => StoredKind::Counter,
            _ => return None,
        };
        Some(Self {
            kind,
            name: name.to_owned(),
        })
    }
}

impl Admin {
    /// Lists the shared values, maps and counters of the namespace. On a single server, at most about
    /// 200,000 keys of all namespaces are looked at, in steps of 1,000 and for half a second at most. In
    /// a cluster, at most 10,000 keys of the namespace's slot are. The user may ask it with
    /// [`Permissions::observe`](crate::acl::Permissions::observe).
    ///
    /// # Errors
    ///
    /// When the server that has the keys does not answer, or denies it.
    ///
    /// ```no_run
    /// use tidings::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
    /// let admin = Bus::builder("redis://10.0.0.7").namespace("shop").admin()?;
    /// for stored in admin.stored().await?.names {
    ///     println!("{:?} {}", stored.kind, tidings::codec::Escaped(&stored.name));
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn stored(&self) -> Result<Stored, ConnectError> {
        // The first master that has the keys.
        let (servers, mut last) = (&self.servers, None);
        for located in servers.locate().await? {
            let slot = servers.slot();
            if located.is_sentinel || slot.is_some_and(|slot| !located.has_slot(slot)) {
                continue;
            }
            match in_time(self.timeout, DOING, list(self, &located)).await {
                Ok(Some(stored)) => return Ok(stored),
                Ok(None) => {}
                Err(why) => last = Some(why),
            }
        }
        last.map_or_else(|| Ok(Stored::default()), Err)
    }
}

/// Lists the names on one server, unless it is a replica.
async fn list(admin: &Admin, located: &Located) -> Result<Option<Stored>, ConnectError> {
    let (servers, namespace) = (&admin.servers, &admin.namespace);
    let access = servers.access(located);
    let mut line = access.open(&located.at, None, DOING).await?;
    if matches!(line.role, Role::Other(_)) {
        return Ok(None);
    }
    let listed = line.ask_within(admin.timeout, DOING, async |client| {
        let mut stored = Stored::default();
        let mut is_cut = false;
        let prefix = format!("{}:", namespace.channel());
        let found = |keys: Vec<Vec<u8>>| {
            let rests = keys
                .iter()
                .filter_map(|key| key.strip_prefix(prefix.as_bytes()));
            for name in rests.filter_map(StoredName::of) {
                if stored.names.len() < MAX_NAMES {
                    stored.names.insert(name);
                } else {
                    is_cut |= !stored.names.contains(&name);
                }
            }
        };
        let are_all = keys::list(client, namespace, servers.slot(), found).await?;
        stored.is_complete = are_all && !is_cut;
        Ok(stored)
    });
    listed.await.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_maps_and_counters_have_names() {
        for (rest, expected) in [
            ("shared:limits", Some((StoredKind::Shared, "limits"))),
            ("map:a:b", Some((StoredKind::Map, "a:b"))),
            ("counter:visits", Some((StoredKind::Counter, "visits"))),
            ("map-stamp:users", None),
            ("members", None),
            ("journal:floor", None),
        ] {
            let name = StoredName::of(rest.as_bytes());
            let found = name.as_ref().map(|it| (it.kind, it.name.as_str()));
            assert_eq!(found, expected, "{rest}");
        }
        assert_eq!(StoredName::of(b"shared:\xff"), None);
    }
}
