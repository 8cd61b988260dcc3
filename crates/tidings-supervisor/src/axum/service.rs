//! A service whose answers close their connections during the drain.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::axum::extract::Request;
use ::axum::http::header::CONNECTION;
use ::axum::http::{HeaderValue, Version};
use ::axum::response::Response;
use tokio::sync::watch;
use tower_service::Service;

/// Makes a [`Closing`] for each connection.
#[derive(Debug)]
pub(super) struct MakeClosing<M> {
    make: M,
    draining: Arc<watch::Sender<bool>>,
}

impl<M> MakeClosing<M> {
    pub(super) fn new(make: M, draining: Arc<watch::Sender<bool>>) -> Self {
        Self { make, draining }
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
        }
    }
}

#[derive(Debug)]
pub(super) struct Making<F> {
    service: Pin<Box<F>>,
    draining: Arc<watch::Sender<bool>>,
}

impl<F: Future<Output = Result<S, E>>, S, E> Future for Making<F> {
    type Output = Result<Closing<S>, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let service = ready!(self.service.as_mut().poll(context));
        let draining = Arc::clone(&self.draining);
        Poll::Ready(service.map(|service| Closing { service, draining }))
    }
}

/// The server closes a connection behind an answer with `Connection: close`.
#[derive(Clone, Debug)]
pub(super) struct Closing<S> {
    service: S,
    draining: Arc<watch::Sender<bool>>,
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
        let answer = self.service.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            if has_header && *draining.borrow() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok(response)
        })
    }
}
