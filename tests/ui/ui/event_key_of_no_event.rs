//! Only events have the constant `EVENT`.
use tidings::prelude::*;

#[derive(Serialize, Deserialize)]
struct Changed;

async fn send(bus: Bus) {
    let _ = bus.send_to_all(Changed::EVENT, &Changed).await;
}

fn main() {}
