//! What Redis does in one step with a map.
//!
//! `KEYS` are the stamp, the entries and the leases. A script is not taken back where it fails, so
//! each reads first, which fails where something else lies under a key; then comes a first write,
//! which fails where nothing may be written; then the rest of what a user may not be allowed and what
//! does no harm alone, such as a stamp without a change; the announcement; and only then the change
//! itself.

/// All leases are gone an hour after the first of them was given. A loader that is overtaken so is not
/// stored.
pub(crate) const LEASES_LAST_MS: u64 = 3_600_000;

/// `ARGV`: the field. Answers the stamp's version and nonce, and the entry.
pub(crate) const READ: &str = r"
local stamp = redis.call('HMGET', KEYS[1], 'version', 'nonce')
return {stamp[1], stamp[2], redis.call('HGET', KEYS[2], ARGV[1])}
";

/// `ARGV`: the channel, the notice's beginning, the nonce, the field, when to write, what that
/// compares with, the format, the payload. Answers the new version and the nonce before it; or
/// nothing in their place, the stamp and the entry that is there.
pub(crate) const WRITE: &str = r#"
local stamp = redis.call('HMGET', KEYS[1], 'version', 'nonce')
local entry = redis.call('HGET', KEYS[2], ARGV[4])
local lease = redis.call('HGET', KEYS[3], ARGV[4])
local number, nonce = string.match(entry or '', '^%S+ (%d+) (%S+) ')
local is = entry and (nonce or '?') or ''
if ARGV[5] == 'is' and is ~= ARGV[6]
    or ARGV[5] == 'leased' and (entry or lease ~= ARGV[6]) then
  return {false, {stamp[1], stamp[2], entry}}
end
local was = stamp[2] or ''
if #was > 64 or string.find(was, '%W') then was = '?' end
if not number or #number > 15 then number = 0 end
if string.find(stamp[1] or '', '%D') then
  return redis.error_reply('ERR the version is not an integer')
end
local version = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'version', 1))
redis.call('HSET', KEYS[1], 'nonce', ARGV[3])
if lease then redis.call('HDEL', KEYS[3], ARGV[4]) end
redis.call('PUBLISH', ARGV[1], ARGV[2] .. ',"version":' .. version
  .. ',"nonce":"' .. ARGV[3] .. '","was":"' .. was .. '"}}')
number = string.format('%.0f', number + 1)
redis.call('HSET', KEYS[2], ARGV[4],
  ARGV[7] .. ' ' .. number .. ' ' .. ARGV[3] .. ' ' .. ARGV[8])
return {{version, was}, {false, false, false}}
"#;

/// `ARGV`: the channel, the notice's beginning, the nonce, the field. Answers the new version and
/// the nonce before it. What takes nothing away comes first: a Redis that is full allows it, and
/// then also what else there is to write.
pub(crate) const REMOVE: &str = r#"
redis.call('HGET', KEYS[2], ARGV[4])
redis.call('HGET', KEYS[3], ARGV[4])
local stamp = redis.call('HMGET', KEYS[1], 'version', 'nonce')
local was = stamp[2] or ''
if #was > 64 or string.find(was, '%W') then was = '?' end
if string.find(stamp[1] or '', '%D') then
  return redis.error_reply('ERR the version is not an integer')
end
redis.call('HDEL', KEYS[1], 'nothing')
local version = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'version', 1))
redis.call('HSET', KEYS[1], 'nonce', ARGV[3])
redis.call('HDEL', KEYS[3], ARGV[4])
redis.call('PUBLISH', ARGV[1], ARGV[2] .. ',"version":' .. version
  .. ',"nonce":"' .. ARGV[3] .. '","was":"' .. was .. '"}}')
redis.call('HDEL', KEYS[2], ARGV[4])
return {version, was}
"#;

/// As [`REMOVE`], without a field: all of them. What lies there instead of a map goes, too.
pub(crate) const CLEAR: &str = r#"
local stamp = redis.call('HMGET', KEYS[1], 'version', 'nonce')
local was = stamp[2] or ''
if #was > 64 or string.find(was, '%W') then was = '?' end
if string.find(stamp[1] or '', '%D') then
  return redis.error_reply('ERR the version is not an integer')
end
redis.call('HDEL', KEYS[1], 'nothing')
local version = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'version', 1))
redis.call('HSET', KEYS[1], 'nonce', ARGV[3])
redis.call('DEL', KEYS[3])
redis.call('PUBLISH', ARGV[1], ARGV[2] .. ',"version":' .. version
  .. ',"nonce":"' .. ARGV[3] .. '","was":"' .. was .. '"}}')
redis.call('DEL', KEYS[2])
return {version, was}
"#;

/// `ARGV`: the field, a lease, how long leases last. Answers the stamp, the entry, and the lease.
pub(crate) const LEASE: &str = r"
local stamp = redis.call('HMGET', KEYS[1], 'version', 'nonce')
local entry = redis.call('HGET', KEYS[2], ARGV[1])
if entry then return {{stamp[1], stamp[2], entry}, ''} end
local lease = redis.call('HGET', KEYS[3], ARGV[1])
if not lease then
  lease = ARGV[2]
  local is_born = redis.call('HLEN', KEYS[3]) == 0
  -- What may not be given an end must not begin.
  if is_born then redis.call('PEXPIRE', KEYS[3], ARGV[3]) end
  redis.call('HSET', KEYS[3], ARGV[1], lease)
  if is_born then redis.call('PEXPIRE', KEYS[3], ARGV[3]) end
end
return {{stamp[1], stamp[2], false}, lease}
";
