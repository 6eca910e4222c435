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

/// Zeros, compressed to a hundred and fifty times less, without an end: for `content-encoding: gzip`.
pub fn bomb() -> Body {
    // A gzip header, and a block with fixed codes whose first byte is a zero; then "258 times the byte before", again
    // and again: thirteen bits each, so eight of them fill thirteen bytes.
    const HEAD: [u8; 11] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 0b0110_0010];
    const AGAIN: [u8; 13] = [0x18, 0x05, 0xa3, 0x60, 0x14, 0x8c, 0x82, 0x51, 0x30, 0x0a, 0x46, 0xc1, 0x28];
    let chunk = Bytes::from(AGAIN.repeat(1024));
    let head = stream::once(async { Bytes::from_static(&HEAD) });
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
