//! Which functions can receive events, and what they may return.

pub(crate) mod collected;
pub(crate) mod context;
pub(crate) mod key;
pub(crate) mod runner;
pub(crate) mod stream;

use std::future::Future;

use serde::Serialize;

use crate::error::failure::HandlerError;
use crate::error::subscribe::MissingState;
use crate::handler::context::{Context, FromContext};

/// Something that handles a payload of type `P`.
///
/// Async functions and closures of the payload and up to four things taken from the context
/// ([`Context`], [`State<T>`](crate::State), [`Bus`](crate::Bus)) are handlers; they return nothing
/// or a `Result<A, E>`, whose `A` is the answer where somebody [asked](crate::Bus::request_all):
///
/// ```
/// # use tidings::prelude::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let bus = Bus::builder("memory:handler-docs").state(5_u32).start().await?;
/// bus.on("cache.clear", |key: String, State(limit): State<u32>, context: Context| async move {
///     println!("{} asks to drop {key}, of at most {limit}", context.sender());
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// A struct can be one too; it answers with [`Context::respond`]:
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
    /// Whatever the handler fails with; it is reported as a [`Failure`](crate::Failure), and the
    /// next event is handled.
    fn handle(
        &self,
        payload: P,
        context: &Context,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send;

    /// Whether everything that this handler will ask for is there; asked once, when it is
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

/// What a handler function may return: nothing, or a `Result<A, E>` whose `A` serde can write. It
/// is written, and sent, only to somebody who [asked](crate::Bus::request_all).
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    note = "return nothing, or a `Result<A, E>` with a response that is `serde::Serialize` (`()` if there is none) and an error that is `Into<Box<dyn Error + Send + Sync>>`"
)]
pub trait Outcome {
    /// As a result; an answer is given to whoever asked.
    ///
    /// # Errors
    ///
    /// What the handler failed with, or why its answer cannot be written.
    fn into_result(self, context: &Context) -> Result<(), HandlerError>;
}

impl Outcome for () {
    fn into_result(self, _context: &Context) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl<A: Serialize, E: Into<HandlerError>> Outcome for Result<A, E> {
    fn into_result(self, context: &Context) -> Result<(), HandlerError> {
        let answer = self.map_err(Into::into)?;
        context.respond(&answer)?;
        Ok(())
    }
}

/// Marks the arguments of handlers that are functions.
///
/// It keeps the implementations below from colliding with `Handler<P>` on somebody's struct.
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
