//! A bus and the runtime on which it was started.

use std::error::Error;
use std::future::{IntoFuture as _, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::StreamExt;
use tidings::{Bus, HandlerError, NodeId, RequestError, SendError, StartError, memory};
use tidings_testkit::{Collected, Redis, free_port, memory_url};
use tokio::runtime::Runtime;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let ended = timeout(SOON, future).await;
    ended.unwrap_or_else(|_| panic!("{what} hangs"))
}

/// A bus that has begun to send and to receive.
async fn start(url: &str) -> Bus {
    let starting = Bus::builder(url).auto_register(false).start();
    let bus = starting.await.unwrap();
    let mut begun = bus.stream::<_, u64>("begun").unwrap();
    bus.send_to_all("begun", &1).await.unwrap();
    begun.next().await.unwrap();
    bus
}

#[test]
fn no_call_hangs_after_the_runtime_has_ended() {
    let gone = Runtime::new().unwrap();
    let bus = gone.block_on(start(&memory_url()));
    let earlier = bus.on("tick", |_: u64| async {}).unwrap();
    drop(gone);

    assert!(!bus.health().is_ready());
    Runtime::new().unwrap().block_on(async {
        soon("a flush", bus.flush()).await.unwrap();
        soon("`off`", bus.off(earlier)).await;
        soon("a shutdown", bus.shutdown(SOON)).await.unwrap();
    });
}

/// A bus in a `static` after the end of its first `#[tokio::test]`.
#[test]
fn each_call_after_the_runtime_has_ended_names_the_cause() {
    let gone = Runtime::new().unwrap();
    let bus = gone.block_on(start(&memory_url()));
    let counter = bus.counter("visits").unwrap();
    let price = bus.shared::<u64>("price").unwrap();
    let stock = bus.map::<String, u64>("stock").unwrap();
    let (apples, mut ticks) = ("apples".to_owned(), bus.stream::<_, u64>("tick").unwrap());
    drop(gone);

    Runtime::new().unwrap().block_on(async {
        let in_words = |error: &dyn Error| tidings::report(error).to_string();
        let mut said = Vec::new();
        macro_rules! refused {
            ($($call:expr),* $(,)?) => { $(
                let error = soon(stringify!($call), $call.into_future()).await.map(|_| ()).unwrap_err();
                said.push((stringify!($call), in_words(&error)));
            )* };
        }
        refused!(
            bus.send_to_all("tick", &1),
            bus.send_to_others("tick", &1),
            bus.send_to(NodeId::new(7), "tick", &1),
            bus.send_to_role("api", "tick", &1),
            bus.feed("tick", &1),
            bus.request_all::<u64, _, _>("tick", &1),
            bus.send_to_all("tick", &1).acknowledged(SOON),
            bus.members(),
            counter.add(1),
            price.set(&1),
            price.update(|_| 1),
            price.refresh(),
            stock.set(&apples, &1),
            stock.update(&apples, |_| 1),
            async { bus.on("tick", |_: u64| async {}) },
            async { bus.once("tick", |_: u64| async {}) },
            async { bus.on_gap(|_: tidings::Gap| async {}) },
            async { bus.stream::<_, u64>("tick") },
        );
        let unclear: Vec<_> = said
            .iter()
            .filter(|(_, said)| !said.contains("runtime"))
            .collect();
        assert!(unclear.is_empty(), "{unclear:#?}");
        assert_eq!(soon("a stream", ticks.next()).await, None);
    });
}

/// A program may have threads and executors other than Tokio's.
#[test]
fn a_start_outside_of_a_runtime_is_an_error() {
    for url in [memory_url(), format!("redis://127.0.0.1:{}", free_port())] {
        let error = block_on(Bus::builder(&url).start()).unwrap_err();
        assert!(matches!(error, StartError::NoRuntime), "{error:?}");
    }
}

#[test]
fn each_call_works_on_a_thread_outside_of_the_runtime() {
    let runtime = Runtime::new().unwrap();
    let redis = runtime.block_on(Redis::start());
    let small = Bus::builder(&redis.url())
        .send_buffer(1_000)
        .auto_register(false);
    let bus = runtime.block_on(small.start()).unwrap();
    bus.on("count", |n: u64| async move { Ok::<_, HandlerError>(n) })
        .unwrap();
    let (me, apples) = (bus.id(), "apples".to_owned());

    let counter = bus.counter("visits").unwrap();
    let price = bus.shared::<u64>("price").unwrap();
    let stock = bus.map::<String, u64>("stock").unwrap();
    block_on(async {
        assert_eq!(bus.members().await.unwrap().len(), 1);
        assert_eq!(counter.add(2).await.unwrap(), 2);
        price.set(&1).await.unwrap();
        price
            .update(|price| price.copied().unwrap_or(0) + 1)
            .await
            .unwrap();
        assert_eq!(
            price.get().await.unwrap().value().map(|price| **price),
            Some(2)
        );
        let mut changes = stock.watch(&apples);
        stock.set(&apples, &3).await.unwrap();
        assert_eq!(
            *stock
                .update(&apples, |old| old.copied().unwrap_or(0) + 1)
                .await
                .unwrap(),
            4
        );
        changes.changed().await.unwrap();
        stock.invalidate(&apples).await.unwrap();
        let loaded = stock
            .get_or_load(&apples, async || Ok::<_, HandlerError>(5))
            .await;
        assert_eq!(*loaded.unwrap(), 5);
        bus.send_to(me, "count", &1).await.unwrap();
        bus.send_to_all("count", &1)
            .acknowledged(SOON)
            .await
            .unwrap();
        let mut answers = bus.request_all::<u64, _, _>("count", &7).await.unwrap();
        assert_eq!(answers.next().await.unwrap().value.unwrap(), 7);
        assert!(bus.send_to_role("nobody", "count", &1).await.is_err());
        for n in 0..100_u64 {
            bus.feed("count", &n).await.unwrap();
        }
        bus.flush().await.unwrap();
        bus.shutdown(SOON).await.unwrap();
    });
}

#[test]
fn a_caller_that_waits_when_the_runtime_ends_gets_an_error() {
    let (stays, goes) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let redis = stays.block_on(Redis::start());
    let bus = goes.block_on(start(&redis.url()));
    redis.freeze();

    stays.block_on(async {
        let sending = bus.send_to_all("tick", &1);
        let flushing = bus.flush();
        tokio::pin!(sending, flushing);
        assert!(futures_util::poll!(&mut sending).is_pending());
        assert!(futures_util::poll!(&mut flushing).is_pending());
        goes.shutdown_background();

        let sent = soon("the send", sending).await;
        assert!(
            matches!(
                sent,
                Err(SendError::NotSent { .. } | SendError::Unknown { .. })
            ),
            "{sent:?}"
        );
        soon("the flush", flushing).await.unwrap();
    });
}

#[test]
fn an_invalidation_that_waits_when_the_runtime_ends_gets_an_error() {
    let (stays, goes) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let redis = stays.block_on(Redis::start());
    let bus = goes.block_on(start(&redis.url()));
    let stock = bus.map::<u64, u64>("stock").unwrap();
    redis.freeze();

    stays.block_on(async {
        let invalidating = [7, 8].map(|key| {
            let stock = stock.clone();
            Box::pin(async move { stock.invalidate(&key).await })
        });
        let mut invalidating = futures_util::future::join_all(invalidating);
        assert!(futures_util::poll!(&mut invalidating).is_pending());
        goes.shutdown_background();

        for ended in soon("the invalidations", invalidating).await {
            let words = tidings::report(&ended.unwrap_err()).to_string();
            assert!(words.contains("runtime"), "{words}");
        }
    });
    assert_eq!(stock.pending_invalidations(), Some(0));
}

#[tokio::test]
async fn a_handler_that_never_waits_yields_to_others() {
    let url = memory_url();
    let bus = Bus::builder(&url)
        .auto_register(false)
        .start()
        .await
        .unwrap();
    let turns = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&turns);
    tokio::spawn(async move {
        loop {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    let (seen, count) = (Collected::default(), Arc::clone(&turns));
    let sink = seen.clone();
    bus.on("tick", move |_: u64| {
        let over = Instant::now() + Duration::from_micros(50);
        while Instant::now() < over {}
        sink.push(count.load(Ordering::Relaxed));
        std::future::ready(())
    })
    .unwrap();

    let events = vec![r#"{"event":"tick","data":1}"#; 1_000].join(",");
    let frame = format!(
        r#"{{"v":1,"from":"00000000000000000000000000000001","seq":1,"events":[{events}]}}"#
    );
    let name = url.strip_prefix("memory:").unwrap();
    memory::publish(name, "default", frame).await;

    let seen = seen.wait_for_len(1_000).await;
    let turns = *seen[999] - *seen[0];
    assert!(turns >= 20, "{turns}");
}

#[test]
fn no_call_hangs_when_the_runtime_ends_before_the_bus_began() {
    let mut gone = tokio::runtime::Builder::new_current_thread();
    let gone = gone.enable_all().build().unwrap();
    let starting = Bus::builder(&memory_url()).auto_register(false).start();
    let bus = gone.block_on(starting).unwrap();
    drop(gone);

    Runtime::new().unwrap().block_on(async {
        let refused = soon("a send", bus.send_to_all("tick", &1)).await;
        assert!(
            matches!(refused, Err(SendError::RuntimeEnded)),
            "{refused:?}"
        );
    });
    assert!(!bus.health().is_ready());
}

#[test]
fn a_flush_reports_events_lost_with_their_runtime() {
    let (stays, goes) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let redis = stays.block_on(Redis::start());
    let bus = goes.block_on(start(&redis.url()));
    redis.freeze();

    stays.block_on(async {
        bus.feed("tick", &1).await.unwrap();
        goes.shutdown_background();

        let flushed = soon("the flush", bus.flush()).await;
        assert_eq!(flushed.unwrap_err().count(), 1);
    });
}

#[test]
fn a_stream_ends_after_its_runtime_has_ended() {
    let gone = Runtime::new().unwrap();
    let bus = gone.block_on(start(&memory_url()));
    let mut ticks = bus.stream::<_, u64>("tick").unwrap();
    drop(gone);

    Runtime::new().unwrap().block_on(async {
        soon("a shutdown", bus.shutdown(SOON)).await.unwrap();
        assert_eq!(soon("the stream", ticks.next()).await, None);
    });
}

#[test]
fn each_watch_ends_after_its_runtime_has_ended() {
    let gone = Runtime::new().unwrap();
    let bus = gone.block_on(start(&memory_url()));
    let price = bus.shared::<u64>("price").unwrap();
    let stock = bus.map::<String, u64>("stock").unwrap();
    let (price, apples) = (price.watch(), stock.watch(&"apples".to_owned()));
    let (all, members) = (stock.watch_all(), bus.watch_members());
    drop(gone);

    Runtime::new().unwrap().block_on(async {
        soon("the watch of a value", price.count()).await;
        soon("the watch of an entry", apples.count()).await;
        soon("the watch of a map", all.count()).await;
        soon("the watch of the members", members.count()).await;
    });
}

#[tokio::test]
async fn a_request_that_a_shutdown_ends_is_not_reported_as_a_timeout() {
    let url = memory_url();
    let bus = start(&url).await;
    let silent = Bus::builder(&url).on("count", |_: u64| pending::<()>());
    let silent = silent.start().await.unwrap();
    let requested = bus.request::<u64, _, _>(silent.id(), "count", &1);
    let ended = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        bus.shutdown(SOON).await
    };

    let (response, ended) = tokio::join!(requested.into_future(), ended);

    ended.unwrap();
    let error = response.unwrap_err();
    let is_closed = matches!(error, RequestError::Send(SendError::Closed));
    assert!(is_closed, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_moves_on_past_a_bus_in_memory() {
    let began = Instant::now();
    let url = memory_url();
    let (bus, other) = (start(&url).await, start(&url).await);

    for _ in 0..600 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(began.elapsed() < Duration::from_mins(1), "the clock stands");
    }

    let health = bus.health();
    assert!(health.is_ready());
    assert_eq!((health.gaps, health.reconnects), (0, 0));
    assert_eq!(bus.members().await.unwrap().len(), 2);
    other.shutdown(SOON).await.unwrap();
}
