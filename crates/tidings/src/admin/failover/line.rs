//! Commands to one server of a failover.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, ConnectionAddr, FromRedisValue};
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;

use crate::admin::answers::command;
use crate::admin::failover::report::FailoverError;
use crate::admin::fields::Fields;
use crate::error::connect::ConnectError;
use crate::resp::Client;
use crate::transport::address::shown_address;
use crate::transport::server::redis_connection::{Access, driving, in_time};

/// The time for each command.
const TIMEOUT: Duration = Duration::from_secs(2);

const DOING: &str = "asking a server";

/// Sends commands to one server. The connection is made again when it is lost: a server that becomes
/// the master closes all of them.
#[derive(Clone)]
pub(super) struct Line(Arc<Inner>);

struct Inner {
    at: ConnectionAddr,
    access: Access,
    open: Mutex<Option<Open>>,
}

struct Open {
    client: Client,
    access: Access,
    _driver: AbortOnDropHandle<()>,
}

impl Line {
    pub(super) fn new(at: ConnectionAddr, access: Access) -> Self {
        let open = Mutex::new(None);
        Self(Arc::new(Inner { at, access, open }))
    }

    pub(super) fn at(&self) -> &ConnectionAddr {
        &self.0.at
    }

    pub(super) fn shown(&self) -> String {
        shown_address(&self.0.at)
    }

    /// Returns the error of a step that this server rejected.
    pub(super) fn rejected(
        &self,
        doing: &'static str,
    ) -> impl FnOnce(ConnectError) -> FailoverError + use<> {
        let server = self.shown();
        move |source| FailoverError::Rejected {
            doing,
            server,
            source,
        }
    }

    /// Asks a command that may be run twice.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, ConnectError> {
        match self.once(command).await {
            Err(ConnectError::Io { .. } | ConnectError::Lost) => self.once(command).await,
            answer => answer,
        }
    }

    /// Asks a command of these words that may be run twice.
    pub(super) async fn words<T: FromRedisValue>(&self, words: &str) -> Result<T, ConnectError> {
        self.ask(&command(words)).await
    }

    /// Asks a command, over a new connection if there is none.
    pub(super) async fn once<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, ConnectError> {
        let asked = in_time(TIMEOUT, DOING, async {
            let mut open = self.0.open.lock().await;
            let Open { client, access, .. } = match &mut *open {
                Some(open) => open,
                none => none.insert(self.open().await?),
            };
            let (client, access) = (client.clone(), access.clone());
            drop(open);
            let answer = client.query(command).await;
            answer.map_err(|error| access.explain(DOING, &error))
        });
        let answer = asked.await;
        if matches!(answer, Err(ConnectError::Io { .. } | ConnectError::Lost)) {
            *self.0.open.lock().await = None;
        }
        answer
    }

    /// The section of `INFO` about replication.
    pub(super) async fn replication(&self) -> Result<Fields, ConnectError> {
        let info: String = self.words("INFO replication").await?;
        Ok(Fields::of_lines(&info))
    }

    async fn open(&self) -> Result<Open, ConnectError> {
        let Inner { at, access, .. } = &*self.0;
        let line = access.open(at, None, DOING).await?;
        Ok(Open {
            client: line.client,
            access: line.access,
            _driver: AbortOnDropHandle::new(tokio::spawn(driving(line.driver))),
        })
    }
}
