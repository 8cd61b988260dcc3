//! What Redis does in one step with a member list. `KEYS` are the list, the descriptions and the
//! renewals.

use std::sync::LazyLock;

use redis::Script;

/// What all scripts of the list begin with: the time, and how a change is numbered and announced.
/// A number that nobody has counted, or that is none, begins anew.
const PROLOGUE: &str = r#"
    local member_list, descriptions, renewals = KEYS[1], KEYS[2], KEYS[3]
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local function last_change()
        local change = tonumber(redis.call('HGET', renewals, 'change'))
        if change and change >= 0 and change < 2 ^ 53 then return math.floor(change) end
        return now
    end
    local function announce(channel, id, kind, change)
        redis.call('PUBLISH', channel, '{"event":"tidings.member","data":{"id":'
            .. cjson.encode(id) .. ',"kind":"' .. kind .. '","change":'
            .. string.format('%.0f', change) .. '}}')
    end
    local function lease_in(description)
        return tonumber(string.match(description or '', '"lease":(%d+)'))
    end
"#;

/// Who joins takes nobody off the roll, and is no proof that Redis was there for the others: it may
/// be gone again before it renews anything. Where there are no others, the time begins anew.
///
/// A silence longer than half a lease is Redis's own: then nobody could renew, so each gets its
/// whole lease, and [`RETURN`](crate::keyspace::member_list::RETURN), from the end of the silence. The silences are kept with their
/// lengths, because the member that ends one may renew so seldom that it cannot tell:
/// [`Silences`](crate::keyspace::member_list::silences::Silences) has the rule. Who renews less often than a member whose
/// lease is over lets more time pass.
///
/// Anybody may have written under these keys: a description that is not the member's own is written
/// again, as if it joined, and a silence that has not ended yet is none.
///
/// When nobody renews any more, all goes with the time, but nothing before the longest lease.
pub(super) static BEAT: LazyLock<Script> = LazyLock::new(|| {
    script(
        r#"
        local id, lease, description, started = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
        local channel, grace, longest = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
        local at_once, look_at = tonumber(ARGV[8]), ARGV[9]
        local least, most = tonumber(ARGV[10]), tonumber(ARGV[11])
        local change = last_change()

        local function keep()
            local time = 2 * lease + grace
            for _, key in ipairs(KEYS) do
                if redis.call('PTTL', key) < time then redis.call('PEXPIRE', key, time) end
            end
        end

        local known = redis.call('HGET', descriptions, id) or ''
        local its_start = string.match(known, '^{"started":(%d+),') or ''
        local as_written = '{"started":' .. its_start .. ',' .. string.sub(description, 2)
        local is_known = redis.call('ZSCORE', member_list, id)
            and known == as_written and #its_start <= 15
        redis.call('ZADD', member_list, now + lease, id)
        if not is_known then
            if started == '' then started = string.format('%.0f', now) end
            description = '{"started":' .. started .. ',' .. string.sub(description, 2)
            change = change + 1
            announce(channel, id, 'joined', change)
            redis.call('HSET', descriptions, id, description)
            redis.call('HSET', renewals, 'change', change)
            if redis.call('ZCARD', member_list) == 1 then
                redis.call('HSET', renewals, 'last', now, 'silences', '')
            end
            keep()
            return {now, change, 0}
        end

        local before = redis.call('HMGET', renewals, 'last', 'silences')
        local silence = now - (tonumber(before[1]) or 0)
        local silences = {}
        -- When Redis's clock was put back, all that is known is of no use.
        if silence < 0 then
            silence = 2 * longest
        else
            for length, ended in string.gmatch(before[2] or '', '(%d+)@(%d+)') do
                if tonumber(ended) <= now then
                    silences[#silences + 1] = {tonumber(length), tonumber(ended)}
                end
            end
        end
        if silence >= least then
            silence = math.min(silence, 2 * longest)
            while #silences > 0 and silences[#silences][1] <= silence do
                silences[#silences] = nil
            end
            silences[#silences + 1] = {silence, now}
            if #silences > most then
                silences[2][1] = silences[1][1]
                table.remove(silences, 1)
            end
        end
        local kept = {}
        for i, one in ipairs(silences) do
            kept[i] = string.format('%.0f@%.0f', one[1], one[2])
        end
        redis.call('HSET', renewals, 'last', now, 'silences', table.concat(kept, ' '),
            'change', change)
        local function is_excused(its)
            local longer = math.max(its, lease)
            for _, one in ipairs(silences) do
                local needs = 0
                if one[1] > longer / 2 then
                    needs = its + grace
                elseif one[1] > longer * 0.4 then
                    needs = grace
                end
                if now - one[2] < needs then return true end
            end
            return false
        end

        local over = redis.call('ZRANGEBYSCORE', member_list, '-inf', '(' .. now,
            'WITHSCORES', 'LIMIT', 0, look_at)
        local removed = 0
        for i = 1, #over, 2 do
            if removed == at_once then break end
            local other, since = over[i], now - over[i + 1]
            local its = lease_in(redis.call('HGET', descriptions, other)) or lease
            its = math.min(its, longest)
            local is_certain = its >= lease or since >= lease
            if is_certain and not is_excused(its) then
                removed, change = removed + 1, change + 1
                announce(channel, other, 'expired', change)
                redis.call('HSET', renewals, 'change', change)
                redis.call('ZREM', member_list, other)
                redis.call('HDEL', descriptions, other)
            end
        end
        keep()
        return {now, change, removed == at_once and 1 or 0}
        "#,
    )
});

/// The announcement comes last: where that is denied, the member is off the roll all the same.
pub(super) static LEAVE: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
        local id, channel = ARGV[1], ARGV[2]
        local was_there = redis.call('ZREM', member_list, id)
        redis.call('HDEL', descriptions, id)
        if was_there == 1 then
            local change = last_change() + 1
            redis.call('HSET', renewals, 'change', change)
            announce(channel, id, 'left', change)
        end
        ",
    )
});

/// After a long silence of all, nobody may be left who would take anybody off.
pub(super) static LIST: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
        local grace = tonumber(ARGV[1])
        local silence = now - (tonumber(redis.call('HGET', renewals, 'last')) or now)
        local all = redis.call('ZRANGE', member_list, 0, -1, 'WITHSCORES')
        local members = {}
        for i = 1, #all, 2 do
            local description = redis.call('HGET', descriptions, all[i])
            local is_over = now > tonumber(all[i + 1])
                and silence > (lease_in(description) or 0) + grace
            if description and not is_over then
                members[#members + 1] = {all[i], description}
            end
        end
        return {last_change(), members}
        ",
    )
});

fn script(code: &str) -> Script {
    Script::new(&format!("{PROLOGUE}{code}"))
}
