//! The positions of durable names in Redis.

use std::collections::HashMap;

use redis::{FromRedisValue, Script, cmd};

use crate::keyspace::journal::answer::{Answered, JournalError};
use crate::keyspace::journal::positions::{Claim, Positions, Stored, Taken, predecessors};
use crate::keyspace::journal::scripts::{RELEASE, RENEW, TAKE};
use crate::keyspace::journal::stream::RedisJournal;
use crate::keyspace::redis::KeyRequest;
use crate::task::milliseconds;

impl RedisJournal {
    fn script(&self, script: &'static Script, claim: &Claim, place: Option<String>) -> KeyRequest {
        let mut script = script.key(&self.keys.positions);
        script.arg(&claim.name).arg(claim.me.to_string());
        script.arg(milliseconds(claim.lease));
        script.arg(milliseconds(claim.max_age)).arg(claim.max_bytes);
        script.arg(place.unwrap_or_default());
        KeyRequest::Script(script)
    }

    fn run<T: FromRedisValue + Send + 'static>(&self, request: KeyRequest) -> Answered<T> {
        let this = self.clone();
        Box::pin(async move {
            this.has_whole_slot()?;
            let answer = request.send(&this.client).await;
            let answer = answer.map_err(|error| this.error(error))?;
            T::from_redis_value(answer).map_err(|_| JournalError::Lost)
        })
    }
}

impl Positions for RedisJournal {
    fn take(&self, claim: &Claim) -> Answered<Taken> {
        let answer = self.run::<(bool, String, String)>(self.script(&TAKE, claim, None));
        Box::pin(async move {
            Ok(match answer.await? {
                (true, place, before) => Taken::Ours {
                    place: (!place.is_empty()).then_some(place),
                    predecessors: predecessors(&before),
                },
                (false, holder, _) => Taken::Others(holder),
            })
        })
    }

    fn renew(&self, claim: &Claim, place: Option<String>) -> Answered<Option<String>> {
        let holder = self.run::<String>(self.script(&RENEW, claim, place));
        Box::pin(async move { Ok(Some(holder.await?).filter(|holder| !holder.is_empty())) })
    }

    fn release(&self, claim: &Claim, place: Option<String>) -> Answered<()> {
        self.run(self.script(&RELEASE, claim, place))
    }

    fn positions(&self) -> Answered<Vec<Stored>> {
        let mut get = cmd("HGETALL");
        get.arg(&self.keys.positions);
        let all = self.run::<HashMap<Vec<u8>, Vec<u8>>>(KeyRequest::Command(get));
        Box::pin(async move {
            let all = all.await?.into_iter().filter_map(|(name, text)| {
                let name = String::from_utf8(name).ok()?;
                Stored::parse(&name, &String::from_utf8(text).ok()?)
            });
            let mut all: Vec<Stored> = all.collect();
            all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
            Ok(all)
        })
    }

    fn remove(&self, name: &str) -> Answered<bool> {
        let mut remove = cmd("HDEL");
        remove.arg(&self.keys.positions).arg(name);
        self.run(KeyRequest::Command(remove))
    }
}
