//! A member whose program has another version of an event.

use std::borrow::Cow;
use std::env;
use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

use schemars::generate::Contract;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use tidings::{Bus, Event};

use crate::fleet::{Fleet, NAMESPACE};
use crate::own_process::{end_with_parent, of_this_program};
use crate::support::Running;

/// The variable with the name of the member, its version, and its lease in milliseconds.
const MEMBER: &str = "TIDINGS_TEST_MEMBER";

/// The variable with the form of the field.
const FORM: &str = "TIDINGS_TEST_FORM";

/// A lease that does not end during a test.
pub(crate) const LONG: Duration = Duration::from_mins(5);

/// An event of all members of the tests.
#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event("fleet.checked")]
struct Checked {
    id: Id,
}

/// A number; another type in the program of another version.
#[derive(Serialize, Deserialize)]
struct Id(u64);

impl JsonSchema for Id {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let is_read = *generator.contract() == Contract::Deserialize;
        match env::var(FORM).as_deref() {
            Ok("text") => String::json_schema(generator),
            Ok("optional") if is_read => Option::<u64>::json_schema(generator),
            Ok(address) if address.contains(':') => {
                wait_for(address);
                String::json_schema(generator)
            }
            _ => u64::json_schema(generator),
        }
    }
}

/// Waits until the test closes this connection, or does not listen any more.
fn wait_for(address: &str) {
    if let Ok(mut test) = TcpStream::connect(address) {
        let _ = test.read_to_end(&mut Vec::new());
    }
}

/// Starts a member in a process of its own, and waits until it has joined. It dies with the test.
///
/// `form` is that of the field: `text`, `optional`, or as in this process. With an address, it is
/// `text`, and known as soon as nothing listens there.
pub(crate) fn start(
    fleet: &Fleet,
    name: &str,
    version: &str,
    form: &str,
    lease: Duration,
) -> Running {
    let mut command = of_this_program(fleet, "contract::member::process");
    let member = format!("{name} {version} {}", lease.as_millis());
    let running = Running::start(command.env(MEMBER, member).env(FORM, form));
    running.stdout.wait_for("joined");
    running
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process that other tests start"]
async fn process() {
    let Ok(member) = env::var(MEMBER) else {
        return;
    };
    end_with_parent();
    let mut words = member.split(' ');
    let mut next = || words.next().unwrap();
    let bus = Bus::builder(&env::var("TIDINGS_URL").unwrap())
        .namespace(NAMESPACE)
        .auto_register(false)
        .name(next())
        .version(next())
        .lease(Duration::from_millis(next().parse().unwrap()));
    let bus = bus.start().await.unwrap();
    bus.members().await.unwrap();
    println!("joined");
    std::future::pending::<()>().await;
}
