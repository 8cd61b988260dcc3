//! The scripts of a map.
//!
//! `KEYS` are the stamp, the entries and the leases. A script is not rolled back. So each first
//! reads, which fails if a key has another type; then come a first write, which fails if writes are
//! rejected; commands that a user may be denied and that do no harm alone, such as a new stamp; the
//! notification; and last the change itself.
//!
//! An entry that expires has its end behind its number, as `3@1764385800000`, in milliseconds of
//! Redis's clock. After it the entry counts as absent, even if Redis still holds it. An entry of
//! the format `none` is negative: it says that there is no value.

/// The time to live of all leases, counted from the first of them. The value of a loader that takes
/// longer is not stored.
pub(crate) const LEASE_TTL_MS: u64 = 3_600_000;

/// Prefixes a script with the time, as a number and as text, and with a function that returns an
/// entry unless it has expired.
macro_rules! with_time {
    ($script:literal) => {
        concat!(
            r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local clock = string.format('%.0f', now)
local function unexpired(entry)
  local ends = string.match(entry or '', '^%S+ %d+@(%d+) ')
  return (not ends or tonumber(ends) > now) and entry
end
",
            $script
        )
    };
}

/// `ARGV`: the field. Returns the stamp's version and nonce, the entry, and the time.
pub(crate) const READ: &str = with_time!(
    r"
local stamp = redis.call('HMGET', KEYS[1], 'version', 'nonce')
return {stamp[1], stamp[2], unexpired(redis.call('HGET', KEYS[2], ARGV[1])), clock}
"
);

/// `ARGV`: the channel, the beginning of the notification, the nonce, the field, the condition and
/// its operand, the format, the payload, the time to live, the command that publishes. Returns the
/// new version and the nonce before it; or `false`, the stamp, the current entry, and the time.
///
/// The hash expires with the last of its entries, unless one of them does not: the field `until` of
/// the stamp is that time, or `never`. If the hash is missing before it, Redis has lost entries: the
/// notification then names no nonce before it, which empties every cache. Each write of an entry
/// that expires removes those of three random entries that have expired: if each write has a new
/// key, about a third of the hash has expired.
pub(crate) const WRITE: &str = with_time!(
    r#"
local stamp = redis.call('HMGET', KEYS[1], 'version', 'nonce', 'until')
local entry = unexpired(redis.call('HGET', KEYS[2], ARGV[4]))
local lease = redis.call('HGET', KEYS[3], ARGV[4])
local sample = ARGV[9] == '' and {} or redis.call('HRANDFIELD', KEYS[2], 3, 'WITHVALUES')
local number, nonce = string.match(entry or '', '^%S+ (%d+)%S* (%S+) ')
local is = entry and (nonce or '?') or ''
local has_value = entry and string.sub(entry, 1, 5) ~= 'none '
if ARGV[5] == 'is' and is ~= ARGV[6]
    or ARGV[5] == 'leased' and (has_value or lease ~= ARGV[6]) then
  return {false, {stamp[1], stamp[2], entry, clock}}
end
local was = stamp[2] or ''
if #was > 64 or string.find(was, '%W') then was = '?' end
if not number or #number > 15 then number = 0 end
if string.find(stamp[1] or '', '%D') then
  return redis.error_reply('ERR the version is not an integer')
end
local version = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'version', 1))
local last, ends = stamp[3] or 'never', ''
if redis.call('HLEN', KEYS[2]) == 0 then
  if stamp[3] and (tonumber(last) or now + 1) > now then was = '?' end
  last = '0'
end
if ARGV[9] == '' then last = 'never' else
  ends = string.format('@%.0f', now + ARGV[9])
  if last ~= 'never' then
    last = string.format('%.0f', math.max(tonumber(last) or 0, now + ARGV[9]))
  end
end
local function bound()
  if last == 'never' then redis.call('PERSIST', KEYS[2])
  else redis.call('PEXPIRE', KEYS[2], string.format('%.0f', last - now)) end
end
redis.call('HSET', KEYS[1], 'nonce', ARGV[3], 'until', last)
bound()
for field = 1, #sample, 2 do
  if not unexpired(sample[field + 1]) then redis.call('HDEL', KEYS[2], sample[field]) end
end
if lease then redis.call('HDEL', KEYS[3], ARGV[4]) end
redis.call(ARGV[10], ARGV[1], ARGV[2] .. ',"version":' .. version
  .. ',"nonce":"' .. ARGV[3] .. '","previous":"' .. was .. '"}}')
number = string.format('%.0f', number + 1)
redis.call('HSET', KEYS[2], ARGV[4],
  ARGV[7] .. ' ' .. number .. ends .. ' ' .. ARGV[3] .. ' ' .. ARGV[8])
bound()
return {{version, was}, {false, false, false, false}}
"#
);

/// `ARGV`: the channel, the beginning of the notification, the nonce, the command that publishes, and
/// the field; without one, all entries are removed, and a foreign value under the map's key, too.
/// Returns the new version and the nonce before it. Removing a missing field comes first: a full Redis
/// allows it, and the writes after it.
pub(crate) const REMOVE: &str = r#"
local field = ARGV[5]
local is_last = not field
  or redis.call('HGET', KEYS[2], field) and redis.call('HLEN', KEYS[2]) == 1
local function remove(key)
  if field then redis.call('HDEL', key, field) else redis.call('DEL', key) end
end
if field then redis.call('HGET', KEYS[3], field) end
local stamp = redis.call('HMGET', KEYS[1], 'version', 'nonce')
local was = stamp[2] or ''
if #was > 64 or string.find(was, '%W') then was = '?' end
if string.find(stamp[1] or '', '%D') then
  return redis.error_reply('ERR the version is not an integer')
end
redis.call('HDEL', KEYS[1], 'nothing')
local version = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'version', 1))
redis.call('HSET', KEYS[1], 'nonce', ARGV[3])
remove(KEYS[3])
redis.call(ARGV[4], ARGV[1], ARGV[2] .. ',"version":' .. version
  .. ',"nonce":"' .. ARGV[3] .. '","previous":"' .. was .. '"}}')
remove(KEYS[2])
if is_last then redis.call('HDEL', KEYS[1], 'until') end
return {version, was}
"#;

/// `ARGV`: the field, a lease, the time to live of leases, whether a negative entry counts. Returns
/// the stamp, the entry, the time, and the lease.
pub(crate) const LEASE: &str = with_time!(
    r"
local stamp = redis.call('HMGET', KEYS[1], 'version', 'nonce')
local entry = unexpired(redis.call('HGET', KEYS[2], ARGV[1]))
if entry and (ARGV[4] == '1' or string.sub(entry, 1, 5) ~= 'none ') then
  return {{stamp[1], stamp[2], entry, clock}, ''}
end
local lease = redis.call('HGET', KEYS[3], ARGV[1])
if not lease then
  lease = ARGV[2]
  local is_born = redis.call('HLEN', KEYS[3]) == 0
  -- If PEXPIRE is denied, no lease must be created.
  if is_born then redis.call('PEXPIRE', KEYS[3], ARGV[3]) end
  redis.call('HSET', KEYS[3], ARGV[1], lease)
  if is_born then redis.call('PEXPIRE', KEYS[3], ARGV[3]) end
end
return {{stamp[1], stamp[2], false, clock}, lease}
"
);
