//! The roll: who is there, for how long that holds, and what is known of each.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use redis::Script;
use serde_json::json;
use tidings_codec::NodeId;
use tokio::time::Instant;

use super::{Answer, KeyError, RedisKeys};
use crate::keys::Namespace;
use crate::transport::memory::MemoryKeys;

/// How long everybody may take to connect anew after Redis was away: nobody is given up meanwhile.
pub(crate) const RETURN: Duration = Duration::from_secs(2);

/// How many are taken off the roll at once. More wait for the next beat.
const AT_ONCE: usize = 16;

/// Where the roll of a namespace lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Keys {
    /// A sorted set: until when, in milliseconds of Redis's time, each member's lease holds.
    members: String,
    /// A hash: what each member says of itself.
    descriptions: String,
    /// A hash: when somebody renewed a lease last, and when the last silence ended.
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
    /// How many are on the roll.
    pub(crate) members: u64,
}

pub(crate) trait Roll {
    /// Puts a member on the roll or renews its lease, and takes off whose lease is over. Joins and
    /// departures are announced.
    fn beat(&self, keys: &Keys, beat: Beat) -> Answer<Renewed>;

    /// Takes a member off the roll, at its own wish.
    fn leave(&self, keys: &Keys, id: NodeId) -> Answer<()>;

    /// What all members say of themselves.
    fn list(&self, keys: &Keys) -> Answer<Vec<String>>;

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
}

/// Who joins takes nobody off the roll, and is no proof that Redis was there for the others: it may
/// be gone again before it renews anything. Where there are no others, the time begins anew.
///
/// A silence longer than half a lease is Redis's own: then nobody could renew, so each gets its
/// whole lease, and [`RETURN`], from the end of the silence. Who renews less often than a member
/// whose lease is over cannot tell whether there was a silence, so it lets more time pass.
static BEAT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r#"
        local roll, descriptions, beats = KEYS[1], KEYS[2], KEYS[3]
        local id, lease, description, started = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
        local grace, at_once, channel = tonumber(ARGV[5]), ARGV[6], ARGV[7]
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)

        local is_known = redis.call('ZSCORE', roll, id)
            and redis.call('HEXISTS', descriptions, id) == 1
        redis.call('ZADD', roll, now + lease, id)
        if not is_known then
            if started == '' then started = string.format('%.0f', now) end
            description = '{"started":' .. started .. ',' .. string.sub(description, 2)
            redis.call('PUBLISH', channel,
                '{"event":"tidings.member","data":{"joined":' .. description .. '}}')
            redis.call('HSET', descriptions, id, description)
            local count = redis.call('ZCARD', roll)
            if count == 1 then redis.call('HSET', beats, 'last', now, 'resumed', 0) end
            return {now, count}
        end

        local before = redis.call('HMGET', beats, 'last', 'resumed')
        local last, resumed = tonumber(before[1]) or 0, tonumber(before[2]) or 0
        local silence = now - last
        if silence > lease / 2 or silence < 0 then resumed = now end
        redis.call('HSET', beats, 'last', now, 'resumed', resumed)

        local over = redis.call('ZRANGEBYSCORE', roll, '-inf', '(' .. now,
            'WITHSCORES', 'LIMIT', 0, at_once)
        for i = 1, #over, 2 do
            local other, since = over[i], now - over[i + 1]
            local its = redis.call('HGET', descriptions, other) or ''
            its = tonumber(string.match(its, '"lease":(%d+)')) or lease
            local is_certain = its >= lease or since >= lease
            if is_certain and now - resumed >= its + grace then
                redis.call('PUBLISH', channel,
                    '{"event":"tidings.member","data":{"left":{"id":' .. cjson.encode(other)
                    .. ',"why":"vanished"}}}')
                redis.call('ZREM', roll, other)
                redis.call('HDEL', descriptions, other)
            end
        end
        return {now, redis.call('ZCARD', roll)}
        "#,
    )
});

/// The goodbye is announced last: where that is denied, the member is off the roll all the same.
static LEAVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r#"
        local was_there = redis.call('ZREM', KEYS[1], ARGV[1])
        redis.call('HDEL', KEYS[2], ARGV[1])
        if was_there == 1 then
            redis.call('PUBLISH', ARGV[2],
                '{"event":"tidings.member","data":{"left":{"id":"' .. ARGV[1]
                .. '","why":"goodbye"}}}')
        end
        "#,
    )
});

static LIST: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local all = {}
        for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
            local description = redis.call('HGET', KEYS[2], id)
            if description then all[#all + 1] = description end
        end
        return all
        ",
    )
});

impl Roll for RedisKeys {
    fn beat(&self, keys: &Keys, beat: Beat) -> Answer<Renewed> {
        let mut script = BEAT.key(&keys.members);
        script
            .key(&keys.descriptions)
            .key(&keys.beats)
            .arg(beat.id.to_string())
            .arg(milliseconds(beat.lease))
            .arg(beat.description)
            .arg(beat.started.map_or(String::new(), |at| at.to_string()))
            .arg(milliseconds(RETURN))
            .arg(AT_ONCE)
            .arg(&self.channel);
        let answer = self.run::<(u64, u64)>(script);
        Box::pin(async move {
            let (now, members) = answer.await?;
            Ok(Renewed { now, members })
        })
    }

    fn leave(&self, keys: &Keys, id: NodeId) -> Answer<()> {
        let mut script = LEAVE.key(&keys.members);
        script
            .key(&keys.descriptions)
            .arg(id.to_string())
            .arg(&self.channel);
        self.run(script)
    }

    fn list(&self, keys: &Keys) -> Answer<Vec<String>> {
        let mut script = LIST.key(&keys.members);
        script.key(&keys.descriptions);
        texts(self.run(script))
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
fn texts(answer: Answer<Vec<Vec<u8>>>) -> Answer<Vec<String>> {
    Box::pin(async move { Ok(answer.await?.into_iter().map(text).collect()) })
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) type InMemory = HashMap<Keys, Kept>;

/// The roll of a namespace, in memory.
#[derive(Debug)]
pub(crate) struct Kept {
    /// A moment, and the time since 1970 then.
    clock: (Instant, Duration),
    members: BTreeMap<NodeId, Entry>,
    last: Option<Instant>,
    resumed: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    over: Instant,
    lease: Duration,
    description: String,
}

/// A change, and its announcement.
type Change<T> = Result<(T, Option<Vec<u8>>), KeyError>;

impl Default for Kept {
    fn default() -> Self {
        let since_1970 = UNIX_EPOCH.elapsed().unwrap_or_default();
        Self {
            clock: (Instant::now(), since_1970),
            members: BTreeMap::new(),
            last: None,
            resumed: None,
        }
    }
}

impl Kept {
    fn join_or_renew(&mut self, beat: &Beat) -> Option<Vec<u8>> {
        let now = Instant::now();
        let over = now + beat.lease;
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
        let data = format!(r#"{{"joined":{description}}}"#);
        if self.members.is_empty() {
            (self.last, self.resumed) = (Some(now), None);
        }
        let entry = Entry {
            over,
            lease: beat.lease,
            description,
        };
        self.members.insert(beat.id, entry);
        Some(notice(&data))
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

    fn remove(&mut self, id: NodeId, why: &str) -> Option<Vec<u8>> {
        self.members.remove(&id)?;
        Some(notice(&json!({"left": {"id": id, "why": why}}).to_string()))
    }

    fn now(&self) -> u64 {
        let (began, since_1970) = self.clock;
        milliseconds(since_1970 + began.elapsed())
    }
}

fn notice(data: &str) -> Vec<u8> {
    format!(r#"{{"event":"tidings.member","data":{data}}}"#).into_bytes()
}

impl Roll for MemoryKeys {
    fn beat(&self, keys: &Keys, beat: Beat) -> Answer<Renewed> {
        let (memory, keys) = (self.clone(), keys.clone());
        Box::pin(async move {
            let (id, lease) = (beat.id, beat.lease);
            let over = memory.change_roll(&keys, |kept| {
                let is_joining = !kept.members.contains_key(&id);
                let announcement = kept.join_or_renew(&beat);
                let over = if is_joining {
                    Vec::new()
                } else {
                    kept.over(lease)
                };
                Ok((over, announcement))
            });
            for id in over.await? {
                memory
                    .change_roll(&keys, |kept| Ok(((), kept.remove(id, "vanished"))))
                    .await?;
            }
            memory
                .change_roll(&keys, |kept| {
                    let renewed = Renewed {
                        now: kept.now(),
                        members: kept.members.len() as u64,
                    };
                    Ok((renewed, None))
                })
                .await
        })
    }

    fn leave(&self, keys: &Keys, id: NodeId) -> Answer<()> {
        let (memory, keys) = (self.clone(), keys.clone());
        Box::pin(async move {
            memory
                .change_roll(&keys, |kept| Ok(((), kept.remove(id, "goodbye"))))
                .await
        })
    }

    fn list(&self, keys: &Keys) -> Answer<Vec<String>> {
        let (memory, keys) = (self.clone(), keys.clone());
        Box::pin(async move {
            memory
                .change_roll(&keys, |kept| {
                    let entries = kept.members.values();
                    let all = entries.map(|entry| entry.description.clone()).collect();
                    Ok((all, None))
                })
                .await
        })
    }

    fn describe(&self, keys: &Keys, ids: &[NodeId]) -> Answer<Vec<Option<String>>> {
        let (memory, keys, ids) = (self.clone(), keys.clone(), ids.to_vec());
        Box::pin(async move {
            memory
                .change_roll(&keys, |kept| {
                    let entries = ids.iter().map(|id| kept.members.get(id));
                    let all = entries
                        .map(|entry| entry.map(|entry| entry.description.clone()))
                        .collect();
                    Ok((all, None))
                })
                .await
        })
    }
}

impl MemoryKeys {
    async fn change_roll<T>(
        &self,
        keys: &Keys,
        change: impl FnOnce(&mut Kept) -> Change<T>,
    ) -> Result<T, KeyError> {
        self.change(|kept| change(kept.rolls.entry(keys.clone()).or_default()))
            .await
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
    async fn keep_renewing(kept: &mut Kept, id: u128, lease: Duration, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            assert_eq!(kept.join_or_renew(&beat(id, lease)), None);
            tokio::time::advance(lease / 5).await;
        }
        kept.join_or_renew(&beat(id, lease));
    }

    fn roll(members: &[(u128, Duration)]) -> Kept {
        let mut kept = Kept::default();
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
}
