//! The servers and the sentinels of one master, as the sentinels in the address name them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join3};
use redis::{RedisConnectionInfo, RedisResult};

use crate::acl::Permissions;
use crate::error::connect::ConnectError;
use crate::resp::Client;
use crate::transport::address::{Place, address_of};
use crate::transport::answers::{self, NoAnswer};
use crate::transport::sentinel::monitor::{Fields, place_of};
use crate::transport::server::redis_connection::{Access, in_time, sentinel_question};
use crate::transport::servers::located::{Located, add};
use crate::transport::tls::Tls;

/// The timeout of connecting to a sentinel and of its answer.
const TIMEOUT: Duration = Duration::from_secs(2);

const DOING: &str = "asking a sentinel";

/// The servers of a master with sentinels.
#[derive(Debug)]
pub(in crate::transport) struct SentinelServers {
    /// The sentinels in the address; they name the others.
    sentinels: Vec<Place>,
    pub(in crate::transport) master: Arc<str>,
    /// The access to the sentinels.
    pub(in crate::transport) access: Access,
}

/// The servers that one sentinel names.
#[derive(Debug, Default)]
struct Named {
    servers: Vec<Place>,
    sentinels: Vec<Place>,
}

impl SentinelServers {
    pub(in crate::transport) fn new(
        sentinels: Vec<Place>,
        master: &str,
        (login, tls): (&RedisConnectionInfo, Option<Tls>),
    ) -> Self {
        let master = Arc::from(master);
        let access = Access::new(login, tls, Permissions::of_sentinel());
        Self {
            sentinels,
            access: access.of_sentinels(&master, TIMEOUT),
            master,
        }
    }

    /// Returns the master and the replicas, and then the sentinels.
    pub(in crate::transport) async fn locate(&self) -> Result<Vec<Located>, ConnectError> {
        let asking = self.sentinels.iter();
        let asking = asking.map(|place| in_time(TIMEOUT, DOING, self.ask(place)));
        let said = join_all(asking).await;
        let (mut servers, mut sentinels) = (Vec::new(), self.sentinels.clone());
        let mut failed = Vec::new();
        for (place, named) in self.sentinels.iter().zip(said) {
            match named {
                Ok(named) => {
                    for server in named.servers {
                        add(&mut servers, server);
                    }
                    for sentinel in named.sentinels {
                        add(&mut sentinels, sentinel);
                    }
                }
                Err(why) => failed.push((place, NoAnswer::from(&why))),
            }
        }
        if failed.len() == self.sentinels.len() {
            return Err(ConnectError::Sentinels {
                master: self.master.to_string(),
                is_final: failed.iter().all(|(_, why)| why.is_final),
                said: answers::list(failed.into_iter().map(|(place, none)| (place, none.why))),
            });
        }
        let servers = servers
            .iter()
            .map(|place| Located::server(address_of(place)));
        let sentinels = sentinels.iter().map(|place| Located {
            is_sentinel: true,
            ..Located::server(address_of(place))
        });
        Ok(servers.chain(sentinels).collect())
    }

    async fn ask(&self, place: &Place) -> Result<Named, ConnectError> {
        let at = address_of(place);
        let mut line = self.access.open(&at, None, DOING).await?;
        let named = line.ask(DOING, async |client| ask(client, &self.master).await);
        named.await
    }
}

async fn ask(client: &Client, master: &str) -> RedisResult<Named> {
    let answers: RedisResult<(Option<Place>, Vec<Fields>, Vec<Fields>)> = try_join3(
        client.query(&sentinel_question("GET-MASTER-ADDR-BY-NAME", master)),
        client.query(&sentinel_question("REPLICAS", master)),
        client.query(&sentinel_question("SENTINELS", master)),
    )
    .await;
    let (master, replicas, sentinels) = answers?;
    Ok(Named {
        servers: master.into_iter().chain(places(&replicas)).collect(),
        sentinels: places(&sentinels).collect(),
    })
}

fn places(named: &[Fields]) -> impl Iterator<Item = Place> {
    named.iter().filter_map(place_of)
}
