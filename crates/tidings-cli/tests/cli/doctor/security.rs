//! Servers that others can use.

use std::process::Command;
use std::time::Duration;

use tidings_testkit::{Certificate, RedisBuilder};

use crate::doctor::examination::{examine, examine_at, paste};
use crate::doctor::settings::healthy;
use crate::fleet::{Fleet, PASSWORD};

#[tokio::test(flavor = "multi_thread")]
async fn a_default_user_without_a_password_is_a_warning() {
    let fleet = Fleet::start().await;
    let examination = examine(&fleet);
    examination.has_only(&[("default-user", "warning")]);

    let cure = &examination.cures("default-user")[0];
    // Without a password, the shell refuses it.
    let refused = Command::new("sh").args(["-c", cure]).output().unwrap();
    assert!(!refused.status.success(), "{refused:?}");
    examine(&fleet).has_only(&[("default-user", "warning")]);
    paste(cure);

    let port = fleet.redis.port();
    examine_at(&fleet, &format!("redis://:{PASSWORD}@127.0.0.1:{port}")).has_only(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_open_to_the_network_is_an_error() {
    let open = |redis: RedisBuilder| {
        redis
            .config("bind", "0.0.0.0")
            .config("protected-mode", "no")
    };
    let fleet = Fleet::start_with(open).await;
    examine(&fleet).has_only(&[("default-user", "warning"), ("open-network", "error")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_another_machine_without_tls_is_a_warning() {
    let fleet = healthy().await;
    // Another name of this machine, which the program cannot know to be one.
    let port = fleet.redis.port();
    let url = format!("redis://:{PASSWORD}@0.0.0.0:{port}");
    examine_at(&fleet, &url).has_only(&[("encryption", "warning")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_tls_is_encrypted() {
    let fleet = Fleet::start_with(|redis| redis.password(PASSWORD).tls()).await;
    let ca = fleet.redis.ca_file();
    let url = format!("{}?ca={}", fleet.redis.tls_url(), ca.display());
    let examination = examine_at(&fleet, &url);
    examination.has_only(&[]);
    assert_eq!(
        examination.text("encryption"),
        "the connection is encrypted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_soon_is_found() {
    for (days, severity) in [(30, None), (14, Some("warning")), (2, Some("error"))] {
        let validity = Duration::from_hours(days * 24);
        let certificate = Certificate::new().valid_for(validity);
        let redis = |redis: RedisBuilder| redis.password(PASSWORD).tls_with(certificate);
        let fleet = Fleet::start_with(redis).await;
        let ca = fleet.redis.ca_file();
        let url = format!("{}?ca={}", fleet.redis.tls_url(), ca.display());
        let examination = examine_at(&fleet, &url);
        let problems = severity.map(|severity| ("certificate", severity));
        examination.has_only(problems.as_slice());
    }
}
