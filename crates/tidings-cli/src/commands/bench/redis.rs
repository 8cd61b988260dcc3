//! The processor time of Redis.

use std::time::Duration;

use tidings::admin::{Admin, Server};

/// The fields of `INFO` with the processor time since the start, in seconds.
const FIELDS: [&str; 2] = ["used_cpu_user", "used_cpu_sys"];

/// Returns the processor time of all servers since their start; `None` if one of them does not say.
pub(super) async fn processor_time(admin: &Admin) -> Option<Duration> {
    let servers = admin.servers().await.ok()?;
    let with_events = servers.iter().filter(|server| !server.is_sentinel);
    with_events.map(time_of).sum()
}

fn time_of(server: &Server) -> Option<Duration> {
    let info = &server.state.as_ref().ok()?.info;
    let seconds = FIELDS.map(|field| info.get(field)?.parse::<f64>().ok());
    let [user, system] = seconds;
    Duration::try_from_secs_f64(user? + system?).ok()
}
