//! Two versions of an event meet during a rolling deployment.

// ANCHOR: file
use std::time::Duration;
use tidings::prelude::*;

mod v1 {
    use tidings::prelude::*;

    #[derive(Debug, Serialize, Deserialize, Event)]
    #[event("price.set")]
    pub(super) struct PriceSet {
        pub item: String,
        pub cents: u32,
    }
}

mod v2 {
    use tidings::prelude::*;

    #[derive(Debug, Serialize, Deserialize, Event)]
    #[event("price.set")]
    pub(super) struct PriceSet {
        #[serde(rename(serialize = "item"), alias = "item")]
        pub article: String, // has a new name, and is still written under the old one
        pub cents: u32,
        #[serde(default)]
        pub unit: String, // is new
    }
}

/// The same, without a plan.
#[derive(Serialize)]
struct Renamed {
    article: String,
    cents: u32,
}

const SOON: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let show_v1 = |price: v1::PriceSet| async move { println!("v1 reads {price:?}") };
    let show_v2 = |price: v2::PriceSet| async move { println!("v2 reads {price:?}") };
    let version = |name| {
        Bus::builder("memory:shop")
            .name(name)
            .on_failure(|failure: Failure| println!("{}", tidings::report(&failure)))
    };
    let old = version("v1").subscribe(show_v1).start().await?;
    let new = version("v2").subscribe(show_v2).start().await?;

    let (item, article) = ("apples".to_owned(), "pears".to_owned());
    let price = v1::PriceSet { item, cents: 130 };
    let sent = old.send_to_others(v1::PriceSet::EVENT, &price);
    sent.acknowledged(SOON).await?;

    let (cents, unit) = (90, "kg".to_owned());
    let price = v2::PriceSet {
        article,
        cents,
        unit,
    };
    let sent = new.send_to_others(v2::PriceSet::EVENT, &price);
    sent.acknowledged(SOON).await?;

    let article = price.article;
    let price = Renamed { article, cents: 80 };
    let sent = new.send_to_others("price.set", &price);
    sent.acknowledged(SOON).await?;
    old.shutdown(SOON).await?;
    Ok(())
}
// ANCHOR_END: file

pub(super) fn run() -> super::Done {
    main()
}
