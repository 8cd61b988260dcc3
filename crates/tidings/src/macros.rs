//! The macros of `tidings-macros`, with their documentation.
//!
//! It is here, and not there, because its examples are tests: what a macro crate is tested with, cargo
//! builds a second time, for the compiler, and that would be tidings with redis and tokio. The example
//! with handlers is a program of its own: in one with the others, their buses would find them.

/// Makes a type an event: a name on the wire, and a payload that serde writes and reads.
///
/// # A struct
///
/// is one event, and its own payload, so it also derives serde's `Serialize` and `Deserialize`. Its
/// name is what `#[event("…")]` says, or else the type's name in snake case: `UserRenamed` is
/// `user_renamed`. Other processes know the event by this name, so keep it when the type is renamed.
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
/// # An enum
///
/// is a closed set of events, for one handler with an exhaustive `match`. It needs no serde derive.
///
/// | variant | travels as |
/// |---|---|
/// | `Renamed(UserRenamed)` | the event (or the enum of events) that it holds, under its own name |
/// | `#[event("…")] Clear(Key)` | that name, with the `Key` as its payload: any serde type |
/// | `Deleted { id: u64 }`, `Moved(u64, u64)` | its name, with the fields as its payload |
/// | `Reloaded` | its name, with no payload |
/// | `#[event(other)] Other(Unknown)` | every event that nobody else on this bus hears; at most once |
///
/// A variant's name is what `#[event("…")]` says, or else the enum's name, a dot and the variant's
/// name: `Account::Reloaded` is `account.reloaded`. `#[event("…")]` on the enum says what stands
/// before the dot instead.
///
/// Serde's attributes keep their meaning on the fields of variants, as do `rename_all` and
/// `deny_unknown_fields` on a variant with fields. Other serde attributes on variants and on the
/// enum are left to serde's own derives, should the enum have them too.
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
/// have 1 to 128 characters of `A-Z a-z 0-9 . _ : -`; the compiler checks them, and that no two
/// variants of an enum share one. Where two types claim one name, registering the second handler is
/// an error.
///
/// # What cannot be an event
///
/// Unions, enums without variants, and types with generics or lifetimes: an event has one name and
/// one payload type, and owns what it holds.
pub use tidings_macros::Event;

/// Makes a function a handler on every bus of the program, wherever the function is linked in.
///
/// `#[tidings::on]` hears the events of the function's first argument, as `bus.subscribe` does.
/// `#[tidings::on("a.name")]` hears that name, and takes any serde type, as `bus.on` does. The
/// function stays what it is, and can be called.
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
///     println!("{} says: hello, {}", context.sender_or_stranger(), renamed.name);
///     Ok(())
/// }
///
/// #[tidings::on("cache.clear")]
/// async fn clear(key: String, State(limit): State<u32>) {
///     println!("drop {key}, of at most {limit}");
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bus = Bus::builder("memory:on-macro").state(10_u32).start().await?;
/// bus.publish(&UserRenamed { id: 7, name: "Ada".into() }).await?;
/// bus.send_to_all("cache.clear", "user:7").await?;
/// # Ok(())
/// # }
/// ```
///
/// A handler is an `async fn` of the payload and up to four of `Context`, `State<T>` and `Bus`. It
/// owns what it takes, has no generics and no `self`, and returns nothing or a `Result<A, E>`. A
/// bus that lacks a `State<T>` that some handler asks for does not start.
///
/// # Which handlers are found
///
/// Those of every crate that is linked in. A crate that is declared in `Cargo.toml` and never named
/// in code is not: `use my_handlers as _;` names it. The start logs each handler that was found.
/// `Builder::without_collected` leaves all of them out.
pub use tidings_macros::on;

/// Makes the compiler say which argument of a handler is wrong.
///
/// The error of a function that is no handler tells only the rules: the compiler does not know which
/// of them is broken. With this attribute each type is looked at by itself, and the error points at
/// it: a payload that serde cannot read, a `State` of another crate, an outcome that is no result, a
/// future that is not `Send`. The function stays as it is, and nothing is added to the program.
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
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let bus = Bus::builder("memory:debug-handler").state(10_u32).start().await?;
/// bus.on("cache.clear", clear)?;
/// # Ok(())
/// # }
/// ```
///
/// It is for functions without generics and without `self`. `#[tidings::on]` points at the argument by
/// itself.
pub use tidings_macros::debug_handler;
