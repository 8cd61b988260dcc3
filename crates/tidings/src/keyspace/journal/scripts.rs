//! The scripts of durable names. `KEYS[1]` is the hash of positions, and its texts are
//! `UNTIL HOLDERS AGE BYTES AT PLACE`. `HOLDERS` are node ids with commas between them: the holder, and
//! those before it, the newest first. The arguments are the name, the node, the lease, the maximal age and
//! size, and a place or nothing.

use std::sync::LazyLock;

use redis::Script;

/// The beginning of all scripts. A text that no bus wrote is none.
///
/// If Redis's clock has gone back, a lease ends after its whole time.
const PROLOGUE: &str = r"
    local positions, name, me, lease = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
    local new_place = ARGV[6]
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local stored = redis.call('HGET', positions, name) or ''
    local pattern = '^(%d+) (%x+)([%x,]*) (%d+) (%d+) (%d+) (.*)$'
    local until_, holder, before, _, _, at, place = string.match(stored, pattern)
    local is_held = holder and tonumber(until_) > now and tonumber(until_) <= now + lease
    before = before or ''
    -- Eight ids of 32 digits.
    if holder and holder ~= me then before = string.sub(',' .. holder .. before, 1, 8 * 33) end
    local function put(until_, at, place)
        local holders = me .. before
        local text = string.format('%.0f %s %s %s %s %s', until_, holders, ARGV[4], ARGV[5], at, place)
        redis.call('HSET', positions, name, text)
    end
    local function place_to_store()
        if new_place == '' then return at or string.format('%.0f', now), place or '' end
        return string.format('%.0f', now), new_place
    end
";

pub(super) static TAKE: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
        if is_held and holder ~= me then return {0, holder, ''} end
        put(now + lease, at or string.format('%.0f', now), place or '')
        return {1, place or '', before}
        ",
    )
});

/// A lease that has ended is renewed all the same, unless another node has taken it.
pub(super) static RENEW: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
        if holder and holder ~= me then return holder end
        put(now + lease, place_to_store())
        return ''
        ",
    )
});

pub(super) static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
        if holder and holder ~= me then return end
        put(0, place_to_store())
        ",
    )
});

fn script(code: &str) -> Script {
    Script::new(&format!("{PROLOGUE}{code}"))
}
