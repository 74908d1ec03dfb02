//! Accepting connections and serving HTTP/1.1 on them, until the program ends.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;
use tower::ServiceExt;

use super::listener::{Bytes as Stream, Listener};
use super::register::{Place, Register, UnderWay};
use super::stream::Timed;
use crate::events;

/// A client sends its headers within this time, or is dropped; also between two requests.
const HEADERS: Duration = Duration::from_secs(10);
/// A client that takes no byte for so long is dropped.
const NO_PROGRESS: Duration = Duration::from_secs(30);
/// Bytes of a request's line and headers.
const HEADER_BYTES: usize = 32 << 10;
/// Headers of a request.
const HEADER_COUNT: usize = 64;
/// After an error such as "too many open files".
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves until `end` says so; then responses under way are finished, for at most `grace`.
pub(crate) async fn serve(
    listener: Listener,
    router: Router,
    connections: usize,
    mut end: watch::Receiver<bool>,
    grace: Duration,
) {
    let register = Register::new(connections);
    let mut told = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = end.wait_for(|ends| *ends) => break,
        };
        match accepted {
            Ok(stream) => {
                // Without a place the connection is closed unread.
                if let Some(place) = register.enter() {
                    tokio::spawn(connection(stream, router.clone(), place, end.clone()));
                }
            }
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                if !told {
                    told = true;
                    tracing::warn!(
                        event = events::ACCEPT_FAILED,
                        "cannot accept a client: {error}"
                    );
                }
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    let ended = async {
        while register.len() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(grace, ended).await;
}

/// Errors of one connection that ended before it was accepted.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

async fn connection(
    stream: Box<dyn Stream>,
    router: Router,
    place: Place,
    mut end: watch::Receiver<bool>,
) {
    let stream = TokioIo::new(Timed::new(stream, NO_PROGRESS));
    let requests = place.connection.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (router, under_way) = (router.clone(), requests.request());
        async move {
            let response = router.oneshot(request.map(Body::new)).await?;
            let counted = |body| Body::new(Counted { body, _under_way: under_way });
            Ok::<Response<Body>, Infallible>(response.map(counted))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES)
        .max_headers(HEADER_COUNT)
        .serve_connection(stream, service);
    let mut served = pin!(served);
    let evicted = place.connection.evicted.notified();
    let mut evicted = pin!(evicted);
    tokio::select! {
        // Errors are of the client: what it sent, or that it has left.
        _ = served.as_mut() => return,
        () = evicted.as_mut() => return,
        _ = end.wait_for(|ends| *ends) => served.as_mut().graceful_shutdown(),
    }
    // The response under way is still sent.
    let _ = served.await;
}

/// A response's body that counts as a request until it is sent or dropped.
struct Counted {
    body: Body,
    _under_way: UnderWay,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
