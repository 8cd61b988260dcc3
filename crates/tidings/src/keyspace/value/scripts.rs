//! The scripts of a shared value: a hash of format, value, version and nonce. The last argument is the
//! command that publishes.

use std::sync::LazyLock;

use redis::Script;

/// The beginning of all scripts. A notification that is denied must be denied before the first write.
/// Redis 6.2 cannot tell beforehand.
const PROLOGUE: &str = r#"
local function prove_publish(command, channel)
    if redis.acl_check_cmd and not redis.acl_check_cmd(command, channel, "") then
        redis.call(command, channel, "")
    end
end
"#;

// A script is not rolled back. So the order is: commands that fail on a full or read-only Redis,
// commands that a user may be denied, then the rest. The version is first written unchanged: a user
// who may do that may write the value, too. A nonce that no bus made is shown as `?`.
pub(super) static WRITE: LazyLock<Script> = LazyLock::new(|| {
    script(
        r#"
local found = redis.call("HMGET", KEYS[1], "format", "value", "version", "nonce", "ttl", "restored")
local was = found[4] or ""
local is_foreign = was == "" and (found[1] or found[2])
if ARGV[1] == "if" and (is_foreign or was ~= ARGV[2]) then
    return {0, found}
end
if string.find(found[3] or "", "[^%d]") then
    return redis.error_reply("ERR the version is not an integer")
end
if #was > 64 or string.find(was, "%W") then was = "?" end
prove_publish(ARGV[11], ARGV[3])
redis.call("HSET", KEYS[1], "version", found[3] or ARGV[10])
local version = string.format("%.0f", redis.call("HINCRBY", KEYS[1], "version", 1))
if ARGV[9] == "" then
    redis.call("PERSIST", KEYS[1])
    redis.call("HDEL", KEYS[1], "ttl")
else
    redis.call("PEXPIRE", KEYS[1], ARGV[9])
    redis.call("HSET", KEYS[1], "ttl", ARGV[9])
end
redis.call(ARGV[11], ARGV[3], '{"event":"tidings.shared","data":{"key":"' .. ARGV[4]
    .. '","version":' .. version .. ',"nonce":"' .. ARGV[7]
    .. '","previous":"' .. was .. '"' .. ARGV[8] .. "}}")
redis.call("HSET", KEYS[1], "format", ARGV[5], "value", ARGV[6], "nonce", ARGV[7])
return {1, {false, false, version, was, false, false}}
"#,
    )
});

// Removing a missing field comes first: a full Redis allows it, and the writes after it.
pub(super) static CLEAR: LazyLock<Script> = LazyLock::new(|| {
    script(
        r#"
local found = redis.call("HMGET", KEYS[1], "version", "nonce")
local was = found[2] or ""
if #was > 64 or string.find(was, "%W") then was = "?" end
if string.find(found[1] or "", "[^%d]") then
    return redis.error_reply("ERR the version is not an integer")
end
prove_publish(ARGV[6], ARGV[1])
redis.call("HDEL", KEYS[1], "nothing")
redis.call("HSET", KEYS[1], "version", found[1] or ARGV[4])
local version = string.format("%.0f", redis.call("HINCRBY", KEYS[1], "version", 1))
redis.call("PEXPIRE", KEYS[1], ARGV[5])
redis.call(ARGV[6], ARGV[1], '{"event":"tidings.shared","data":{"key":"' .. ARGV[2]
    .. '","version":' .. version .. ',"nonce":"' .. ARGV[3]
    .. '","previous":"' .. was .. '","cleared":true}}')
redis.call("HDEL", KEYS[1], "format", "value", "ttl")
redis.call("HSET", KEYS[1], "nonce", ARGV[3])
return {version, was}
"#,
    )
});

// A restored copy stores its nonce in `restored`, too; any later write has another nonce.
pub(super) static RESTORE: LazyLock<Script> = LazyLock::new(|| {
    script(
        r#"
local found = redis.call("HMGET", KEYS[1], "format", "value", "version", "nonce", "restored")
local was = found[4] or ""
local is_older = was ~= "" and was == found[5]
    and (tonumber(found[3]) or 0) < tonumber(ARGV[3])
if (found[1] or found[2] or was ~= "") and not is_older then return 0 end
prove_publish(ARGV[8], ARGV[1])
redis.call("HSET", KEYS[1], "version", ARGV[3])
if ARGV[5] == "" then
    redis.call("PEXPIRE", KEYS[1], ARGV[7])
else
    redis.call("PERSIST", KEYS[1])
end
redis.call(ARGV[8], ARGV[1], '{"event":"tidings.shared","data":{"key":"' .. ARGV[2] .. '"}}')
if ARGV[5] == "" then
    redis.call("HDEL", KEYS[1], "format", "value")
else
    redis.call("HSET", KEYS[1], "format", ARGV[5], "value", ARGV[6])
end
redis.call("HSET", KEYS[1], "nonce", ARGV[4], "restored", ARGV[4])
return 1
"#,
    )
});

fn script(code: &str) -> Script {
    Script::new(&format!("{PROLOGUE}{code}"))
}
