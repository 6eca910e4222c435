//! Bodies that no honest server sends: for scripts that play a hostile source or receiver.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::time::sleep;

/// `beginning`, then `filler` again and again without an end.
pub fn endless(beginning: &'static str, filler: &'static str) -> Body {
    // Chunks of some size, so that a reader reaches its limit soon.
    let chunk = Bytes::from(filler.repeat(16 * 1024 / filler.len().max(1) + 1));
    let head = stream::once(async move { Bytes::from_static(beginning.as_bytes()) });
    Body::from_stream(head.chain(stream::repeat(chunk)).map(Ok::<_, Infallible>))
}

/// `beginning`, then one space each `pause`, without an end: never idle, never done.
pub fn drip(beginning: &'static str, pause: Duration) -> Body {
    let head = stream::once(async move { Bytes::from_static(beginning.as_bytes()) });
    let drops = stream::unfold((), move |()| async move {
        sleep(pause).await;
        Some((Bytes::from_static(b" "), ()))
    });
    Body::from_stream(head.chain(drops).map(Ok::<_, Infallible>))
}

/// `beginning`, then the connection breaks.
pub fn broken(beginning: &'static str) -> Body {
    let parts =
        [Ok(Bytes::from_static(beginning.as_bytes())), Err(io::Error::other("the playground broke it"))];
    Body::from_stream(stream::iter(parts))
}

/// `beginning`, then silence with an open connection.
pub fn silent(beginning: &'static str) -> Body {
    let head = stream::once(async move { Bytes::from_static(beginning.as_bytes()) });
    Body::from_stream(head.chain(stream::pending()).map(Ok::<_, Infallible>))
}
