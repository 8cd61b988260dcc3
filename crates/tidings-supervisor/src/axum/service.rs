//! A service whose answers close their connections during the drain.

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

/// Makes a [`Closing`] for each connection.
#[derive(Debug)]
pub(super) struct MakeClosing<M> {
    make: M,
    draining: Arc<watch::Sender<bool>>,
    open_answers: Arc<watch::Sender<()>>,
}

impl<M> MakeClosing<M> {
    /// Each answer that leaves its connection open subscribes to `open_answers` until its end.
    pub(super) fn new(
        make: M,
        draining: Arc<watch::Sender<bool>>,
        open_answers: Arc<watch::Sender<()>>,
    ) -> Self {
        Self {
            make,
            draining,
            open_answers,
        }
    }
}

impl<M: Service<T>, T> Service<T> for MakeClosing<M> {
    type Response = Closing<M::Response>;
    type Error = M::Error;
    type Future = Making<M::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        self.make.poll_ready(context)
    }

    fn call(&mut self, connection: T) -> Self::Future {
        Making {
            service: Box::pin(self.make.call(connection)),
            draining: Arc::clone(&self.draining),
            open_answers: Arc::clone(&self.open_answers),
        }
    }
}

#[derive(Debug)]
pub(super) struct Making<F> {
    service: Pin<Box<F>>,
    draining: Arc<watch::Sender<bool>>,
    open_answers: Arc<watch::Sender<()>>,
}

impl<F: Future<Output = Result<S, E>>, S, E> Future for Making<F> {
    type Output = Result<Closing<S>, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let service = ready!(self.service.as_mut().poll(context));
        Poll::Ready(service.map(|service| Closing {
            service,
            draining: Arc::clone(&self.draining),
            open_answers: Arc::clone(&self.open_answers),
        }))
    }
}

/// The server closes a connection behind an answer with `Connection: close`.
#[derive(Clone, Debug)]
pub(super) struct Closing<S> {
    service: S,
    draining: Arc<watch::Sender<bool>>,
    open_answers: Arc<watch::Sender<()>>,
}

impl<S> Service<Request> for Closing<S>
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
        // HTTP/2 has no such header; there the graceful shutdown tells the client.
        let has_header = request.version() < Version::HTTP_2;
        let draining = Arc::clone(&self.draining);
        let open_answers = Arc::clone(&self.open_answers);
        let answer = self.service.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            // The upgrade of a connection is said by the same header.
            if !has_header || response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(response);
            }
            // In this order: the drain waits for all that saw that it had not begun.
            let open = open_answers.subscribe();
            if *draining.borrow() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
                return Ok(response);
            }
            Ok(response.map(|body| Body::new(Open { body, _open: open })))
        })
    }
}

/// The body of an answer behind which the connection stays open.
struct Open {
    body: Body,
    _open: watch::Receiver<()>,
}

impl HttpBody for Open {
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
