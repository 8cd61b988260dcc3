//! The Redis servers, asked once for all viewers.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};
use tidings::admin::Admin;
use tidings::report;
use tokio::sync::Mutex;

use super::limits::SECOND;
use crate::commands::servers::Line;
use crate::time::milliseconds_of;

pub(super) struct Servers {
    admin: Admin,
    /// Locked while it asks, so that others wait for the same answer.
    last: Mutex<Option<(Instant, Arc<str>)>>,
}

impl Servers {
    pub(super) fn new(admin: Admin) -> Self {
        Self {
            admin,
            last: Mutex::default(),
        }
    }

    /// Returns the servers of at most a second ago, as JSON.
    pub(super) async fn servers(&self) -> Arc<str> {
        let mut last = self.last.lock().await;
        if let Some((_, servers)) = last.as_ref().filter(|it| it.0.elapsed() < SECOND) {
            return Arc::clone(servers);
        }
        let servers: Arc<str> = self.ask().await.to_string().into();
        *last = Some((Instant::now(), Arc::clone(&servers)));
        servers
    }

    async fn ask(&self) -> Value {
        let asked = self.admin.servers().await;
        let error = asked.as_ref().err().map(|why| report(why).to_string());
        let servers = asked.unwrap_or_default();
        let lines: Vec<_> = servers.iter().map(Line::of).collect();
        json!({
            "at": milliseconds_of(SystemTime::now()),
            "kind": self.admin.topology(),
            "error": error,
            "servers": lines,
        })
    }
}
