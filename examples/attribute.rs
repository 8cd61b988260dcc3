//! Handlers that register themselves with `#[tidings::on]`, and their arguments.

use std::error::Error;
use std::time::Duration;

use tidings::prelude::*;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A user has another name.
#[derive(Debug, Serialize, Deserialize, Event)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[event("user.renamed")]
struct UserRenamed {
    id: u64,
    name: String,
}

/// State of the application: each handler with a `State<Mail>` argument gets a clone.
#[derive(Clone)]
struct Mail(mpsc::Sender<String>);

/// Handles the event of its payload type, which defines the name.
#[tidings::on]
async fn greet(user: UserRenamed, State(mail): State<Mail>) -> Result<(), HandlerError> {
    let UserRenamed { id, name } = user;
    mail.0.send(format!("Dear {name}, user {id}!")).await?;
    Ok(())
}

/// Handles an event by name, with any payload that serde can read, and the event's context.
#[tidings::on("cache.clear")]
async fn clear(
    key: String,
    State(mail): State<Mail>,
    context: Context,
) -> Result<(), HandlerError> {
    let number = context.sequence().unwrap_or_default();
    let line = format!("`{}` number {number} drops {key}", context.event_name());
    mail.0.send(line).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("TIDINGS_URL").unwrap_or_else(|_| "memory:attribute".to_owned());
    let (outbox, mut letters) = mpsc::channel(8);
    let bus = Bus::builder(&url)
        .namespace(&format!("attribute-{}", std::process::id()))
        .state(Mail(outbox))
        .start()
        .await?;

    let name = "Ada".to_owned();
    bus.publish(&UserRenamed { id: 7, name }).await?;
    bus.send_to_all("cache.clear", "user:7").await?;

    // The two handlers run concurrently, so their letters arrive in any order.
    for _ in 0..2 {
        let letter = timeout(Duration::from_secs(5), letters.recv()).await?;
        println!("{}", letter.ok_or("the bus has ended")?);
    }
    bus.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
