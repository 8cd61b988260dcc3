//! The fleet of a shop: seven processes that send, handle, fail and lose events, for the pictures of the
//! book.

use std::env;
use std::time::Duration;

use serde_json::{Value, json};
use tidings::codec::Format;
use tidings::{Bus, BusBuilder, HandlerError, HandlerOptions, Overflow};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::fleet::{Fleet, NAMESPACE};
use crate::own_process::{end_with_parent, of_this_program};
use crate::support::Running;

/// The names, roles and versions of the processes.
const PROCESSES: [(&str, &str, &str); 7] = [
    ("api-1", "api", "1.4.2"),
    ("api-2", "api", "1.4.2"),
    ("checkout-1", "checkout", "3.1.0"),
    ("mailer-1", "mailer", "0.9.7"),
    ("search-1", "search", "1.12.0"),
    ("stock-1", "stock", "2.0.4"),
    ("web-1", "web", "5.2.1"),
];

/// The variable with the number of the process.
const PROCESS: &str = "TIDINGS_TEST_SHOP";

/// Starts the shop on these servers. It ends with the test.
pub(super) fn open(fleet: &Fleet, url: &str) -> Vec<Running> {
    let start = |number: usize| {
        let mut command = of_this_program(fleet, "console::browser::shop::process");
        command.env("TIDINGS_URL", url);
        Running::start(command.env(PROCESS, number.to_string()))
    };
    let processes: Vec<_> = (0..PROCESSES.len()).map(start).collect();
    for process in &processes {
        process.stdout.wait_for("joined");
    }
    processes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a process that other tests start"]
async fn process() {
    let Ok(number) = env::var(PROCESS) else {
        return;
    };
    end_with_parent();
    let (name, role, version) = PROCESSES[number.parse::<usize>().unwrap()];
    let bus = Bus::builder(&env::var("TIDINGS_URL").unwrap())
        .namespace(NAMESPACE)
        .auto_register(false)
        .name(name)
        .role(role)
        .version(version)
        .on_failure(async |_: tidings::Failure| {})
        .on_gap(async |_: tidings::Gap| {});
    let bus = with_handlers(bus, role).start().await.unwrap();
    bus.members().await.unwrap();
    println!("joined");
    work(&bus, role).await;
}

/// The functions that handle events; their names are on the page.
fn with_handlers(bus: BusBuilder, role: &str) -> BusBuilder {
    match role {
        "checkout" => bus.on("order.placed", take_payment),
        "mailer" => bus.on("payment.captured", send_receipt),
        "stock" => bus
            .format(Format::MessagePack)
            .on("payment.captured", take_from_shelf),
        "search" => {
            let small = HandlerOptions::new()
                .queue(4)
                .overflow(Overflow::DropOldest);
            bus.on_with("stock.changed", small, update_index)
                .on("product.renamed", update_name)
        }
        _ => bus
            .on("stock.changed", refresh_page)
            .on("price.changed", refresh_price),
    }
}

async fn take_payment(_: Value) {}

async fn take_from_shelf(_: Value) {}

async fn refresh_page(_: Value) {}

async fn refresh_price(_: Value) {}

async fn update_name(_: Value) {}

async fn send_receipt(payment: Value) -> Result<(), HandlerError> {
    match payment["order"].as_u64() {
        Some(order) if order % 97 == 0 => Err("smtp.example.com: the mailbox is full".into()),
        _ => Ok(()),
    }
}

/// Now and then too slow for its queue.
async fn update_index(change: Value) {
    if change["left"].as_u64().is_some_and(|left| left % 24 == 0) {
        sleep(Duration::from_millis(1_500)).await;
    }
}

/// Sends the events of a role for ever.
async fn work(bus: &Bus, role: &str) {
    let first = u64::from(std::process::id());
    let (events, every): (&[&str], u64) = match role {
        "api" => (&["order.placed", "cart.changed", "cart.changed"], 45),
        "checkout" => (&["payment.captured"], 70),
        "stock" => (&["stock.changed", "price.changed"], 90),
        "web" => (&["page.viewed"], 18),
        _ => (&["product.renamed"], 1_900),
    };
    let mut ticks = interval(Duration::from_millis(every));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in first.. {
        ticks.tick().await;
        // Busier and quieter times, so that the lines of the chart are not straight.
        let busy = [9, 8, 6, 4, 5, 3, 6, 8][usize::try_from(number / 200).unwrap() % 8];
        if number * 7 % 10 > busy {
            continue;
        }
        let event = events[usize::try_from(number).unwrap() % events.len()];
        let _ = bus.send_to_all(event, &payload(event, number)).await;
    }
}

fn payload(event: &str, number: u64) -> Value {
    let pick = |names: &[&str]| names[usize::try_from(number).unwrap() % names.len()].to_owned();
    let customer = pick(&[
        "Ada Lovelace",
        "Grace Hopper",
        "Alan Turing",
        "Edsger Dijkstra",
    ]);
    let sku = pick(&["tea-0042", "mug-0007", "pot-0113", "tin-0021", "set-0003"]);
    match event {
        "order.placed" => json!({ "order": number, "customer": customer, "items": number % 4 + 1 }),
        "payment.captured" => json!({ "order": number, "cents": 990 + number % 7 * 250 }),
        "stock.changed" => json!({ "sku": sku, "left": number % 120 }),
        "price.changed" => json!({ "sku": sku, "cents": 450 + number % 9 * 50 }),
        "page.viewed" => json!({ "path": format!("/products/{sku}"), "millis": 12 + number % 30 }),
        _ => json!({ "sku": sku, "customer": customer }),
    }
}

/// Fills the shared state of the shop.
pub(super) async fn fill(url: &str) {
    let bus = Bus::builder(url).namespace(NAMESPACE).membership(false);
    let bus = bus.auto_register(false).start().await.unwrap();
    let limits = json!({ "per_minute": 90, "burst": 20, "plans": { "free": 10, "team": 600 } });
    bus.shared("limits").unwrap().set(&limits).await.unwrap();
    let features = json!({ "new-checkout": true, "reviews": false, "gift-cards": "beta" });
    bus.shared("features")
        .unwrap()
        .set(&features)
        .await
        .unwrap();
    let prices = bus.map::<String, Value>("prices").unwrap();
    for (sku, cents) in [("tea-0042", 690), ("mug-0007", 1_290), ("pot-0113", 3_450)] {
        let price = json!({ "cents": cents, "currency": "EUR" });
        prices.set(&sku.to_owned(), &price).await.unwrap();
    }
    bus.counter("orders").unwrap().add(48_211).await.unwrap();
    bus.counter("visitors")
        .unwrap()
        .add(1_204_377)
        .await
        .unwrap();
}
