//! Handlers: the functions and types that can handle events, and the values that they can return.

pub(crate) mod collected;
pub(crate) mod context;
#[cfg_attr(not(feature = "schema"), path = "handler/contract/absent.rs")]
pub(crate) mod contract;
pub(crate) mod key;
pub(crate) mod runner;
pub(crate) mod stream;

use std::future::Future;

use serde::Serialize;

use crate::error::failure::HandlerError;
use crate::error::subscribe::MissingState;
use crate::handler::context::{Context, FromContext};

/// A function or a type that handles payloads of type `P`.
///
/// Handlers are async functions and closures of the payload and up to four further arguments
/// ([`Context`], [`State<T>`](crate::State), [`Bus`](crate::Bus)). They return nothing or a
/// `Result<A, E>`, whose `A` is the response to a [request](crate::Bus::request):
///
/// ```
/// # use tidings::prelude::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), HandlerError> {
/// # let bus = Bus::builder("memory:handler-docs").state(5_u32).start().await?;
/// bus.on("cache.clear", |key: String, State(limit): State<u32>, context: Context| async move {
///     println!("{} asks to drop {key}, of at most {limit}", context.sender());
/// })?;
/// # Ok(()) }
/// ```
///
/// A struct can be a handler, too. It responds with [`Context::respond`]:
///
/// ```
/// use tidings::prelude::*;
///
/// struct Mailer { from: String }
///
/// impl Handler<String> for Mailer {
///     async fn handle(&self, address: String, _context: &Context) -> Result<(), HandlerError> {
///         println!("a letter from {} to {address}", self.from);
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot handle `{P}`",
    label = "not a handler",
    note = "a handler is an `async fn`, or a closure that returns `async move {{ … }}`; after the payload it takes up to four of `Context`, `State<T>` with a `T: Clone`, `Bus`",
    note = "use `tidings::State`, and not the `State` of another crate, such as `axum::extract::State`",
    note = "the payload must own its data: `String` instead of `&str`",
    note = "it returns nothing or a `Result<A, E>`; if the type of the error cannot be inferred, write `Ok::<_, HandlerError>(())`",
    note = "values held across an `.await` must be `Send`: drop an `Rc` or a lock guard before it",
    note = "an `async |…|` closure must not capture anything: write `move |…| {{ let it = it.clone(); async move {{ … }} }}`",
    note = "on an `async fn`, `#[tidings::debug_handler]` points at what does not suit"
)]
pub trait Handler<P, Args = ()>: Send + Sync + 'static {
    /// Handles one event.
    ///
    /// # Errors
    ///
    /// When the handler fails. The error is reported as a [`Failure`](crate::Failure), and the next
    /// event is handled.
    fn handle(
        &self,
        payload: P,
        context: &Context,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send;

    /// Checks that the bus can provide the handler's arguments. It is called when the handler is
    /// registered.
    ///
    /// # Errors
    ///
    /// When a `State<T>` was not given to the builder.
    fn check(&self, bus: &crate::Bus) -> Result<(), MissingState> {
        let _ = bus;
        Ok(())
    }
}

/// A return value of a handler function: nothing, or a `Result<A, E>` whose `A` serde can serialize.
/// `A` is serialized and sent only as the response to a [request](crate::Bus::request).
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    note = "return nothing, or a `Result<A, E>` with a response that is `serde::Serialize` (`()` if there is none) and an error that is `Into<Box<dyn Error + Send + Sync>>`"
)]
pub trait Outcome {
    /// Converts the value into a result, and responds to a request with its value.
    ///
    /// # Errors
    ///
    /// When the handler failed, or its response cannot be serialized.
    fn into_result(self, context: &Context) -> Result<(), HandlerError>;
}

impl Outcome for () {
    fn into_result(self, _context: &Context) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl<A: Serialize, E: Into<HandlerError>> Outcome for Result<A, E> {
    fn into_result(self, context: &Context) -> Result<(), HandlerError> {
        let response = self.map_err(Into::into)?;
        context.respond(&response)?;
        Ok(())
    }
}

/// Marks the arguments of handlers that are functions.
///
/// It keeps the implementations below from overlapping with those of `Handler<P>` for structs.
#[derive(Debug)]
pub struct Function;

macro_rules! functions {
    ($(($($argument:ident),*))*) => { $(
        #[diagnostic::do_not_recommend]
        impl<F, Running, P, $($argument,)*> Handler<P, (Function, $($argument,)*)> for F
        where
            F: Fn(P, $($argument,)*) -> Running + Send + Sync + 'static,
            Running: Future<Output: Outcome> + Send,
            $($argument: FromContext,)*
        {
            fn handle(
                &self,
                payload: P,
                context: &Context,
            ) -> impl Future<Output = Result<(), HandlerError>> + Send {
                let running = self(payload, $($argument::from_context(context),)*);
                async move { running.await.into_result(context) }
            }

            fn check(&self, bus: &crate::Bus) -> Result<(), MissingState> {
                let _ = bus;
                $($argument::check(bus)?;)*
                Ok(())
            }
        }
    )* };
}

functions! { () (A) (A, B) (A, B, C) (A, B, C, D) }
