//! Shops that count together, and an office that asks all of them.

// ANCHOR: file
use std::time::Duration;
use tidings::prelude::*;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shop = |name| Bus::builder("memory:shop").name(name).role("shop");
    let stock = |apples: u32| {
        move |item: String| async move {
            let count = if item == "apples" { apples } else { 0 };
            Ok::<_, HandlerError>(count)
        }
    };
    let shops = [
        shop("shop-1").on("stock.count", stock(12)).start().await?,
        shop("shop-2").on("stock.count", stock(40)).start().await?,
        shop("shop-3").start().await?, // an old version
    ];
    let office = Bus::builder("memory:shop").name("office").start().await?;

    for shop in &shops {
        shop.counter("sold")?.add(2).await?;
    }
    println!("{} sold", office.counter("sold")?.get().await?);

    let request = office.request_others::<u32, _, _>("stock.count", "apples");
    let mut responses = request.timeout(Duration::from_secs(2)).await?;
    let mut apples = 0;
    while let Some(response) = responses.next().await {
        apples += response.value.unwrap_or(0);
    }
    println!("{apples} apples: {}", responses.summary().await);

    let members = office.members().await?;
    let second = members.iter().find(|member| member.name == "shop-2");
    let second = second.ok_or("shop-2 is closed")?.id;
    let request = office.request::<u32, _, _>(second, "stock.count", "apples");
    println!("{} of them in shop-2", request.await?.value?);
    Ok(())
}
// ANCHOR_END: file

pub(super) fn run() -> super::Done {
    main()
}
