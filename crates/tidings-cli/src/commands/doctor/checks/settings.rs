//! Checks of the settings of each server.

use crate::commands::doctor::facts::{Facts, Server, State};
use crate::commands::doctor::finding::{Finding, each};

const MIB: u64 = 1 << 20;

/// The oldest version that tidings supports.
const OLDEST: (u64, u64) = (6, 2);

/// The shortest `timeout` that no heartbeat exceeds, in seconds.
const SHORTEST_TIMEOUT: u64 = 30;

pub(crate) fn version(facts: &Facts) -> Vec<Finding> {
    each(facts, |_, state| {
        let version = state.info("redis_version")?;
        let mut parts = version.split('.').map(str::parse);
        let Some((Ok(major), Ok(minor))) = parts.next().zip(parts.next()) else {
            return Ok(Some(Finding::skipped("the version is not a number")));
        };
        Ok(Some(if (major, minor) >= OLDEST {
            Finding::ok(format!("Redis {version}"))
        } else {
            Finding::error(format!(
                "Redis {version} is older than 6.2, the oldest version that tidings supports"
            ))
            .cure("install Redis 7.2 or newer, or Valkey")
        }))
    })
}

pub(crate) fn output_buffer(facts: &Facts) -> Vec<Finding> {
    each(facts, |server, state| {
        let limits = state.config("client-output-buffer-limit")?;
        let Some([hard, soft, seconds]) = limit_of_subscribers(limits) else {
            return Ok(Some(Finding::skipped(
                "`client-output-buffer-limit` has no part for pubsub",
            )));
        };
        let finding = match (hard, soft) {
            (0, 0) => Finding::warning(
                "client-output-buffer-limit pubsub is off: a subscriber that stops reading uses \
                 the memory of the server without a limit",
            ),
            (1.., _) if hard < 8 * MIB => Finding::error(format!(
                "client-output-buffer-limit pubsub is {}: a subscriber that is this far behind \
                 is disconnected, and misses events",
                bytes(hard)
            )),
            (_, 1..) if soft < MIB => Finding::warning(format!(
                "client-output-buffer-limit pubsub disconnects a subscriber that is {} behind for \
                 {seconds}s",
                bytes(soft)
            )),
            _ => {
                return Ok(Some(Finding::ok(
                    "the output buffer of subscribers is large enough",
                )));
            }
        };
        let (name, limit) = ("client-output-buffer-limit", "pubsub 32mb 8mb 60");
        Ok(Some(finding.cure(set(server, name, limit))))
    })
}

/// Returns the hard limit, the soft limit and its seconds.
fn limit_of_subscribers(limits: &str) -> Option<[u64; 3]> {
    let mut words = limits.split_whitespace().skip_while(|it| *it != "pubsub");
    let mut number = || words.next().and_then(|it| it.parse().ok());
    number();
    Some([number()?, number()?, number()?])
}

pub(crate) fn slow_subscribers(facts: &Facts) -> Vec<Finding> {
    each(facts, |_, state| {
        let backlog = state.known(state.largest_backlog, "CLIENT LIST")?;
        Ok(Some(if backlog < MIB {
            Finding::ok("no subscriber is behind")
        } else {
            Finding::warning(format!(
                "a subscriber is {} behind: it reads slower than events are sent (the member with the \
                 longest queue, or another program)",
                bytes(backlog)
            ))
            .cure(facts.tidings(&["members"]))
        }))
    })
}

pub(crate) fn eviction(facts: &Facts) -> Vec<Finding> {
    each(facts, |server, state| {
        let policy = state.config("maxmemory-policy")?;
        let is_limited = state.config_number("maxmemory")? > 0;
        let Some(kind) = policy.strip_prefix("allkeys-").filter(|_| is_limited) else {
            return Ok(Some(Finding::ok(
                "no key is evicted that has no time to live",
            )));
        };
        let what = "maxmemory-policy is";
        let finding = if facts.has_journal() {
            let text = format!("{what} {policy}: Redis may remove the journal, and events with it");
            Finding::error(text)
        } else {
            let text = format!("{what} {policy}: Redis may remove shared values and counters");
            Finding::warning(text)
        };
        let spares = format!("volatile-{kind}");
        Ok(Some(finding.cure(set(server, "maxmemory-policy", &spares))))
    })
}

pub(crate) fn memory(facts: &Facts) -> Vec<Finding> {
    each(facts, |server, state| {
        let limit = state.config_number("maxmemory")?;
        let used = state.info_number("used_memory")?;
        if limit == 0 {
            return Ok(Some(Finding::ok("there is no maxmemory")));
        }
        if state.config("maxmemory-policy")?.starts_with("allkeys-") {
            return Ok(Some(Finding::ok(
                "Redis evicts keys before its memory is full",
            )));
        }
        let percent = used.saturating_mul(100) / limit;
        let text =
            format!("{percent} % of maxmemory are used: Redis rejects writes when it is full");
        let finding = match percent {
            0..80 => return Ok(Some(Finding::ok("less than 80 % of maxmemory are used"))),
            80..95 => Finding::warning(text),
            _ => Finding::error(text),
        };
        let twice = limit.max(used).saturating_mul(2);
        // With less, nearly as much of it would be in use.
        let least = used.saturating_add(used / 2);
        let raise = raise_memory(server, state, least, twice);
        let other = "remove keys, or move Redis to a machine with more memory";
        Ok(Some(
            finding.cure(raise.unwrap_or_else(|| other.to_owned())),
        ))
    })
}

pub(crate) fn idle_timeout(facts: &Facts) -> Vec<Finding> {
    each(facts, |server, state| {
        let seconds = state.config_number("timeout")?;
        Ok(Some(if seconds == 0 || seconds >= SHORTEST_TIMEOUT {
            Finding::ok("idle connections stay open")
        } else {
            Finding::warning(format!(
                "timeout is {seconds}s: Redis closes connections between two heartbeats"
            ))
            .cure(set(server, "timeout", "0"))
        }))
    })
}

pub(crate) fn keepalive(facts: &Facts) -> Vec<Finding> {
    each(facts, |server, state| {
        let seconds = state.config_number("tcp-keepalive")?;
        Ok(Some(if seconds > 0 {
            Finding::ok("Redis notices clients that are gone")
        } else {
            Finding::warning(
                "tcp-keepalive is 0: Redis keeps the connections and buffers of machines that are gone",
            )
            .cure(set(server, "tcp-keepalive", "300"))
        }))
    })
}

pub(crate) fn clients(facts: &Facts) -> Vec<Finding> {
    each(facts, |server, state| {
        let clients = state.info_number("connected_clients")?;
        let limit = state.config_number("maxclients")?;
        let percent = clients.saturating_mul(100) / limit.max(1);
        let text = format!("{clients} of {limit} possible connections are open (maxclients)");
        let finding = match percent {
            0..80 => return Ok(Some(Finding::ok("less than 80 % of maxclients are used"))),
            80..95 => Finding::warning(text),
            _ => Finding::error(text),
        };
        let twice = limit.saturating_mul(2).max(10_000).to_string();
        Ok(Some(finding.cure(set(server, "maxclients", &twice))))
    })
}

pub(crate) fn script_limit(facts: &Facts) -> Vec<Finding> {
    each(facts, |server, state| {
        // The older name works in all versions.
        let milliseconds = state.config_number("lua-time-limit")?;
        Ok(Some(if milliseconds > 0 {
            Finding::ok("a script that does not end can be killed")
        } else {
            Finding::warning(
                "lua-time-limit is 0: a script that does not end blocks Redis, and cannot be killed",
            )
            .cure(set(server, "lua-time-limit", "5000"))
        }))
    })
}

/// The command line that raises `maxmemory` to at most three quarters of the machine's memory, which other
/// programs and the copy for a snapshot share. `None` if that is less than `least`, or not known.
pub(super) fn raise_memory(
    server: &Server,
    state: &State,
    least: u64,
    wanted: u64,
) -> Option<String> {
    let machine = state.info_number("total_system_memory").ok()?;
    let limit = wanted.min(machine / 4 * 3);
    (limit >= least).then(|| set(server, "maxmemory", &limit.to_string()))
}

/// The command line that changes a setting.
pub(super) fn set(server: &Server, name: &str, value: &str) -> String {
    server.cli(&["CONFIG", "SET", name, value])
}

/// Returns a size with its unit.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..MIB => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::facts::fields;

    #[test]
    fn the_limit_of_subscribers_is_the_last_part() {
        let limits = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        assert_eq!(
            limit_of_subscribers(limits),
            Some([33_554_432, 8_388_608, 60])
        );
        assert_eq!(limit_of_subscribers("normal 0 0 0"), None);
    }

    #[test]
    fn maxmemory_is_not_raised_beyond_the_memory_of_the_machine() {
        let raised = |machine: &str, least, wanted| {
            let state = State {
                info: fields(&[("total_system_memory", machine)]),
                ..State::default()
            };
            let server = Server::with("10.0.0.7:6379", State::default());
            let raised = raise_memory(&server, &state, least, wanted)?;
            raised.split(' ').next_back().map(str::to_owned)
        };
        assert_eq!(raised("4000", 1500, 2000).as_deref(), Some("2000"));
        assert_eq!(raised("2000", 1500, 2000).as_deref(), Some("1500"));
        assert_eq!(raised("1000", 1500, u64::MAX), None);
        assert_eq!(raised("unknown", 1500, 2000), None);
    }

    #[test]
    fn a_size_has_a_unit() {
        let shown = [7, 2048, 3 << 20].map(bytes);
        assert_eq!(shown, ["7 B", "2 KiB", "3 MiB"]);
    }
}
