//! A service whose responses close their connections during the drain.

use std::pin::Pin;
use std::sync::Arc;
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

/// Makes a [`CloseOnDrain`] for each connection.
#[derive(Debug)]
pub(super) struct MakeCloseOnDrain<M> {
    make: M,
    draining: Arc<watch::Sender<bool>>,
    open_responses: Arc<watch::Sender<()>>,
}

impl<M> MakeCloseOnDrain<M> {
    /// Each response that leaves its connection open subscribes to `open_responses` until its end.
    pub(super) fn new(
        make: M,
        draining: Arc<watch::Sender<bool>>,
        open_responses: Arc<watch::Sender<()>>,
    ) -> Self {
        Self {
            make,
            draining,
            open_responses,
        }
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
            draining: Arc::clone(&self.draining),
            open_responses: Arc::clone(&self.open_responses),
        }
    }
}

#[derive(Debug)]
pub(super) struct MakeFuture<F> {
    service: Pin<Box<F>>,
    draining: Arc<watch::Sender<bool>>,
    open_responses: Arc<watch::Sender<()>>,
}

impl<F: Future<Output = Result<S, E>>, S, E> Future for MakeFuture<F> {
    type Output = Result<CloseOnDrain<S>, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let service = ready!(self.service.as_mut().poll(context));
        Poll::Ready(service.map(|service| CloseOnDrain {
            service,
            draining: Arc::clone(&self.draining),
            open_responses: Arc::clone(&self.open_responses),
        }))
    }
}

/// Adds `Connection: close` to responses during the drain. The server closes the connection after such a
/// response.
#[derive(Clone, Debug)]
pub(super) struct CloseOnDrain<S> {
    service: S,
    draining: Arc<watch::Sender<bool>>,
    open_responses: Arc<watch::Sender<()>>,
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
        let draining = Arc::clone(&self.draining);
        let open_responses = Arc::clone(&self.open_responses);
        let response = self.service.call(request);
        Box::pin(async move {
            let mut response = response.await?;
            // An upgrade uses the same header.
            if !has_header || response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(response);
            }
            // Subscribed first: the drain waits for every response that did not see it begin.
            let open = open_responses.subscribe();
            if *draining.borrow() {
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
