//! The commands on a master with sentinels, on a Redis Cluster and over TLS, as a user who has exactly
//! the permissions that `tidings acl` prints. The password is in a file.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};
use std::thread;

use rustix::process::Signal;
use serde_json::json;
use tidings::{Bus, HandlerError};
use tidings_testkit::{Cluster, Redis, Sentinels};

use crate::every::{COMMANDS, member_with};
use crate::fleet::{NAMESPACE, PASSWORD, write_in};
use crate::support::{Running, Sandbox, text};

/// Commands that need the permissions of an administrator.
const OF_ADMINISTRATORS: [&str; 3] = ["servers", "doctor", "failover"];

/// The directory of the commands, with a context that has the address.
struct Place {
    sandbox: Sandbox,
    /// The address of members, with the password of the default user.
    url: String,
}

/// Returns the rules of the user `shop`, as `tidings acl` prints them, and the channels of `bench`.
fn rules(more: &[&str]) -> String {
    let acl = ["acl", "--user", "shop", "-n", NAMESPACE, "--json"];
    let parts = ["--members", "--share", "--count", "--journal", "--durable"];
    let output = Sandbox::new().succeed(&[&acl[..], &parts, more].concat());
    let object: serde_json::Value = serde_json::from_str(&output).unwrap();
    let rules = object["rules"].as_str().unwrap();
    format!("shop on >{PASSWORD} {rules} &tidings:{{bench-*}}")
}

impl Place {
    fn new(url: String) -> Self {
        let sandbox = Sandbox::new();
        write_in(&sandbox, "password", PASSWORD);
        let password = sandbox.path("password");
        set_permissions(&password, Permissions::from_mode(0o600)).unwrap();
        let address = url.replace(&format!(":{PASSWORD}@"), "shop@");
        assert!(!address.contains(PASSWORD));
        let context = format!(
            "context = \"there\"\n[contexts.there]\nurl = \"{address}\"\nnamespace = \"{NAMESPACE}\"\n\
             password_file = \"{}\"\n",
            password.display()
        );
        write_in(&sandbox, ".config/tidings/config.toml", &context);
        Self { sandbox, url }
    }

    fn command(&self) -> Command {
        let mut command = self.sandbox.command();
        command.current_dir(self.sandbox.directory.path());
        command
    }

    fn tidings(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.tidings(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        text(&output.stdout)
    }

    /// Uses each command, and checks what it prints.
    async fn session(&self) {
        let builder = Bus::builder(&self.url).namespace(NAMESPACE).name("api-1");
        let count = |name: String| async move { Ok::<_, HandlerError>(name.len()) };
        let bus = member_with(builder.on("stock.count", count)).await;
        self.every_command();
        self.events(&bus).await;
        self.state();
        self.fleet();
    }

    fn every_command(&self) {
        thread::scope(|scope| {
            let is_of_users = |it: &&&[&str]| !OF_ADMINISTRATORS.contains(&it[0]);
            for arguments in COMMANDS.iter().filter(is_of_users) {
                scope.spawn(move || {
                    let output = self.tidings(arguments);
                    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
                    assert!(!text(&output.stdout).contains(PASSWORD), "{arguments:?}");
                });
            }
        });
    }

    async fn events(&self, bus: &Bus) {
        let mut listening = Running::start(self.command().args(["listen", "user.*"]));
        listening.stderr.wait_for("listening to shop at redis");
        bus.send_to_all("user.renamed", &json!({ "id": 7 }))
            .await
            .unwrap();
        self.succeed(&["send", "user.deleted", "id:=9", "--force"]);
        let renamed = listening.stdout.wait_for("user.renamed");
        assert!(
            renamed.ends_with("  api-1  user.renamed  {\"id\":7}"),
            "{renamed}"
        );
        listening.stdout.wait_for("user.deleted  {\"id\":9}");
        listening.signal(Signal::INT);
        assert_eq!(listening.code(), 0);
        assert!(
            listening
                .stderr
                .wait_for("2 events of 2 nodes")
                .contains("none missed")
        );
        let sent = self.succeed(&["send", "tick", "--ack"]);
        assert!(sent.ends_with("\n1 handled\n"), "{sent}");
        let response = self.succeed(&["request", "stock.count", "--text", "apples"]);
        assert!(response.starts_with("api-1  6  "), "{response}");
    }

    fn state(&self) {
        self.succeed(&["state", "set", "rates", "per_minute:=60"]);
        let value = self.succeed(&["state", "get", "rates", "--json"]);
        assert!(value.contains("{\"per_minute\":60}"), "{value}");
        self.succeed(&["map", "set", "people", "7", "name=Ada"]);
        let entries = self.succeed(&["map", "ls", "people"]);
        assert!(entries.contains("Ada"), "{entries}");
        self.succeed(&["counter", "add", "starts", "5"]);
        assert_eq!(self.succeed(&["counter", "get", "starts"]), "5\n");
    }

    fn fleet(&self) {
        let members = self.succeed(&["members"]);
        let member = members.lines().nth(1).unwrap();
        assert!(
            member.starts_with("api-1 ") && member.contains("  yes  "),
            "{members}"
        );
        let detail = self.succeed(&["members", "api-1"]);
        assert!(detail.contains("stock.count ("), "{detail}");
        let info = self.succeed(&["journal", "info"]);
        assert!(info.contains("entries  "), "{info}");
        let positions = self.tidings(&["journal", "positions"]);
        assert!(positions.status.success(), "{positions:?}");
        let trim = ["journal", "trim", "--older-than", "1h", "--yes"];
        assert!(self.succeed(&trim).contains("the journal "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_works_on_a_master_with_sentinels() {
    let rules = rules(&["--role"]);
    let servers = |server: tidings_testkit::RedisBuilder| server.password(PASSWORD).user(&rules);
    let sentinels = Sentinels::builder().servers(servers).start().await;
    Place::new(sentinels.url()).session().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_works_on_a_redis_cluster() {
    let rules = rules(&["--cluster"]);
    let servers = |server: tidings_testkit::RedisBuilder| server.password(PASSWORD).user(&rules);
    let cluster = Cluster::builder().servers(servers).start().await;
    Place::new(cluster.url()).session().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_works_over_tls() {
    let redis = Redis::builder().tls().password(PASSWORD);
    let redis = redis.user(rules(&["--role"])).start().await;
    let url = format!("{}?ca={}", redis.tls_url(), redis.ca_file().display());
    Place::new(url).session().await;
}
