//! The macros of `tidings-macros`, with their documentation.
//!
//! The documentation is here because its examples are tests. Tests of a macro crate would make
//! cargo build tidings, redis and tokio a second time for the compiler's host. The example with
//! registered handlers is a program of its own: otherwise the buses of the other examples would
//! register them.

pub(crate) mod support;
#[cfg_attr(not(feature = "schema"), path = "macros/with_schema/absent.rs")]
mod with_schema;

/// Derives [`Event`](trait@crate::Event): gives a type a name on the wire and a payload that serde writes and reads.
///
/// # Structs
///
/// A struct is one event and its own payload, so it also derives serde's `Serialize` and
/// `Deserialize`. `#[event("…")]` sets its name; the default is the type's name in snake case:
/// `UserRenamed` is `user_renamed`. Other processes know the event by this name, so keep it when
/// you rename the type.
///
/// ```
/// use tidings::prelude::*;
///
/// #[derive(Debug, Serialize, Deserialize, Event)]
/// #[event("user.renamed")]
/// struct UserRenamed { id: u64, name: String }
///
/// assert_eq!(UserRenamed { id: 7, name: "Ada".into() }.name(), "user.renamed");
/// ```
///
/// # Enums
///
/// An enum is a closed set of events, for one handler with an exhaustive `match`. It needs no serde
/// derive.
///
/// | variant | sent as |
/// |---|---|
/// | `Renamed(UserRenamed)` | the event (or the enum of events) that it holds, under its own name |
/// | `#[event("…")] Clear(Key)` | that name, with the `Key` as its payload: any serde type |
/// | `Deleted { id: u64 }`, `Moved(u64, u64)` | its name, with the fields as its payload |
/// | `Reloaded` | its name, with no payload |
/// | `#[event(other)] Other(Unknown)` | events without another handler on this bus; at most one variant |
///
/// `#[event("…")]` sets the name of a variant. The default is the enum's name, a dot and the
/// variant's name: `Account::Reloaded` is `account.reloaded`. `#[event("…")]` on the enum replaces
/// the part before the dot.
///
/// Serde's attributes keep their meaning on the fields of variants, as do `rename_all` and
/// `deny_unknown_fields` on a variant with fields. Other serde attributes on variants and on the
/// enum are left to serde's own derives, if the enum has them too.
///
/// ```
/// use tidings::prelude::*;
/// # #[derive(Debug, Serialize, Deserialize, Event)]
/// # #[event("user.renamed")]
/// # struct UserRenamed { id: u64, name: String }
///
/// #[derive(Debug, Event)]
/// #[event("user")]
/// enum Account {
///     Renamed(UserRenamed),
///     Deleted { id: u64, #[serde(default)] reason: Option<String> },
///     #[event("users.reloaded")]
///     Reloaded,
///     #[event(other)]
///     Other(Unknown),
/// }
///
/// assert_eq!(Account::Deleted { id: 7, reason: None }.name(), "user.deleted");
/// assert_eq!(Account::Reloaded.name(), "users.reloaded");
/// ```
///
/// # Names
///
/// A name has 1 to 128 characters of `A-Z a-z 0-9 . _ : -`. The compiler checks this, and that no
/// two variants of an enum have the same name. If two types use one name, registering the second
/// handler is an error.
///
/// # Options for the contract
///
/// Further arguments are for the [contract](crate#features) of a program, which the feature `schema`
/// collects. Without it they have no effect.
///
/// | argument | meaning |
/// |---|---|
/// | `since = "1.2"` | the version that added the event |
/// | `opaque` | the payload has no schema, on purpose |
/// | `alias("name", "title")` | readers accept the field `name` also as `title`; `#[serde(alias)]` on the event's own fields is seen without it |
///
/// With the feature, a payload that implements `schemars::JsonSchema` is listed with its schema, and
/// any other without one. The fields of a variant need no derive; `#[schemars(…)]` on them has its
/// meaning.
///
/// ```
/// use tidings::prelude::*;
///
/// #[derive(Debug, Serialize, Deserialize, Event)]
/// #[event("user.renamed", since = "1.2", alias("name", "title"))]
/// struct UserRenamed { id: u64, name: String }
///
/// #[derive(Debug, Event)]
/// enum Account {
///     #[event("account.imported", since = "1.4", opaque)]
///     Imported(std::path::PathBuf),
///     #[event(since = "1.4")]
///     Deleted { id: u64 },
/// }
/// # assert_eq!(Account::Deleted { id: 7 }.name(), "account.deleted");
/// ```
///
/// # Unsupported types
///
/// Unions, enums without variants, and types with generics or lifetimes cannot be events: an event
/// has one name and one payload type, and owns its data.
pub use tidings_macros::Event;

/// Registers a function as a handler on every bus of the program that links it.
///
/// `#[tidings::on]` handles the events of the function's first argument, as `bus.subscribe` does.
/// `#[tidings::on("a.name")]` handles the events with that name and takes any serde type, as
/// `bus.on` does. The function itself is unchanged and can be called.
///
/// ```standalone_crate
/// use tidings::prelude::*;
///
/// #[derive(Debug, Serialize, Deserialize, Event)]
/// #[event("user.renamed")]
/// struct UserRenamed { id: u64, name: String }
///
/// #[tidings::on]
/// async fn greet(renamed: UserRenamed, context: Context) -> Result<(), std::io::Error> {
///     println!("{} renamed {}", context.sender(), renamed.name);
///     Ok(())
/// }
///
/// #[tidings::on("cache.clear")]
/// async fn clear(key: String, State(limit): State<u32>) {
///     println!("drop {key}, of at most {limit}");
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// let bus = Bus::builder("memory:on-macro").state(10_u32).start().await?;
/// bus.publish(&UserRenamed { id: 7, name: "Ada".into() }).await?;
/// bus.send_to_all("cache.clear", "user:7").await?;
/// # Ok(()) }
/// ```
///
/// A handler is an `async fn` of the payload and up to four of `Context`, `State<T>` and `Bus`. It
/// owns its arguments, has no generics and no `self`, and returns nothing or a `Result<A, E>`. A
/// bus without a `State<T>` that one of these handlers needs does not start.
///
/// # Linked crates
///
/// Handlers of every linked crate are registered. A crate that is declared in `Cargo.toml` but
/// never named in code is not linked: name it with `use my_handlers as _;`. The start logs each
/// handler that it registers. `BusBuilder::auto_register` turns the registration off.
pub use tidings_macros::on;

/// Improves the compiler error of a function that is not a valid handler.
///
/// Without it, the error lists all rules, because the compiler does not know which one is broken.
/// With this attribute each type is checked separately, and the error points at the cause: a
/// payload that serde cannot read, a `State` of another crate, a return type that is not a
/// `Result`, a future that is not `Send`. The function is unchanged, and no code is added to the
/// program.
///
/// ```
/// use tidings::prelude::*;
///
/// #[tidings::debug_handler]
/// async fn clear(key: String, State(limit): State<u32>) -> Result<(), HandlerError> {
///     println!("drop {key}, of at most {limit}");
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// # let bus = Bus::builder("memory:debug-handler").state(10_u32).start().await?;
/// bus.on("cache.clear", clear)?;
/// # Ok(()) }
/// ```
///
/// The attribute is for functions without generics and without `self`. `#[tidings::on]` includes
/// these checks.
pub use tidings_macros::debug_handler;

/// Declares the type of a [shared value](crate::Shared) for the [contract](crate#features) of the
/// program, which the feature `schema` collects. Nothing else changes.
///
/// The type is a struct, an enum or an alias. `since` and `opaque` are as on an event. A shared value is
/// written and read by all processes, so a change of its type must suit old and new ones in both
/// directions.
///
/// ```
/// use tidings::prelude::*;
///
/// #[tidings::shared("limits", since = "1.2")]
/// #[derive(Serialize, Deserialize)]
/// struct Limits { per_minute: u32 }
///
/// #[tidings::shared("leader")]
/// type Leader = String;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// let bus = Bus::builder("memory:shared-macro").start().await?;
/// let limits = bus.shared::<Limits>("limits")?;
/// limits.set(&Limits { per_minute: 60 }).await?;
/// bus.shared::<Leader>("leader")?.set(&"api-3".to_owned()).await?;
/// # Ok(()) }
/// ```
pub use tidings_macros::shared;

/// Declares the type of the values of a [map](crate::SharedMap) for the [contract](crate#features) of
/// the program, as [`shared`](macro@crate::shared) does for a value.
///
/// ```
/// use tidings::prelude::*;
///
/// #[tidings::map("users")]
/// #[derive(Serialize, Deserialize)]
/// struct User { name: String }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// let bus = Bus::builder("memory:map-macro").start().await?;
/// let users = bus.map::<u64, User>("users")?;
/// users.set(&7, &User { name: "Ada".into() }).await?;
/// # Ok(()) }
/// ```
pub use tidings_macros::map;

/// Declares a [counter](crate::Counter) for the [contract](crate#features) of the program. `since` is
/// as on an event.
///
/// ```
/// use tidings::prelude::*;
///
/// tidings::counter!("visits", since = "1.2");
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// let bus = Bus::builder("memory:counter-macro").start().await?;
/// bus.counter("visits")?.add(1).await?;
/// # Ok(()) }
/// ```
pub use tidings_macros::counter;
