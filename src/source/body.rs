//! Reads an answer's body up to a limit, counted after decompression: a small answer can unpack to any size,
//! and its declared length says nothing. The request's own deadline ends a body that drips or never ends.

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use reqwest::{Response, Version};

use super::pace::Pace;
use crate::engine::budget::Room;

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
    /// There was no memory for more.
    NoRoom,
    /// The connection, the deadline or the decompression failed.
    Broken(reqwest::Error),
}

/// Whether an answer says itself where its body ends, so that one which was cut off is known to be. Otherwise the end
/// of the connection is the body's, and nothing tells an end from an accident. Nothing tells either when the client
/// has unpacked it, and took the length away that no longer holds.
pub(super) fn is_delimited(version: Version, headers: &HeaderMap) -> bool {
    let by_frames = version != Version::HTTP_10 && version != Version::HTTP_11 && version != Version::HTTP_09;
    by_frames || headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}

/// Reads `response` until it ends, `bytes_max` is passed, or there is no room for more.
pub(super) async fn read(mut response: Response, bytes_max: usize, room: &Room, pace: &Pace) -> Body {
    // Memory grows with what is there: a declared length is only a claim.
    let mut bytes = BytesMut::new();
    let end = loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > bytes_max => {
                bytes.extend_from_slice(&chunk[..bytes_max - bytes.len()]);
                break End::TooLarge;
            }
            Ok(Some(chunk)) if room.grow(bytes.len() + chunk.len()) => {
                pace.pay(bytes.len(), chunk.len()).await;
                bytes.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => break End::NoRoom,
            Ok(None) => break End::Complete,
            Err(error) => break End::Broken(error.without_url()),
        }
    };
    Body { bytes: bytes.freeze(), end }
}
