//! Members that are stuck, behind, of another version, or unhappy in another way.

use std::sync::mpsc;
use std::time::Duration;

use tidings::{Bus, BusBuilder, Gap, HandlerError, HandlerOptions, Overflow};
use tidings_testkit::wait_for;

use crate::doctor::examination::{examine, examine_with};
use crate::doctor::settings::healthy;
use crate::fleet::{Fleet, NAMESPACE};

const SECONDS: Duration = Duration::from_secs(5);

/// A member in a runtime of its own, which can be stopped as a whole.
struct Member {
    block: mpsc::Sender<()>,
    end: Option<mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Member {
    fn start(url: String, name: &'static str) -> Self {
        let (block, blocked) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let (started, starts) = mpsc::channel();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.unwrap();
            let bus = runtime.block_on(async {
                let bus = Bus::builder(&url)
                    .namespace(NAMESPACE)
                    .name(name)
                    .auto_register(false);
                let bus = bus.start().await.unwrap();
                bus.members().await.unwrap();
                bus
            });
            started.send(()).unwrap();
            runtime.block_on(async {
                while blocked.try_recv().is_err() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
            let _ = ended.recv();
            drop(bus);
        };
        let thread = std::thread::spawn(run);
        starts.recv().unwrap();
        Self {
            block,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// Stops all of its tasks.
    fn stop(&self) {
        self.block.send(()).unwrap();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.block.send(());
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn member(fleet: &Fleet, describe: impl FnOnce(BusBuilder) -> BusBuilder) -> Bus {
    fleet.member_with("api-1", describe).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_does_not_answer_is_an_error() {
    let fleet = healthy().await;
    let stuck = Member::start(fleet.redis.url(), "job-1");
    let _fine = fleet.member("api-1").await;
    examine(&fleet).has_only(&[]);
    stuck.stop();

    let examination = examine_with(fleet.command().args(["--timeout", "600ms"]));

    examination.has_only(&[("member-answer", "error")]);
    let text = examination.text("member-answer");
    assert!(
        text.starts_with("job-1 is a member but did not answer within 600ms"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_gives_no_inspection_is_skipped() {
    let fleet = healthy().await;
    let _member = member(&fleet, |bus| bus.inspection(false)).await;
    let examination = examine(&fleet);
    examination.has_only(&[]);
    assert_eq!(examination.severity("member-answer"), "skipped");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_versions_and_two_members_with_one_name_are_warnings() {
    let fleet = healthy().await;
    let start = |name, version: &'static str| {
        fleet.member_with(name, move |bus| bus.role("api").version(version))
    };
    let (_first, _second) = (start("api-1", "1.4.0").await, start("api-2", "1.4.0").await);
    examine(&fleet).has_only(&[]);

    let _old = start("api-3", "1.3.9").await;
    let examination = examine(&fleet);
    examination.has_only(&[("member-versions", "warning")]);
    let text = examination.text("member-versions");
    assert!(text.contains("1.3.9 (api-3)"), "{text}");

    let _twin = start("api-3", "1.3.9").await;
    let problems = [("member-versions", "warning"), ("member-names", "warning")];
    examine(&fleet).has_only(&problems);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_a_member_missed_are_a_warning() {
    let fleet = healthy().await;
    let member = member(&fleet, |bus| bus).await;
    member.on_gap(|_: Gap| async {}).unwrap();
    fleet.redis.kill_subscribers().await;
    wait_for("it is connected again", SECONDS, async || {
        let health = member.health();
        health.gaps > 0 && health.is_ready()
    })
    .await;
    examine(&fleet).has_only(&[("member-gaps", "warning")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_a_handler_is_a_warning_with_its_text() {
    let fleet = healthy().await;
    let fails = |bus: BusBuilder| {
        bus.on("tick", |_: u32| async {
            Err::<(), HandlerError>("no such user".into())
        })
        .on_failure(|_| async {})
    };
    let member = member(&fleet, fails).await;
    member.send_to_all("tick", &1_u32).await.unwrap();
    wait_for("it fails", SECONDS, async || member.health().failures > 0).await;
    let examination = examine(&fleet);
    examination.has_only(&[("member-failures", "warning")]);
    assert!(examination.text("member-failures").contains("no such user"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_is_behind_is_a_warning() {
    let fleet = healthy().await;
    let slow = HandlerOptions::new().queue(10);
    let member = member(&fleet, |bus| bus).await;
    let stays = |_: u32| std::future::pending::<()>();
    let _handler = member.on_with("tick", slow, stays).unwrap();
    for number in 0..9_u32 {
        member.send_to_all("tick", &number).await.unwrap();
    }
    wait_for("they wait", SECONDS, async || {
        member.inspection().handlers[0].queue > 5
    })
    .await;
    let examination = examine(&fleet);
    examination.has_only(&[("member-handlers", "warning")]);
    let text = examination.text("member-handlers");
    assert!(
        text.contains("of 10 events wait for the handler tick"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_did_not_fit_a_queue_are_a_warning() {
    let fleet = healthy().await;
    let drops = HandlerOptions::new()
        .queue(1)
        .overflow(Overflow::DropNewest);
    let member = member(&fleet, |bus| bus).await;
    member.on_gap(|_: Gap| async {}).unwrap();
    let stays = |_: u32| std::future::pending::<()>();
    let handler = member.on_with("tick", drops, stays).unwrap();
    for number in 0..9_u32 {
        member.send_to_all("tick", &number).await.unwrap();
    }
    wait_for("it drops", SECONDS, async || member.health().dropped > 0).await;
    let examination = examine(&fleet);
    assert!(
        examination
            .problems()
            .contains(&("member-dropped", "warning"))
    );
    drop(handler);
}
