//! A service whose responses close their connections during the drain.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::axum::Error;
use ::axum::body::{Body, Bytes, HttpBody};
use ::axum::extract::Request;
use ::axum::http::header::CONNECTION;
use ::axum::http::{HeaderValue, StatusCode, Version};
use ::axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio::sync::watch;
use tower_service::Service;

use super::drain::Drain;

/// Makes a [`CloseOnDrain`] for each connection.
#[derive(Debug)]
pub(super) struct MakeCloseOnDrain<M> {
    make: M,
    drain: Drain,
}

impl<M> MakeCloseOnDrain<M> {
    pub(super) fn new(make: M, drain: Drain) -> Self {
        Self { make, drain }
    }
}

impl<M: Service<T>, T> Service<T> for MakeCloseOnDrain<M> {
    type Response = CloseOnDrain<M::Response>;
    type Error = M::Error;
    type Future = MakeFuture<M::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        self.make.poll_ready(context)
    }

    fn call(&mut self, connection: T) -> Self::Future {
        MakeFuture {
            service: Box::pin(self.make.call(connection)),
            drain: self.drain.clone(),
        }
    }
}

#[derive(Debug)]
pub(super) struct MakeFuture<F> {
    service: Pin<Box<F>>,
    drain: Drain,
}

impl<F: Future<Output = Result<S, E>>, S, E> Future for MakeFuture<F> {
    type Output = Result<CloseOnDrain<S>, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let service = ready!(self.service.as_mut().poll(context));
        Poll::Ready(service.map(|service| CloseOnDrain {
            service,
            drain: self.drain.clone(),
        }))
    }
}

/// Adds `Connection: close` to responses during the drain. The server closes the connection after such a
/// response.
#[derive(Clone, Debug)]
pub(super) struct CloseOnDrain<S> {
    service: S,
    drain: Drain,
}

impl<S> Service<Request> for CloseOnDrain<S>
where
    S: Service<Request, Response = Response>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // HTTP/2 has no such header: the graceful shutdown sends GOAWAY.
        let has_header = request.version() < Version::HTTP_2;
        let drain = self.drain.clone();
        let response = self.service.call(request);
        Box::pin(async move {
            let mut response = response.await?;
            // An upgrade uses the same header.
            if !has_header || response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(response);
            }
            // Subscribed first: the drain waits for every response that did not see it begin.
            let open = drain.open_responses.subscribe();
            if *drain.has_begun.borrow() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
                return Ok(response);
            }
            Ok(response.map(|body| Body::new(OpenBody { body, _open: open })))
        })
    }
}

/// The body of a response that leaves its connection open.
struct OpenBody {
    body: Body,
    _open: watch::Receiver<()>,
}

impl HttpBody for OpenBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
