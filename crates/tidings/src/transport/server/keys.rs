//! Requests on keys over the connection that sends.

use redis::{Cmd, RedisResult, Value};

use crate::keyspace::redis::{
    Carried, ConnectionNumber, KeyConnection, KeyRequest, NoAnswer, connection_number,
};
use crate::resp::Client;

/// The send connection, for requests on keys.
#[derive(Clone)]
pub(crate) struct ServerKeys {
    client: Client,
    number: ConnectionNumber,
}

impl ServerKeys {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            number: connection_number(),
        }
    }
}

impl KeyConnection for ServerKeys {
    fn run(&self, request: KeyRequest) -> Carried<(Value, ConnectionNumber)> {
        let Self { client, number } = self.clone();
        Box::pin(async move {
            let answer = request.send(&client).await;
            Ok((answer.map_err(NoAnswer::Error)?, number))
        })
    }

    fn read_all(&self, commands: Vec<Cmd>) -> Carried<Vec<RedisResult<Value>>> {
        let mut pipe = redis::pipe();
        for command in commands {
            pipe.add_command(command);
        }
        pipe.ignore_errors();
        let mut client = self.client.clone();
        Box::pin(async move { pipe.query_async(&mut client).await.map_err(NoAnswer::Error) })
    }
}
