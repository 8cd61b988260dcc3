//! A request to one member returns its response, or an error that says why there is none.

use std::time::Duration;

use tidings::prelude::*;
use tidings::{NodeId, RequestError, ResponseError, SendError};
use tidings_testkit::{Collected, Node};

use crate::place::Place;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

/// Starts a member that responds to `stock` with a number, and collects the requests.
async fn stock(place: &Place, role: &str, count: u32) -> (Node, Collected<String>) {
    let requests = Collected::default();
    let push = requests.clone();
    let respond = move |fruit: String| {
        push.push(fruit);
        async move { Ok::<_, HandlerError>(count) }
    };
    let node = Node::start(place.builder().role(role).on("stock", respond)).await;
    (node, requests)
}

pub(crate) async fn the_addressed_member_alone_responds(place: Place) {
    let (a, requests_of_a) = stock(&place, "stock", 1).await;
    let (b, _) = stock(&place, "stock", 2).await;

    let request = a
        .request::<u32, _, _>(b.id(), "stock", "apples")
        .timeout(LONG);
    let response = request.await.unwrap();

    assert_eq!(response.responder.node, b.id());
    assert_eq!(response.value.unwrap(), 2);
    assert!(requests_of_a.all().is_empty());
}

pub(crate) async fn a_member_with_the_role_responds(place: Place) {
    let (a, requests_of_a) = stock(&place, "shop", 1).await;
    let (b, requests_of_b) = stock(&place, "stock", 2).await;
    let (c, requests_of_c) = stock(&place, "stock", 2).await;

    for _ in 0..5 {
        let request = a
            .request_role::<u32, _, _>("stock", "stock", "apples")
            .timeout(LONG);
        let response = request.await.unwrap();
        assert!([b.id(), c.id()].contains(&response.responder.node));
        assert_eq!(response.value.unwrap(), 2);
    }
    assert!(requests_of_a.all().is_empty());
    assert_eq!(requests_of_b.all().len() + requests_of_c.all().len(), 5);
}

pub(crate) async fn a_request_to_nobody_is_an_error(place: Place) {
    let (a, _) = stock(&place, "stock", 1).await;
    let to_node = a
        .request::<u32, _, _>(NodeId::new(7), "stock", "apples")
        .await;
    let to_role = a
        .request_role::<u32, _, _>("mailer", "stock", "apples")
        .await;
    for response in [to_node, to_role] {
        let Err(RequestError::Send(SendError::Nobody { .. })) = response else {
            panic!("{response:?}")
        };
    }
}

pub(crate) async fn a_failed_handler_is_an_error_of_the_response(place: Place) {
    let (a, _) = stock(&place, "stock", 1).await;
    a.on("fail", |(): ()| async { Err::<u32, _>("no apples") })
        .unwrap();
    for (event, error) in [("fail", "no apples"), ("unknown", "")] {
        let response = a.request::<u32, _, _>(a.id(), event, &()).await.unwrap();
        match response.value {
            Err(ResponseError::Failed { text }) => assert_eq!(text, error),
            Err(ResponseError::NoHandler) => assert_eq!(event, "unknown"),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn a_member_that_does_not_respond_or_leaves_is_an_error(place: Place) {
    let (a, _) = stock(&place, "stock", 1).await;
    let silent = Node::start(place.builder()).await;
    let requests: Collected<u32> = Collected::default();
    let push = requests.clone();
    let never = move |request: u32| {
        push.push(request);
        std::future::pending::<Result<u32, HandlerError>>()
    };
    silent.on("never", never).unwrap();

    let request = a.request::<u32, _, _>(silent.id(), "never", &1);
    let Err(RequestError::TimedOut {
        event,
        node,
        timeout,
    }) = request.timeout(SHORT).await
    else {
        panic!("a handler that never ends has responded")
    };
    assert_eq!((&*event, node, timeout), ("never", silent.id(), SHORT));

    let id = silent.id();
    let request = a.request::<u32, _, _>(id, "never", &2).timeout(LONG);
    let end = async {
        requests.wait_for_len(1).await;
        let _ = silent.shutdown(SHORT).await;
    };
    let (response, ()) = tokio::join!(request.into_future(), end);
    match response {
        Err(RequestError::Left { node, .. }) => assert_eq!(node, id),
        // The bus may still say that it did not handle the event.
        Ok(response) => assert!(response.value.is_err()),
        other => panic!("{other:?}"),
    }
}
