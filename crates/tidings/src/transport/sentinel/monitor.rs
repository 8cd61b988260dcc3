//! The poll of one sentinel, and its subscription to `+switch-master`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join3;
use redis::{RedisResult, Value};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use crate::error::connect::ConnectError;
use crate::namespace::channel::{Channel, PubSub};
use crate::resp::Client;
use crate::transport::address::{Place, address_of};
use crate::transport::answers::NoAnswer;
use crate::transport::sentinel::votes::Answer;
use crate::transport::server::redis_connection::{
    Access, RedisConnection, lost, sentinel_question,
};

/// The channel on which a sentinel publishes that the master has moved.
const HINTS: &str = "+switch-master";

/// The interval of polls, if no hint arrives earlier.
const ROUND: Duration = Duration::from_secs(1);

/// The timeout of connecting to a sentinel, of its answer, and of the check of a server's role.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);

/// The data for polling a sentinel.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    pub(super) access: Access,
    pub(super) master: Arc<str>,
    /// Notified when a sentinel publishes a hint: all are polled.
    pub(super) hint: Arc<Notify>,
}

/// The result of one poll.
pub(super) struct Said {
    pub(super) by: Place,
    pub(super) answer: Result<Answer, NoAnswer>,
    /// The other sentinels that it names.
    pub(super) others: Vec<Place>,
}

/// An entry in the reply to `SENTINEL MASTER` or `SENTINEL SENTINELS`.
pub(super) type Fields = HashMap<String, String>;

impl Monitor {
    /// Polls until the receiver of the results is dropped.
    pub(super) async fn watch(self, place: Place, says: mpsc::Sender<Said>) {
        loop {
            let Err(why) = self.follow(&place, &says).await;
            let said = Said {
                by: place.clone(),
                answer: Err(NoAnswer::from(&why)),
                others: Vec::new(),
            };
            if says.send(said).await.is_err() {
                return;
            }
            next_round(self.hint.notified()).await;
        }
    }

    /// Polls over one connection until it ends.
    async fn follow(
        &self,
        place: &Place,
        says: &mpsc::Sender<Said>,
    ) -> Result<Infallible, ConnectError> {
        let mut line = self.connect(place).await?;
        let mut hints = Vec::new();
        loop {
            // Before asking: a hint that arrives before the answer can be newer than it.
            let hint = self.hint.notified();
            let doing = "asking a sentinel";
            let asking = line.ask(doing, async |line| ask(line, &self.master).await);
            let (answer, others) = asking.await?;
            let said = Said {
                by: place.clone(),
                answer: Ok(answer),
                others,
            };
            if says.send(said).await.is_err() {
                return Err(ConnectError::Lost);
            }
            tokio::select! {
                () = next_round(hint) => {}
                hinted = poll_fn(|cx| line.driver.poll_frames(cx, &mut hints)) => {
                    if !hinted {
                        return Err(lost(&line.client, doing));
                    }
                    // The content of a hint is ignored: it may be stale.
                    hints.clear();
                    self.hint.notify_waiters();
                }
            }
        }
    }

    async fn connect(&self, place: &Place) -> Result<RedisConnection, ConnectError> {
        let doing = "connecting to a sentinel";
        let at = address_of(place);
        // Without a timeout here: each of its addresses has its own, and the last may be the one that
        // answers.
        let mut line = self.access.open(&at, None, doing).await?;
        line.driver.follow(&Channel {
            name: HINTS.to_owned(),
            kind: PubSub::Classic,
        });
        let subscribed = line.try_to_ask(TIMEOUT, doing, async |line| {
            let mut subscribe = redis::cmd("SUBSCRIBE");
            let _: Value = line.query(subscribe.arg(HINTS)).await?;
            Ok(())
        });
        if let Err(error) = subscribed.await? {
            tracing::debug!(?error, "cannot subscribe to the hints of a sentinel");
        }
        Ok(line)
    }
}

async fn ask(line: &Client, master: &str) -> RedisResult<(Answer, Vec<Place>)> {
    // In this order: an address that is newer than its epoch is only underrated. No pipeline: its
    // error has more than the sentinel's text.
    let answers: RedisResult<(Fields, Vec<Fields>, Place)> = try_join3(
        line.query(&sentinel_question("MASTER", master)),
        line.query(&sentinel_question("SENTINELS", master)),
        line.query(&sentinel_question("GET-MASTER-ADDR-BY-NAME", master)),
    )
    .await;
    let (seen, others, place) = answers?;
    Ok((answer(place, &seen), alive(&others)))
}

fn answer(master: Place, seen: &Fields) -> Answer {
    let field = |name| seen.get(name).map_or("", String::as_str);
    // During a failover, the leader already has the new master's address, but the old one's flags.
    let is_about_it = place_of(seen).is_some_and(|place| place == master);
    Answer {
        epoch: field("config-epoch").parse().unwrap_or(0),
        is_down: is_about_it && is_down(seen),
        master,
    }
}

/// Returns the sentinels that the polled one can reach: removed ones stay in its list.
fn alive(others: &[Fields]) -> Vec<Place> {
    let alive = others.iter().filter(|other| !is_down(other));
    alive.filter_map(place_of).collect()
}

fn is_down(fields: &Fields) -> bool {
    let flags = fields.get("flags").map_or("", String::as_str);
    flags
        .split(',')
        .any(|flag| matches!(flag, "s_down" | "o_down"))
}

pub(super) fn place_of(fields: &Fields) -> Option<Place> {
    Some((fields.get("ip")?.clone(), fields.get("port")?.parse().ok()?))
}

/// Waits for the next poll, or for a hint.
async fn next_round(hint: Notified<'_>) {
    tokio::select! {
        () = hint => {}
        () = sleep(ROUND) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(fields: &[(&str, &str)]) -> Fields {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        fields.iter().map(own).collect()
    }

    #[test]
    fn a_master_is_down_only_if_the_flags_are_of_the_named_address() {
        let fields = [
            ("ip", "10.0.0.1"),
            ("port", "6379"),
            ("flags", "master,o_down,failover_in_progress"),
            ("config-epoch", "7"),
        ];
        let named = answer(("10.0.0.1".to_owned(), 6379), &seen(&fields));
        assert!(named.is_down);
        assert_eq!(named.epoch, 7);
        assert!(!answer(("10.0.0.2".to_owned(), 6379), &seen(&fields)).is_down);
    }

    #[test]
    fn a_sentinel_that_another_cannot_reach_is_not_polled() {
        let at = |port, flags| seen(&[("ip", "10.0.0.1"), ("port", port), ("flags", flags)]);
        let others = [at("1", "sentinel"), at("2", "s_down,sentinel,disconnected")];
        assert_eq!(alive(&others), [("10.0.0.1".to_owned(), 1)]);
    }

    #[test]
    fn missing_fields_in_the_reply_of_a_sentinel_are_tolerated() {
        let named = answer(("10.0.0.1".to_owned(), 6379), &seen(&[]));
        assert_eq!((named.epoch, named.is_down), (0, false));
        assert_eq!(
            place_of(&seen(&[("ip", "10.0.0.1"), ("port", "high")])),
            None
        );
    }
}
