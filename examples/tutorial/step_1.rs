//! Step 1: a bus in memory.

// ANCHOR: file
use std::time::Duration;
use tidings::prelude::*;

async fn show(cents: u32) {
    println!("apples cost {cents} now");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bus = Bus::builder("memory:shop").on("price.set", show);
    let bus = bus.start().await?;
    bus.send_to_all("price.set", &120).await?;
    bus.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
// ANCHOR_END: file
