//! Every shape of handler compiles with strict lints.
#![deny(warnings, missing_docs, unreachable_pub, unused_qualifications)]
#![forbid(unsafe_code)]

use std::sync::Arc;

use tidings::prelude::*;

/// An event.
#[derive(Debug, Serialize, Deserialize, Event)]
pub struct Renamed;

#[tidings::on]
async fn alone(_: Renamed) {}

/// A public handler.
///
/// # Errors
///
/// None.
#[tidings::on]
pub async fn shared(renamed: Arc<Renamed>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    println!("{renamed:?}");
    Ok(())
}

#[tidings::on("a.b")]
async fn all(
    (first, second): (u8, u8),
    State(state): State<u8>,
    context: Context,
    bus: Bus,
    State(other): State<u16>,
) -> Result<(), HandlerError> {
    println!("{first} {second} {state} {context:?} {bus:?} {other}");
    Ok(())
}

#[tidings::on("a.c")]
async fn mutable(mut numbers: Vec<u8>) {
    numbers.clear();
}

#[tidings::on("a.d")]
async fn answering(fruit: String) -> Result<usize, HandlerError> {
    Ok(fruit.len())
}

#[tokio::test]
async fn every_shape_of_handler_compiles_and_is_collected() {
    #[tidings::on("in.a.function")]
    async fn local((): ()) {}

    let unfed = Bus::builder("memory:shapes").start().await;
    let fed = Bus::builder("memory:shapes").state(1_u8).state(2_u16);

    assert!(unfed.is_err(), "`all` asks for two states");
    assert!(fed.start().await.is_ok());
}
