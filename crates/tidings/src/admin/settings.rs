//! The settings of a server: configuration and users. They are never changed.

use std::collections::HashMap;
use std::time::SystemTime;

use futures_util::future::join_all;
use redis::{FromRedisValue, Value};

use crate::admin::answers::Asking;
use crate::admin::fields::Fields;
use crate::admin::permissions::MissingPermissions;
use crate::journal::access::{DurableName, JournalInfo};

/// The settings that are asked for. None of them is a secret.
const NAMES: &str = "\
    acl-pubsub-default aclfile appendfsync appendonly bind busy-reply-threshold \
    client-output-buffer-limit client-query-buffer-limit cluster-allow-pubsubshard-when-down \
    cluster-enabled cluster-node-timeout cluster-require-full-coverage databases \
    enable-debug-command hz lua-time-limit maxclients maxmemory maxmemory-clients \
    maxmemory-policy min-replicas-max-lag min-replicas-to-write notify-keyspace-events port \
    proto-max-bulk-len protected-mode repl-backlog-size repl-diskless-sync-delay repl-timeout \
    replica-priority replica-read-only replica-serve-stale-data save \
    stop-writes-on-bgsave-error stream-node-max-bytes tcp-keepalive timeout tls-auth-clients \
    tls-port tls-replication";

/// The configuration and the users of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// The answers to `CONFIG GET`, for settings that matter to a bus and are no secrets.
    pub config: Fields,
    /// True if it has a password for its master.
    pub has_master_password: Option<bool>,
    /// The user of the connection that asked.
    pub user: Option<String>,
    /// The permissions of that user.
    pub own_user: Option<AclUser>,
    /// The permissions of the user `default`.
    pub default_user: Option<AclUser>,
    /// The permissions that the user of the connection lacks for a part of the library. `None` if
    /// the server took too long to answer.
    pub missing: Option<Vec<MissingPermissions>>,
    /// The end of the server's certificate, with TLS.
    pub certificate_ends: Option<SystemTime>,
    /// True if the namespace has a journal there. A node of a cluster only knows of its own keys.
    pub has_journal: Option<bool>,
    /// The extent of that journal, if the user may read it.
    pub journal: Option<JournalInfo>,
    /// The durable names of that journal.
    pub durable_names: Vec<DurableName>,
    /// The other databases of the server that have members or a journal of the namespace.
    /// `None` if the user may not look, or the server took too long to answer.
    pub other_databases: Option<Vec<u64>>,
}

/// The permissions of a user, as `ACL GETUSER` reports them. Passwords and their hashes are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AclUser {
    /// True if it can log in.
    pub is_on: bool,
    /// True if it needs no password.
    pub is_without_password: bool,
    /// Its command rules, such as `-@all +publish`.
    pub commands: String,
    /// Its key patterns, such as `~*`.
    pub keys: String,
    /// Its channel patterns, such as `&*`.
    pub channels: String,
}

/// Asks for the settings.
pub(super) async fn settings(asking: &Asking<'_>) -> Settings {
    let user: Option<String> = asking.words("ACL WHOAMI").await;
    let default_user = acl_user(asking, "default").await;
    let own_user = match user.as_deref() {
        Some("default") | None => default_user.clone(),
        // The answer would be the same.
        Some(_) if default_user.is_none() => None,
        Some(user) => acl_user(asking, user).await,
    };
    let config = config(asking).await;
    Settings {
        has_master_password: has_master_password(&config, asking).await,
        config,
        user,
        own_user,
        default_user,
        ..Settings::default()
    }
}

/// Asks for one setting after a denial of none: Redis 6.2 takes a single name.
async fn config(asking: &Asking<'_>) -> Fields {
    type Pairs = HashMap<String, String>;
    let get = |name| redis::cmd("CONFIG").arg("GET").arg(name).clone();
    let (first, rest) = NAMES.split_once(' ').expect("there are many names");
    let first: Option<Pairs> = asking.ask("CONFIG GET", get(first)).await;
    let Some(first) = first else {
        return Fields::default();
    };
    let rest = rest.split(' ');
    let rest = rest.map(|name| asking.ask("CONFIG GET", get(name)));
    let rest: Vec<Option<Pairs>> = join_all(rest).await;
    let pairs = rest.into_iter().flatten().flatten();
    first.into_iter().chain(pairs).collect()
}

async fn has_master_password(config: &Fields, asking: &Asking<'_>) -> Option<bool> {
    if config.is_empty() {
        return None;
    }
    let get = redis::cmd("CONFIG").arg("GET").arg("masterauth").clone();
    let pairs: HashMap<String, String> = asking.ask("CONFIG GET", get).await?;
    Some(
        pairs
            .get("masterauth")
            .is_some_and(|password| !password.is_empty()),
    )
}

async fn acl_user(asking: &Asking<'_>, name: &str) -> Option<AclUser> {
    let mut get = redis::cmd("ACL");
    get.arg("GETUSER").arg(name);
    let fields: Option<HashMap<String, Value>> = asking.ask("ACL GETUSER", get).await?;
    Some(AclUser::of(&fields?))
}

impl AclUser {
    fn of(fields: &HashMap<String, Value>) -> Self {
        let text = |name| fields.get(name).map(joined).unwrap_or_default();
        let flags = text("flags");
        let has = |flag| flags.split(' ').any(|known| known == flag);
        Self {
            is_on: has("on"),
            is_without_password: has("nopass"),
            commands: text("commands"),
            keys: text("keys"),
            channels: text("channels"),
        }
    }
}

/// A text, or the texts of a list: Redis 6.2 has lists where later versions have a text.
fn joined(value: &Value) -> String {
    let text = String::from_redis_value_ref(value);
    text.or_else(|_| Vec::<String>::from_redis_value_ref(value).map(|list| list.join(" ")))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_asked_for() {
        for name in NAMES.split(' ') {
            assert!(
                !name.contains("auth") || name == "tls-auth-clients",
                "{name}"
            );
            assert!(!name.contains("pass") && !name.contains('*'), "{name}");
        }
    }

    #[test]
    fn the_permissions_of_a_user_are_parsed_in_the_forms_of_all_versions() {
        for keys in ["+~a:* ~b", "*2\r\n+~a:*\r\n+~b"] {
            let answer = format!(
                "%4\r\n+flags\r\n~2\r\n+on\r\n+nopass\r\n+passwords\r\n*0\r\n\
                 +commands\r\n+-@all +get\r\n+keys\r\n{keys}\r\n"
            );
            let answer = redis::parse_redis_value(answer.as_bytes()).unwrap();
            let user = AclUser::of(&HashMap::from_redis_value(answer).unwrap());
            let expected = AclUser {
                is_on: true,
                is_without_password: true,
                commands: "-@all +get".to_owned(),
                keys: "~a:* ~b".to_owned(),
                channels: String::new(),
            };
            assert_eq!(user, expected);
        }
    }
}
