//! Reads an answer's body up to a limit, counted after decompression: a small answer can unpack to any size,
//! and its declared length says nothing. The request's own deadline ends a body that drips or never ends.

use bytes::{Bytes, BytesMut};
use reqwest::Response;

/// A body, as far as it was read.
pub(super) struct Body {
    /// What was read: never more than the limit.
    pub(super) bytes: Bytes,
    /// Why reading stopped.
    pub(super) end: End,
}

/// Why reading stopped.
pub(super) enum End {
    /// It is complete.
    Complete,
    /// There was more than the limit.
    TooLarge,
    /// The connection, the deadline or the decompression failed.
    Broken(reqwest::Error),
}

/// Reads `response` until it ends, or `bytes_max` is passed.
pub(super) async fn read(mut response: Response, bytes_max: usize) -> Body {
    let declared = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut bytes = BytesMut::with_capacity(declared.min(bytes_max));
    let end = loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > bytes_max => {
                bytes.extend_from_slice(&chunk[..bytes_max - bytes.len()]);
                break End::TooLarge;
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break End::Complete,
            Err(error) => break End::Broken(error.without_url()),
        }
    };
    Body { bytes: bytes.freeze(), end }
}
