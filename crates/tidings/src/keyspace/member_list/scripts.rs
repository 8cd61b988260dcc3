//! The scripts of the member list. `KEYS` are the member list, the descriptions and the renewals.

use std::sync::LazyLock;

use redis::Script;

/// The beginning of all scripts: the time, and the number and notification of a change. A missing
/// or invalid number is replaced by the time.
const PROLOGUE: &str = r#"
    local member_list, descriptions, renewals = KEYS[1], KEYS[2], KEYS[3]
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local function last_change()
        local change = tonumber(redis.call('HGET', renewals, 'change'))
        if change and change >= 0 and change < 2 ^ 53 then return math.floor(change) end
        return now
    end
    local function announce(publish, channel, id, kind, change)
        redis.call(publish, channel, '{"event":"tidings.member","data":{"id":'
            .. cjson.encode(id) .. ',"kind":"' .. kind .. '","change":'
            .. string.format('%.0f', change) .. '}}')
    end
    local function lease_in(description)
        return tonumber(string.match(description or '', '"lease":(%d+)'))
    end
"#;

/// A member that joins removes no other: it is no proof that Redis was reachable for the others,
/// which may not have renewed yet. In an empty list, the time begins again.
///
/// A gap between renewals longer than half a lease is an outage: no member could renew, so each gets
/// its whole lease and [`RECONNECT_TIME`](super::renewal_gaps::RECONNECT_TIME) from the end of the
/// gap. Several gaps are stored, because the member that ends one may renew too seldom to recognize
/// it; [`RenewalGaps`](super::renewal_gaps::RenewalGaps) has the rule. A member that renews less often
/// than an expired one waits longer before it removes it.
///
/// Any program may have written to these keys: a description that is not the member's own is replaced,
/// as if it joined, and a gap that ends in the future is ignored.
///
/// Without renewals, the keys expire, but not before the longest lease.
pub(super) static RENEW: LazyLock<Script> = LazyLock::new(|| {
    script(
        r#"
        local id, lease, description, started = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
        local channel, reconnect_time, max_lease = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
        local max_removed, scan_limit = tonumber(ARGV[8]), ARGV[9]
        local min_gap, max_gaps = tonumber(ARGV[10]), tonumber(ARGV[11])
        local publish = ARGV[12]
        local change = last_change()

        local function extend_keys()
            local time = 2 * lease + reconnect_time
            for _, key in ipairs(KEYS) do
                if redis.call('PTTL', key) < time then redis.call('PEXPIRE', key, time) end
            end
        end

        local known = redis.call('HGET', descriptions, id) or ''
        local its_started = string.match(known, '^{"started":(%d+),') or ''
        local as_written = '{"started":' .. its_started .. ',' .. string.sub(description, 2)
        local is_known = redis.call('ZSCORE', member_list, id)
            and known == as_written and #its_started <= 15
        redis.call('ZADD', member_list, now + lease, id)
        if not is_known then
            if started == '' then started = string.format('%.0f', now) end
            description = '{"started":' .. started .. ',' .. string.sub(description, 2)
            change = change + 1
            announce(publish, channel, id, 'joined', change)
            redis.call('HSET', descriptions, id, description)
            redis.call('HSET', renewals, 'change', change)
            if redis.call('ZCARD', member_list) == 1 then
                redis.call('HSET', renewals, 'last', now, 'gaps', '')
            end
            extend_keys()
            return {now, change, 0, 1}
        end

        local function lease_of(other)
            local its_lease = lease_in(redis.call('HGET', descriptions, other)) or lease
            return math.min(its_lease, max_lease)
        end

        local before = redis.call('HMGET', renewals, 'last', 'gaps')
        local gap = now - (tonumber(before[1]) or 0)
        local gaps = {}
        -- The clock of Redis was set back: stored times are useless. Each member that is alive renews
        -- its lease before it ends.
        if gap < 0 then
            gap = 2 * max_lease
            for _, other in ipairs(redis.call('ZRANGE', member_list, 0, -1)) do
                redis.call('ZADD', member_list, 'LT', now + lease_of(other), other)
            end
        else
            for length, ended in string.gmatch(before[2] or '', '(%d+)@(%d+)') do
                if tonumber(ended) <= now then
                    gaps[#gaps + 1] = {tonumber(length), tonumber(ended)}
                end
            end
        end
        if gap >= min_gap then
            gap = math.min(gap, 2 * max_lease)
            while #gaps > 0 and gaps[#gaps][1] <= gap do
                gaps[#gaps] = nil
            end
            gaps[#gaps + 1] = {gap, now}
            if #gaps > max_gaps then
                gaps[2][1] = gaps[1][1]
                table.remove(gaps, 1)
            end
        end
        local encoded = {}
        for i, one in ipairs(gaps) do
            encoded[i] = string.format('%.0f@%.0f', one[1], one[2])
        end
        redis.call('HSET', renewals, 'last', now, 'gaps', table.concat(encoded, ' '),
            'change', change)
        local function is_excused(its_lease)
            local longer = math.max(its_lease, lease)
            for _, one in ipairs(gaps) do
                local grace_time = 0
                if one[1] > longer / 2 then
                    grace_time = its_lease + reconnect_time
                elseif one[1] > longer * 0.4 then
                    grace_time = reconnect_time
                end
                if now - one[2] < grace_time then return true end
            end
            return false
        end

        local expired = redis.call('ZRANGEBYSCORE', member_list, '-inf', '(' .. now,
            'WITHSCORES', 'LIMIT', 0, scan_limit)
        local removed = 0
        for i = 1, #expired, 2 do
            if removed == max_removed then break end
            local other, since = expired[i], now - expired[i + 1]
            local its_lease = lease_of(other)
            local is_certain = its_lease >= lease or since >= lease
            if is_certain and not is_excused(its_lease) then
                removed, change = removed + 1, change + 1
                announce(publish, channel, other, 'expired', change)
                redis.call('HSET', renewals, 'change', change)
                redis.call('ZREM', member_list, other)
                redis.call('HDEL', descriptions, other)
            end
        end
        extend_keys()
        return {now, change, removed == max_removed and 1 or 0, 0}
        "#,
    )
});

/// The notification comes last: if it is denied, the member is removed all the same.
pub(super) static LEAVE: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
        local id, channel, publish = ARGV[1], ARGV[2], ARGV[3]
        local was_listed = redis.call('ZREM', member_list, id)
        redis.call('HDEL', descriptions, id)
        if was_listed == 1 then
            local change = last_change() + 1
            redis.call('HSET', renewals, 'change', change)
            announce(publish, channel, id, 'left', change)
        end
        ",
    )
});

/// After a long gap, no member may be left to remove the expired ones: they are left out. But while
/// Redis rejects writes, no member can renew, and a list without renewals expires: the script then
/// returns the error of Redis, which a write that changes nothing shows.
pub(super) static LIST: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
        local reconnect_time = tonumber(ARGV[1])
        local gap = now - (tonumber(redis.call('HGET', renewals, 'last')) or now)
        local all = redis.call('ZRANGE', member_list, 0, -1, 'WITHSCORES')
        local members = {}
        local is_any_expired = false
        for i = 1, #all, 2 do
            local description = redis.call('HGET', descriptions, all[i])
            local is_expired = now > tonumber(all[i + 1])
                and gap > (lease_in(description) or 0) + reconnect_time
            is_any_expired = is_any_expired or is_expired
            if description and not is_expired then
                members[#members + 1] = {all[i], description}
            end
        end
        if is_any_expired or #all == 0 then
            local written = redis.pcall('ZADD', member_list, 'XX', 0, '')
            local words = type(written) == 'table' and written.err or ''
            for _, code in ipairs({'OOM', 'NOREPLICAS', 'MISCONF', 'READONLY'}) do
                if string.find(words, code, 1, true) then return written end
            end
        end
        return {last_change(), members}
        ",
    )
});

fn script(code: &str) -> Script {
    Script::new(&format!("{PROLOGUE}{code}"))
}
