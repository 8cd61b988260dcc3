//! The commands that a journal needs, in forms that change nothing.

use redis::{Cmd, cmd};

use crate::keyspace::journal::Uses;
use crate::namespace::JournalKeys;

/// A script that does nothing.
const NOTHING: &str = "return 1";

/// Returns the commands. Most have an error: Redis checks the permission before it reads the rest of
/// the arguments.
pub(super) fn commands(keys: &JournalKeys, uses: Uses) -> Vec<Cmd> {
    let JournalKeys {
        stream,
        floor,
        positions,
    } = keys;
    let none = format!("{floor}:none");
    let mut commands = vec![
        command(&["XADD", stream, "NOMKSTREAM", "0-0", "f", ""]),
        command(&["XREAD", "COUNT", "1", "STREAMS", stream, "$"]),
        command(&["XRANGE", stream, "-", "+", "COUNT", "1"]),
        command(&["XREVRANGE", stream, "+", "-", "COUNT", "1"]),
        command(&["XTRIM", stream, "MINID", "0-0"]),
        command(&["XLEN", stream]),
        command(&["GET", floor]),
        command(&["SET", floor, "", "NX", "XX"]),
        command(&["DEL", &none]),
        command(&["TIME"]),
        command(&["MEMORY", "USAGE", &none]),
        command(&["HGETALL", &none]),
    ];
    if uses.confirms {
        commands.push(command(&["WAIT", "0", "1"]));
    }
    if uses.is_durable {
        commands.extend([
            command(&["HGET", positions, "none"]),
            command(&["HSET", positions, "none", "", "none"]),
            command(&["HDEL", &none, "none"]),
            command(&["SCRIPT", "LOAD", NOTHING]),
            command(&["EVALSHA", "none", "0"]),
        ]);
    }
    // If `EXEC` is denied, all later commands are only queued.
    commands.extend([
        command(&["WATCH", floor]),
        command(&["UNWATCH"]),
        command(&["MULTI"]),
        command(&["EXEC"]),
    ]);
    commands
}

/// The keys with their types, as `TYPE` names them.
pub(super) fn types(keys: &JournalKeys) -> [(&str, &'static str); 3] {
    [
        (&keys.stream, "stream"),
        (&keys.floor, "string"),
        (&keys.positions, "hash"),
    ]
}

pub(super) fn command(words: &[&str]) -> Cmd {
    let (name, arguments) = words.split_first().expect("a command has a name");
    let mut command = cmd(name);
    command.arg(arguments);
    command
}
