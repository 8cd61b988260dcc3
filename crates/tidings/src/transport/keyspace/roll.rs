//! The roll: who is there, for how long that holds, and what is known of each.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use redis::{Script, ScriptInvocation};
use serde_json::json;
use tidings_codec::NodeId;
use tokio::time::Instant;

use super::{Answer, RedisKeys};
use crate::keys::Namespace;
use crate::transport::memory::MemoryKeys;

/// How long everybody may take to connect anew after Redis was away: nobody is given up meanwhile.
pub(crate) const RETURN: Duration = Duration::from_secs(2);

/// How many are taken off the roll at once. More are a reason to renew again.
const AT_ONCE: usize = 16;

/// Among how many whose lease is over those are looked for: some may have to wait.
const LOOK_AT: usize = 64;

/// No lease that others have written makes a silence count for longer.
const LONGEST: Duration = Duration::from_hours(24);

/// Where the roll of a namespace lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Keys {
    /// A sorted set: until when, in milliseconds of Redis's time, each member's lease holds.
    members: String,
    /// A hash: what each member says of itself.
    descriptions: String,
    /// A hash: when somebody renewed a lease last, when the last silence ended, and how often the
    /// roll has changed.
    beats: String,
}

/// One renewal of a lease.
#[derive(Clone, Debug)]
pub(crate) struct Beat {
    pub(crate) id: NodeId,
    pub(crate) lease: Duration,
    /// A JSON object, without when it began.
    pub(crate) description: String,
    /// When it was first on the roll, if it ever was: in milliseconds of Redis's time since 1970.
    pub(crate) started: Option<u64>,
}

/// What a renewal brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Renewed {
    /// Milliseconds of Redis's time since 1970.
    pub(crate) now: u64,
    /// The number of the roll's last change: each join and each departure has the next one. It
    /// begins with the time, so another roll under the same keys has others.
    pub(crate) change: u64,
    /// Not all were taken off whose time is over.
    pub(crate) has_more: bool,
}

/// The whole roll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The number of its last change.
    pub(crate) change: u64,
    /// What each member says of itself.
    pub(crate) members: Vec<(NodeId, String)>,
}

pub(crate) trait Roll {
    /// Puts a member on the roll or renews its lease, and takes off whose lease is over. Joins and
    /// departures are announced.
    fn beat(&self, keys: &Keys, beat: Beat) -> Answer<Renewed>;

    /// Takes a member off the roll, at its own wish.
    fn leave(&self, keys: &Keys, id: NodeId) -> Answer<()>;

    /// All members. Whose lease is over is none, where nobody is there who would take it off.
    fn list(&self, keys: &Keys) -> Answer<Listed>;

    /// What these say of themselves, in order; `None` for who is not on the roll.
    fn describe(&self, keys: &Keys, ids: &[NodeId]) -> Answer<Vec<Option<String>>>;
}

impl Keys {
    pub(crate) fn of(namespace: &Namespace) -> Self {
        Self {
            members: namespace.members(),
            descriptions: namespace.descriptions(),
            beats: namespace.beats(),
        }
    }

    fn script(&self, script: &'static Script) -> ScriptInvocation<'static> {
        let mut script = script.key(&self.members);
        script.key(&self.descriptions).key(&self.beats);
        script
    }
}

/// What all scripts of the roll begin with: the time, and how a change is numbered and announced.
/// A number that nobody has counted, or that is none, begins anew.
const PROLOGUE: &str = r#"
    local roll, descriptions, beats = KEYS[1], KEYS[2], KEYS[3]
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local function last_change()
        local change = tonumber(redis.call('HGET', beats, 'change'))
        if change and change >= 0 and change < 2 ^ 53 then return math.floor(change) end
        return now
    end
    local function announce(channel, id, what, change)
        redis.call('PUBLISH', channel, '{"event":"tidings.member","data":{"id":'
            .. cjson.encode(id) .. ',"what":"' .. what .. '","change":'
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
/// whole lease, and [`RETURN`], from the end of the silence. Who renews less often than a member
/// whose lease is over cannot tell whether there was a silence, so it lets more time pass.
///
/// When nobody renews any more, all goes with the time, but nothing before the longest lease.
static BEAT: LazyLock<Script> = LazyLock::new(|| {
    script(
        r#"
        local id, lease, description, started = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
        local channel, grace, longest = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
        local at_once, look_at = tonumber(ARGV[8]), ARGV[9]
        local change = last_change()

        local function keep()
            local time = 2 * lease + grace
            for _, key in ipairs(KEYS) do
                if redis.call('PTTL', key) < time then redis.call('PEXPIRE', key, time) end
            end
        end

        local is_known = redis.call('ZSCORE', roll, id)
            and redis.call('HEXISTS', descriptions, id) == 1
        redis.call('ZADD', roll, now + lease, id)
        if not is_known then
            if started == '' then started = string.format('%.0f', now) end
            description = '{"started":' .. started .. ',' .. string.sub(description, 2)
            change = change + 1
            announce(channel, id, 'joined', change)
            redis.call('HSET', descriptions, id, description)
            redis.call('HSET', beats, 'change', change)
            if redis.call('ZCARD', roll) == 1 then
                redis.call('HSET', beats, 'last', now, 'resumed', 0)
            end
            keep()
            return {now, change, 0}
        end

        local before = redis.call('HMGET', beats, 'last', 'resumed')
        local last, resumed = tonumber(before[1]) or 0, tonumber(before[2]) or 0
        local silence = now - last
        if silence > lease / 2 or silence < 0 then resumed = now end
        redis.call('HSET', beats, 'last', now, 'resumed', resumed, 'change', change)

        local over = redis.call('ZRANGEBYSCORE', roll, '-inf', '(' .. now,
            'WITHSCORES', 'LIMIT', 0, look_at)
        local removed = 0
        for i = 1, #over, 2 do
            if removed == at_once then break end
            local other, since = over[i], now - over[i + 1]
            local its = lease_in(redis.call('HGET', descriptions, other)) or lease
            its = math.min(its, longest)
            local is_certain = its >= lease or since >= lease
            if is_certain and now - resumed >= its + grace then
                removed, change = removed + 1, change + 1
                announce(channel, other, 'vanished', change)
                redis.call('HSET', beats, 'change', change)
                redis.call('ZREM', roll, other)
                redis.call('HDEL', descriptions, other)
            end
        end
        keep()
        return {now, change, removed == at_once and 1 or 0}
        "#,
    )
});

/// The goodbye is announced last: where that is denied, the member is off the roll all the same.
static LEAVE: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
        local id, channel = ARGV[1], ARGV[2]
        local was_there = redis.call('ZREM', roll, id)
        redis.call('HDEL', descriptions, id)
        if was_there == 1 then
            local change = last_change() + 1
            redis.call('HSET', beats, 'change', change)
            announce(channel, id, 'goodbye', change)
        end
        ",
    )
});

/// After a long silence of all, nobody may be left who would take anybody off.
static LIST: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
        local grace = tonumber(ARGV[1])
        local silence = now - (tonumber(redis.call('HGET', beats, 'last')) or now)
        local all = redis.call('ZRANGE', roll, 0, -1, 'WITHSCORES')
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

impl Roll for RedisKeys {
    fn beat(&self, keys: &Keys, beat: Beat) -> Answer<Renewed> {
        let mut script = keys.script(&BEAT);
        script
            .arg(beat.id.to_string())
            .arg(milliseconds(beat.lease))
            .arg(beat.description)
            .arg(beat.started.map_or(String::new(), |at| at.to_string()))
            .arg(&self.channel)
            .arg(milliseconds(RETURN))
            .arg(milliseconds(LONGEST))
            .arg(AT_ONCE)
            .arg(LOOK_AT);
        let answer = self.run::<(u64, u64, bool)>(script);
        Box::pin(async move {
            let (now, change, has_more) = answer.await?;
            Ok(Renewed {
                now,
                change,
                has_more,
            })
        })
    }

    fn leave(&self, keys: &Keys, id: NodeId) -> Answer<()> {
        let mut script = keys.script(&LEAVE);
        script.arg(id.to_string()).arg(&self.channel);
        self.run(script)
    }

    fn list(&self, keys: &Keys) -> Answer<Listed> {
        let mut script = keys.script(&LIST);
        script.arg(milliseconds(RETURN));
        let answer = self.run::<(u64, Vec<(Vec<u8>, Vec<u8>)>)>(script);
        Box::pin(async move {
            let (change, members) = answer.await?;
            let members = members.into_iter().filter_map(|(id, description)| {
                let id = NodeId::from_str(&text(id)).ok()?;
                Some((id, text(description)))
            });
            Ok(Listed {
                change,
                members: members.collect(),
            })
        })
    }

    fn describe(&self, keys: &Keys, ids: &[NodeId]) -> Answer<Vec<Option<String>>> {
        let mut get = redis::cmd("HMGET");
        get.arg(&keys.descriptions);
        for id in ids {
            get.arg(id.to_string());
        }
        let answer = self.ask::<Vec<Option<Vec<u8>>>>(get);
        Box::pin(async move {
            let descriptions = answer.await?.into_iter();
            Ok(descriptions.map(|one| one.map(text)).collect())
        })
    }
}

/// Others may have written bytes that are no text: then they are no description.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) type InMemory = HashMap<Keys, Entries>;

/// The roll of a namespace, in memory.
#[derive(Debug)]
pub(crate) struct Entries {
    /// A moment, and the time since 1970 then.
    clock: (Instant, Duration),
    members: BTreeMap<NodeId, Entry>,
    change: u64,
    last: Option<Instant>,
    resumed: Option<Instant>,
    /// When all is forgotten, if nobody renews anything.
    kept_until: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    over: Instant,
    lease: Duration,
    description: String,
}

/// What a change brought, and its announcements.
type Change<T> = (T, Vec<Vec<u8>>);

impl Default for Entries {
    fn default() -> Self {
        let since_1970 = UNIX_EPOCH.elapsed().unwrap_or_default();
        Self {
            clock: (Instant::now(), since_1970),
            members: BTreeMap::new(),
            change: milliseconds(since_1970),
            last: None,
            resumed: None,
            kept_until: None,
        }
    }
}

impl Entries {
    fn beat(&mut self, beat: &Beat) -> Change<Renewed> {
        self.forget();
        let is_joining = !self.members.contains_key(&beat.id);
        let mut announcements = Vec::from_iter(self.join_or_renew(beat));
        let over = if is_joining {
            Vec::new()
        } else {
            self.over(beat.lease)
        };
        let has_more = over.len() == AT_ONCE;
        let removed = over
            .into_iter()
            .filter_map(|id| self.remove(id, "vanished"));
        announcements.extend(removed);
        let renewed = Renewed {
            now: self.now(),
            change: self.change,
            has_more,
        };
        (renewed, announcements)
    }

    /// As keys go when their time is up.
    fn forget(&mut self) {
        let is_over = self.kept_until.is_some_and(|until| Instant::now() >= until);
        if is_over && !self.members.is_empty() {
            self.members.clear();
            self.change += 1;
        }
    }

    fn join_or_renew(&mut self, beat: &Beat) -> Option<Vec<u8>> {
        let now = Instant::now();
        let over = now + beat.lease;
        self.kept_until = self.kept_until.max(Some(over + beat.lease + RETURN));
        if let Some(entry) = self.members.get_mut(&beat.id) {
            entry.over = over;
            let is_silent = |last: Instant| now - last > beat.lease / 2;
            if self.last.is_none_or(is_silent) {
                self.resumed = Some(now);
            }
            self.last = Some(now);
            return None;
        }
        let started = beat.started.unwrap_or_else(|| self.now());
        let rest = beat.description.strip_prefix('{').unwrap_or_default();
        let description = format!(r#"{{"started":{started},{rest}"#);
        if self.members.is_empty() {
            (self.last, self.resumed) = (Some(now), None);
        }
        let entry = Entry {
            over,
            lease: beat.lease,
            description,
        };
        self.members.insert(beat.id, entry);
        Some(self.announce(beat.id, "joined"))
    }

    /// Whose lease is over, as far as one who renews for so long can tell.
    fn over(&self, lease: Duration) -> Vec<NodeId> {
        let now = Instant::now();
        let is_over = |entry: &Entry| {
            let had_time = self
                .resumed
                .is_none_or(|resumed| now - resumed >= entry.lease + RETURN);
            let is_certain = entry.lease >= lease || now >= entry.over + lease;
            now > entry.over && had_time && is_certain
        };
        let over = self.members.iter().filter(|(_, entry)| is_over(entry));
        over.map(|(id, _)| *id).take(AT_ONCE).collect()
    }

    fn remove(&mut self, id: NodeId, what: &str) -> Option<Vec<u8>> {
        self.members.remove(&id)?;
        Some(self.announce(id, what))
    }

    fn announce(&mut self, id: NodeId, what: &str) -> Vec<u8> {
        self.change += 1;
        let data = json!({"id": id, "what": what, "change": self.change});
        format!(r#"{{"event":"tidings.member","data":{data}}}"#).into_bytes()
    }

    fn list(&self) -> Listed {
        let now = Instant::now();
        let silence = self.last.map_or(Duration::ZERO, |last| now - last);
        let is_there = |entry: &Entry| now <= entry.over || silence <= entry.lease + RETURN;
        let members = self.members.iter().filter(|(_, entry)| is_there(entry));
        Listed {
            change: self.change,
            members: members
                .map(|(id, entry)| (*id, entry.description.clone()))
                .collect(),
        }
    }

    fn now(&self) -> u64 {
        let (began, since_1970) = self.clock;
        milliseconds(since_1970 + began.elapsed())
    }
}

impl Roll for MemoryKeys {
    fn beat(&self, keys: &Keys, beat: Beat) -> Answer<Renewed> {
        self.change_roll(keys, move |roll| roll.beat(&beat))
    }

    fn leave(&self, keys: &Keys, id: NodeId) -> Answer<()> {
        self.change_roll(keys, move |roll| {
            ((), Vec::from_iter(roll.remove(id, "goodbye")))
        })
    }

    fn list(&self, keys: &Keys) -> Answer<Listed> {
        self.change_roll(keys, |roll| (roll.list(), Vec::new()))
    }

    fn describe(&self, keys: &Keys, ids: &[NodeId]) -> Answer<Vec<Option<String>>> {
        let ids = ids.to_vec();
        self.change_roll(keys, move |roll| {
            let entries = ids.iter().map(|id| roll.members.get(id));
            let all = entries.map(|entry| entry.map(|entry| entry.description.clone()));
            (all.collect(), Vec::new())
        })
    }
}

impl MemoryKeys {
    fn change_roll<T: Send + 'static>(
        &self,
        keys: &Keys,
        change: impl FnOnce(&mut Entries) -> Change<T> + Send + 'static,
    ) -> Answer<T> {
        let (memory, keys) = (self.clone(), keys.clone());
        Box::pin(async move {
            memory
                .change(|kept| Ok(change(kept.rolls.entry(keys).or_default())))
                .await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn beat(id: u128, lease: Duration) -> Beat {
        Beat {
            id: NodeId::new(id),
            lease,
            description: "{}".to_owned(),
            started: None,
        }
    }

    /// Renews a lease as often as its bus would, for so long.
    async fn keep_renewing(kept: &mut Entries, id: u128, lease: Duration, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            assert_eq!(kept.join_or_renew(&beat(id, lease)), None);
            tokio::time::advance(lease / 5).await;
        }
        kept.join_or_renew(&beat(id, lease));
    }

    fn roll(members: &[(u128, Duration)]) -> Entries {
        let mut kept = Entries::default();
        for (id, lease) in members {
            assert!(kept.join_or_renew(&beat(*id, *lease)).is_some());
        }
        kept
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_renew_is_over_after_its_lease() {
        let mut kept = roll(&[(1, LEASE), (2, LEASE)]);
        keep_renewing(&mut kept, 1, LEASE, LEASE).await;
        assert_eq!(kept.over(LEASE), []);
        keep_renewing(&mut kept, 1, LEASE, LEASE / 5).await;
        assert_eq!(kept.over(LEASE), [NodeId::new(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_silence_of_all_each_has_its_lease_and_time_to_connect() {
        let mut kept = roll(&[(1, LEASE), (2, LEASE), (3, 2 * LEASE)]);
        tokio::time::advance(10 * LEASE).await;
        keep_renewing(&mut kept, 1, LEASE, LEASE).await;
        assert_eq!(kept.over(LEASE), []);
        keep_renewing(&mut kept, 1, LEASE, RETURN).await;
        assert_eq!(kept.over(LEASE), [NodeId::new(2)]);
        keep_renewing(&mut kept, 1, LEASE, LEASE).await;
        assert_eq!(kept.over(LEASE), [2, 3].map(NodeId::new));
    }

    #[tokio::test(start_paused = true)]
    async fn who_renews_seldom_lets_more_time_pass() {
        let mut kept = roll(&[(1, 4 * LEASE), (2, LEASE)]);
        keep_renewing(&mut kept, 1, 4 * LEASE, 4 * LEASE).await;
        assert_eq!(kept.over(LEASE), [NodeId::new(2)]);
        assert_eq!(kept.over(4 * LEASE), []);
        keep_renewing(&mut kept, 1, 4 * LEASE, 2 * LEASE).await;
        assert_eq!(kept.over(4 * LEASE), [NodeId::new(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_that_are_over_some_are_left_for_the_next_time_at_once() {
        let many: Vec<_> = (2..42).map(|id| (id, LEASE)).collect();
        let mut roll = roll(&many);
        roll.join_or_renew(&beat(1, LEASE));
        keep_renewing(&mut roll, 1, LEASE, LEASE).await;
        tokio::time::advance(LEASE / 5).await;
        let mut rounds = Vec::new();
        loop {
            let (renewed, announced) = roll.beat(&beat(1, LEASE));
            rounds.push(announced.len());
            if !renewed.has_more {
                break;
            }
        }
        assert_eq!(rounds, [AT_ONCE, AT_ONCE, 8]);
        assert_eq!(roll.list().members.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_is_left_to_take_them_off_the_dead_are_not_listed_and_forgotten_later() {
        let mut roll = roll(&[(1, LEASE), (2, 2 * LEASE)]);
        tokio::time::advance(LEASE + RETURN).await;
        assert_eq!(roll.list().members.len(), 2);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(roll.list().members.len(), 1);
        let change = roll.list().change;
        tokio::time::advance(3 * LEASE).await;
        let (renewed, announced) = roll.beat(&beat(3, LEASE));
        assert_eq!(announced.len(), 1);
        assert_eq!(roll.list().members.len(), 1);
        // One more than what was announced: others find out that they have missed something.
        assert_eq!(renewed.change, change + 2);
    }
}
