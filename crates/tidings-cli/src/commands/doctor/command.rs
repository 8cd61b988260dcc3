//! The command lines of cures, quoted for a shell.

/// Returns the command line that has a server at `host:port` run a command.
pub(crate) fn redis_cli(address: &str, is_tls: bool, words: &[&str]) -> String {
    let (host, port) = host_and_port(address);
    let mut line = if port.is_empty() {
        line_of("redis-cli", &["-s", address])
    } else {
        line_of("redis-cli", &["-h", host, "-p", port])
    };
    if is_tls {
        line.push_str(" --tls");
    }
    line_of(&line, words)
}

/// Returns the host as redis-cli takes it, without brackets, and the port; no port for a socket.
pub(crate) fn host_and_port(address: &str) -> (&str, &str) {
    match address.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            (host, port)
        }
        _ => (address, ""),
    }
}

fn line_of(start: &str, words: &[&str]) -> String {
    let words = words.iter().map(|word| quoted(word));
    let all = std::iter::once(start.to_owned()).chain(words);
    all.collect::<Vec<_>>().join(" ")
}

/// Quotes a word, if a shell would not take it as it is.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "+-@._:/=,".contains(it);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    // There is no escape within single quotes: they are closed and opened again.
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted() {
        let set = [
            "CONFIG",
            "SET",
            "client-output-buffer-limit",
            "pubsub 32mb 8mb 60",
        ];
        assert_eq!(
            redis_cli("10.0.0.7:6379", false, &set),
            "redis-cli -h 10.0.0.7 -p 6379 CONFIG SET client-output-buffer-limit 'pubsub 32mb 8mb 60'"
        );
        assert_eq!(
            redis_cli("[::1]:7000", true, &["PING"]),
            "redis-cli -h ::1 -p 7000 --tls PING"
        );
        assert_eq!(
            redis_cli("/run/redis.sock", false, &["PING"]),
            "redis-cli -s /run/redis.sock PING"
        );
    }

    #[test]
    fn a_word_of_a_server_is_no_command_of_the_shell() {
        assert_eq!(quoted("$(reboot)"), "'$(reboot)'");
        assert_eq!(quoted("a'; reboot; '"), r"'a'\''; reboot; '\'''");
        assert_eq!(quoted(""), "''");
        assert_eq!(
            redis_cli("$(reboot):1", false, &["PING"]),
            "redis-cli -h '$(reboot)' -p 1 PING"
        );
    }
}
