//! The command lines of cures, quoted for a shell.

/// Returns the command line that has a server at `host:port` run a command.
pub(crate) fn redis_cli(address: &str, is_tls: bool, words: &[&str]) -> String {
    match host_and_port(address) {
        (_, "") => line_of("redis-cli", &[&["-s", address], tls(is_tls), words]),
        (host, port) => redis_cli_at(host, port, is_tls, words),
    }
}

/// Like [`redis_cli`], for a host and a port that the reader may have to replace.
pub(crate) fn redis_cli_at(host: &str, port: &str, is_tls: bool, words: &[&str]) -> String {
    let server = ["-h", host, "-p", port];
    line_of("redis-cli", &[&server, tls(is_tls), words])
}

/// Returns the command line of a command of `redis-cli --cluster`, by way of a node.
pub(crate) fn redis_cli_cluster(
    address: &str,
    is_tls: bool,
    command: &str,
    words: &[&str],
) -> String {
    let (host, port) = host_and_port(address);
    // The form without brackets, also for IPv6.
    let node = format!("{host}:{port}");
    let start = ["--cluster", command, &node];
    line_of("redis-cli", &[tls(is_tls), &start, words])
}

fn tls(is_tls: bool) -> &'static [&'static str] {
    if is_tls { &["--tls"] } else { &[] }
}

/// Returns the address of a server as tidings takes it, without a login.
pub(crate) fn url(host: &str, port: &str, is_tls: bool) -> String {
    let scheme = if is_tls { "rediss" } else { "redis" };
    if host.contains(':') {
        return format!("{scheme}://[{host}]:{port}");
    }
    format!("{scheme}://{host}:{port}")
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

/// Returns a command line of a program and its words.
pub(crate) fn line_of(program: &str, parts: &[&[&str]]) -> String {
    let words = parts.iter().copied().flatten().map(|word| quoted(word));
    let all = std::iter::once(program.to_owned()).chain(words);
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
        let forget = ["CLUSTER", "FORGET", "a1"];
        assert_eq!(
            redis_cli_cluster("[::1]:7000", true, "call", &forget),
            "redis-cli --tls --cluster call ::1:7000 CLUSTER FORGET a1"
        );
        assert_eq!(url("::1", "7000", true), "rediss://[::1]:7000");
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
