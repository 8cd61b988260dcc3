//! The entries of a map, page by page.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::error::send_failure::SendFailure;
use crate::error::shared::LoadError;
use crate::keyspace::redis::ConnectionNumber;
use crate::shared::map::entry::{Key, entry_name, key_of};
use crate::shared::map::replica::MapReplica;
use crate::shared::options::Shareable;

/// The maximal number of attempts to read all pages from one server.
const MAX_ATTEMPTS: usize = 3;

/// Some of the entries of a map, from [`SharedMap::page`](crate::SharedMap::page).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapPage<K, V> {
    /// The entries, in no order. A page may have none and not be the last.
    pub entries: Vec<(K, Arc<V>)>,
    /// The cursor of the next page; `None` if this is the last one.
    pub next: Option<u64>,
}

impl<K: Key, V: Shareable> MapReplica<K, V> {
    /// Returns every decodable entry.
    pub(crate) async fn all(&self) -> Result<HashMap<K, Arc<V>>, LoadError> {
        for _ in 0..MAX_ATTEMPTS {
            if let Some(all) = self.pages().await? {
                return Ok(all);
            }
        }
        Err(LoadError::Unread {
            shared: self.keys.name.clone(),
            reason: SendFailure::Lost,
        })
    }

    /// Returns the entries of all pages; `None` if they are not from one server.
    async fn pages(&self) -> Result<Option<HashMap<K, Arc<V>>>, LoadError> {
        let (page, first) = self.page(0).await?;
        let mut all = HashMap::from_iter(page.entries);
        let mut next = page.next;
        while let Some(cursor) = next {
            let (page, from) = self.page(cursor).await?;
            if from != first {
                return Ok(None);
            }
            all.extend(page.entries);
            next = page.next;
        }
        Ok(Some(all))
    }

    /// Returns the decodable entries of a page, and the connection on which its cursor is valid.
    pub(crate) async fn page(
        &self,
        from: u64,
    ) -> Result<(MapPage<K, V>, ConnectionNumber), LoadError> {
        let requested = Instant::now();
        let page = self.request(|keys| keys.page(&self.keys, from)).await?;
        let mut entries = Vec::new();
        for (field, bytes) in page.entries {
            match key_of(&self.keys.name, &field) {
                Ok(key) if self.lock().invalid.contains(&key) => {}
                Ok(key) => {
                    let field = String::from_utf8_lossy(&field);
                    let entry = self.entry(&field, Some(&bytes), page.now, requested);
                    if let Ok(Some(value)) = entry.value {
                        entries.push((key, value));
                    }
                }
                Err(error) => {
                    let name = entry_name(&self.keys.name, &String::from_utf8_lossy(&field));
                    self.report_once(name, &field, error);
                }
            }
        }
        let next = Some(page.next).filter(|next| *next != 0);
        Ok((MapPage { entries, next }, page.from))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures_util::future::{pending, ready};
    use redis::{Cmd, RedisResult, Value};

    use super::*;
    use crate::acl::{Needs, Permissions};
    use crate::keyspace::redis::{Carried, KeyConnection, KeyRequest, RedisKeys};
    use crate::namespace::channel::{Channel, PubSub};
    use crate::task::mutex::Mutex;
    use crate::{Bus, SharedMap};

    /// The answers to `HSCAN`: the connection, the next cursor, and a key.
    type Answers = VecDeque<(ConnectionNumber, u64, u64)>;

    #[derive(Clone)]
    struct Servers(Arc<Mutex<Answers>>);

    fn text(text: &impl ToString) -> Value {
        Value::BulkString(text.to_string().into_bytes())
    }

    impl KeyConnection for Servers {
        fn run(&self, request: KeyRequest) -> Carried<(Value, ConnectionNumber)> {
            // `TIME` is the only command without arguments.
            if matches!(&request, KeyRequest::Command(sent) if sent.args_iter().count() == 1) {
                let time = Value::Array(vec![text(&1), text(&0)]);
                return Box::pin(ready(Ok((time, 0))));
            }
            let (from, next, key) = self.0.lock().pop_front().unwrap();
            let entries = Value::Array(vec![text(&key), text(&"json 1 9f 41")]);
            let page = Value::Array(vec![text(&next), entries]);
            Box::pin(ready(Ok((page, from))))
        }

        fn read_all(&self, _: Vec<Cmd>) -> Carried<Vec<RedisResult<Value>>> {
            Box::pin(pending())
        }
    }

    /// Reads all entries, and returns their keys in order.
    async fn keys_of(name: &str, answers: &[(ConnectionNumber, u64, u64)]) -> Option<Vec<u64>> {
        let bus = Bus::builder(&format!("memory:{name}")).membership(false);
        let bus = bus.start().await.unwrap();
        let map: SharedMap<u64, u32> = bus.map("ages").unwrap();
        let answers = Arc::new(Mutex::new(answers.iter().copied().collect()));
        bus.inner.keyspace.set(Ok(Arc::new(RedisKeys {
            connection: Servers(Arc::clone(&answers)),
            channel: Channel {
                name: bus.inner.namespace.channel(),
                kind: PubSub::Classic,
            },
            needs: Arc::new(Needs {
                user: "shop".to_owned(),
                permissions: Permissions::of_bus("shop").unwrap(),
            }),
        })));
        let all = map.all().await;
        assert!(answers.lock().is_empty());
        let is_moved = |error: &LoadError| {
            matches!(
                error,
                LoadError::Unread {
                    reason: SendFailure::Lost,
                    ..
                }
            )
        };
        assert!(all.as_ref().err().is_none_or(is_moved), "{all:?}");
        let mut keys: Vec<_> = all.ok()?.into_keys().collect();
        keys.sort_unstable();
        Some(keys)
    }

    #[tokio::test]
    async fn pages_of_several_servers_are_read_again() {
        let pages = [(1, 9, 1), (2, 0, 2), (2, 5, 3), (2, 0, 4)];
        assert_eq!(keys_of("pages-again", &pages).await, Some(vec![3, 4]));
    }

    #[tokio::test]
    async fn pages_that_never_come_from_one_server_are_an_error() {
        let pages = [(1, 9, 1), (2, 0, 2)];
        assert_eq!(keys_of("pages-elsewhere", &[pages; 3].concat()).await, None);
    }
}
