//! Requests on keys over the connection that sends.

use std::fmt;

use redis::{Cmd, RedisResult, Value};

use crate::keyspace::redis::{Carried, KeyConnection, KeyRequest, NoAnswer};
use crate::resp::Client;

/// The send connection, for requests on keys.
#[derive(Clone)]
pub(crate) struct ServerKeys(pub(crate) Client);

impl KeyConnection for ServerKeys {
    fn run(&self, request: KeyRequest) -> Carried<Value> {
        let mut client = self.0.clone();
        Box::pin(async move { request.send(&mut client).await.map_err(NoAnswer::Error) })
    }

    fn read_all(&self, commands: Vec<Cmd>) -> Carried<Vec<RedisResult<Value>>> {
        let mut pipe = redis::pipe();
        for command in commands {
            pipe.add_command(command);
        }
        pipe.ignore_errors();
        let mut client = self.0.clone();
        Box::pin(async move { pipe.query_async(&mut client).await.map_err(NoAnswer::Error) })
    }
}

impl fmt::Debug for ServerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerKeys").finish_non_exhaustive()
    }
}
