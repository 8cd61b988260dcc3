//! A Redis, its members in this process, and `tidings` with their address.

use std::fs;
use std::process::{Command, Output};

use tidings::{Bus, BusBuilder};
use tidings_testkit::{Redis, RedisBuilder};

use crate::schema;
use crate::support::{Sandbox, text};

/// The password of the users of a test.
pub(crate) const PASSWORD: &str = "hush-hush";

/// The namespace of the members.
pub(crate) const NAMESPACE: &str = "shop";

pub(crate) struct Fleet {
    pub(crate) redis: Redis,
    pub(crate) sandbox: Sandbox,
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        Self::start_with(|redis| redis).await
    }

    pub(crate) async fn start_with(describe: impl FnOnce(RedisBuilder) -> RedisBuilder) -> Self {
        Self {
            redis: describe(Redis::builder()).start().await,
            sandbox: Sandbox::new(),
        }
    }

    pub(crate) async fn member(&self, name: &str) -> Bus {
        self.member_with(name, |builder| builder).await
    }

    pub(crate) fn builder(&self, name: &str) -> BusBuilder {
        let builder = Bus::builder(&self.redis.url()).namespace(NAMESPACE);
        builder.name(name).auto_register(false)
    }

    /// Starts a member, and waits until others see it.
    pub(crate) async fn member_with(
        &self,
        name: &str,
        describe: impl FnOnce(BusBuilder) -> BusBuilder,
    ) -> Bus {
        let bus = describe(self.builder(name));
        let bus = bus.start().await.unwrap();
        let members = bus.members().await.unwrap();
        assert!(members.iter().any(|member| member.id == bus.id()));
        bus
    }

    /// `tidings` in the directory of the sandbox, with the address and the namespace.
    pub(crate) fn command(&self) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_tidings"))
    }

    /// Any program, with the directory and the environment of `tidings`.
    pub(crate) fn command_of(&self, program: &str) -> Command {
        let mut command = self.sandbox.command_of(program);
        command
            .current_dir(self.sandbox.directory.path())
            .env("TIDINGS_URL", self.redis.url())
            .env("TIDINGS_NAMESPACE", NAMESPACE);
        command
    }

    pub(crate) fn tidings(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Runs `tidings`, and returns its standard output and its exit code.
    pub(crate) fn answer(&self, arguments: &[&str]) -> (String, i32) {
        let output = self.tidings(arguments);
        (text(&output.stdout), output.status.code().unwrap())
    }

    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.tidings(arguments);
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        text(&output.stdout)
    }

    /// Runs `tidings`, and returns its standard error and its exit code.
    pub(crate) fn fail(&self, arguments: &[&str]) -> (String, i32) {
        let output = self.tidings(arguments);
        (text(&output.stderr), output.status.code().unwrap())
    }

    /// Runs `tidings --json`, and returns the objects of its lines, which are valid.
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<serde_json::Value> {
        let objects = objects(&self.succeed(&[arguments, &["--json"]].concat()));
        for object in &objects {
            schema::check(arguments[0], object);
        }
        objects
    }

    /// Writes a file of the user or the project.
    pub(crate) fn write(&self, path: &str, text: &str) {
        write_in(&self.sandbox, path, text);
    }
}

/// Writes a file of the user or the project.
pub(crate) fn write_in(sandbox: &Sandbox, path: &str, text: &str) {
    let path = sandbox.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Starts a member that stays in the list and does not run any more.
pub(crate) fn stuck(builder: BusBuilder) {
    let (start, started) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _bus = runtime.block_on(async {
            let bus = builder.start().await.unwrap();
            bus.members().await.unwrap();
            bus
        });
        start.send(()).unwrap();
        // Nothing polls its tasks.
        loop {
            std::thread::park();
        }
    });
    started.recv().unwrap();
}

/// Parses one object per line.
pub(crate) fn objects(lines: &str) -> Vec<serde_json::Value> {
    let objects = lines.lines().map(|line| {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["v"], 1, "{line}");
        object
    });
    objects.collect()
}
