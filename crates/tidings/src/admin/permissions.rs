//! Tries which permissions the user lacks, with commands that change nothing.

use futures_util::future::join_all;
use redis::{Cmd, RedisResult, Value};

use crate::acl::Permissions;
use crate::admin::answers::Asking;
use crate::namespace::Namespace;
use crate::redis_error::is_denied;
use crate::resp::Client;

/// The end of a key that does not exist.
const NO_KEY: &str = "no-such-key";

/// Permissions that the user of the connection lacks for one part of the library.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingPermissions {
    /// The part.
    pub part: Part,
    /// The rules to add, as for `ACL SETUSER`.
    pub rules: Vec<String>,
    /// True if the user may run the commands that only this part needs, so that it is meant to use it.
    pub is_partial: bool,
}

/// A part of the library that needs permissions of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// Being a member, and listing the members.
    Members,
    /// Shared values and maps.
    Shared,
    /// Counters.
    Counters,
    /// A journal, with a durable name.
    Journal,
}

impl Part {
    const ALL: [Self; 4] = [Self::Members, Self::Shared, Self::Counters, Self::Journal];

    fn permissions(self, namespace: &Namespace) -> Option<Permissions> {
        let bus = Permissions::of_bus(namespace.name()).ok()?;
        Some(match self {
            Self::Members => bus.be_member(),
            Self::Shared => bus.share(),
            Self::Counters => bus.count(),
            Self::Journal => bus.durable(),
        })
    }

    /// A command that no other part needs.
    fn mark(self) -> &'static str {
        match self {
            Self::Members => "zadd",
            Self::Shared => "hincrby",
            Self::Counters => "incrby",
            Self::Journal => "xadd",
        }
    }
}

/// Returns what the user lacks. Redis checks the permissions of a command before its arguments and the
/// state of the server, so each command is tried in a form that fails or does nothing.
/// `None` if it takes too long.
pub(super) async fn missing(
    asking: &Asking<'_>,
    namespace: &Namespace,
) -> Option<Vec<MissingPermissions>> {
    let client = asking.client();
    let mut missing = Vec::new();
    for part in Part::ALL {
        let Some(permissions) = part.permissions(namespace) else {
            continue;
        };
        let commands = permissions.commands();
        let denials = commands.iter().map(|name| denial(client, namespace, name));
        let denials = asking.in_time(join_all(denials)).await?;
        let of_mark = commands
            .iter()
            .zip(&denials)
            .find(|(name, _)| **name == part.mark());
        let of_mark = of_mark.and_then(|(_, denial)| denial.as_deref());
        let is_partial = of_mark.is_none_or(|words| words.contains("access"));
        let rules = permissions.missing_of_all(denials.iter().flatten().map(String::as_str));
        if !rules.is_empty() {
            missing.push(MissingPermissions {
                part,
                rules,
                is_partial,
            });
        }
    }
    Some(missing)
}

/// Returns the words of the denial, if the user may not run the command on keys of the namespace.
async fn denial(client: &Client, namespace: &Namespace, name: &str) -> Option<String> {
    let probe = probe(name, &format!("{}:{NO_KEY}", namespace.channel()))?;
    let answer: RedisResult<Value> = client.query(&probe).await;
    let error = answer.err()?;
    is_denied(&error).then(|| error.detail().unwrap_or_default().to_owned())
}

/// Returns a form of the command that changes nothing, and is valid enough for the check of permissions.
/// `None` for commands that are not tried.
fn probe(name: &str, key: &str) -> Option<Cmd> {
    let words: &[&str] = match name {
        "del" | "get" | "hgetall" | "hlen" | "hrandfield" | "memory|usage" | "persist" | "pttl"
        | "watch" | "xlen" | "zcard" => &[key],
        "evalsha" => &["0000000000000000000000000000000000000000", "1", key],
        // The same text every time.
        "script|load" => &["return 1"],
        "hdel" | "hget" | "hmget" | "zrem" | "zscore" => &[key, "f"],
        "hscan" => &[key, "0"],
        // Errors of the command itself, after the check: a field without a value, texts for numbers.
        "hset" => &[key, "f", "v", "f"],
        "hincrby" => &[key, "f", "x"],
        "incrby" => &[key, "x"],
        "pexpire" => &[key, "1000"],
        "set" => &[key, "v", "XX"],
        "zadd" => &[key, "XX", "1", "m"],
        "zrange" | "zrangebyscore" => &[key, "0", "0"],
        "xadd" => &[key, "NOMKSTREAM", "*", "f", "v"],
        "xread" => &["COUNT", "1", "STREAMS", key, "0"],
        "xrange" => &[key, "-", "+"],
        "xrevrange" => &[key, "+", "-"],
        "xtrim" => &[key, "MAXLEN", "0"],
        "exec" | "role" | "time" | "unwatch" => &[],
        // `multi` among them: a transaction would take the commands after it.
        _ => return None,
    };
    let mut probe = Cmd::new();
    for word in name.split('|').chain(words.iter().copied()) {
        probe.arg(word);
    }
    Some(probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_of_a_part_is_tried() {
        let shop = Namespace::parse("shop").unwrap();
        for part in Part::ALL {
            let permissions = part.permissions(&shop).unwrap();
            let commands = permissions.commands();
            assert!(commands.contains(&part.mark()), "{part:?}");
            let untried = commands.iter().filter(|name| probe(name, "k").is_none());
            let untried: Vec<_> = untried.collect();
            let expected: &[&str] = match part {
                Part::Journal => &["subscribe", "publish", "multi"],
                _ => &["subscribe", "publish"],
            };
            assert!(untried.into_iter().eq(expected), "{part:?}");
        }
    }

    #[test]
    fn no_other_part_needs_the_mark_of_a_part() {
        let shop = Namespace::parse("shop").unwrap();
        for part in Part::ALL {
            for other in Part::ALL.into_iter().filter(|other| *other != part) {
                let permissions = other.permissions(&shop).unwrap();
                assert!(
                    !permissions.commands().contains(&part.mark()),
                    "{part:?} {other:?}"
                );
            }
        }
    }
}
