//! Whether a request was signed with the secret: by the `standardwebhooks` crate, and by RapidBridge's own
//! header where it is sent. Nothing of the product's signing code is used here.

use axum::http::HeaderMap;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use standardwebhooks::Webhook;

/// Which signatures a request carried, all of them good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signatures {
    Standard,
    StandardAndTruto,
}

/// Checks every signature that is there; Standard Webhooks must be.
pub(super) fn verify(secret: &str, headers: &HeaderMap, body: &[u8]) -> Result<Signatures, String> {
    let webhook = match secret.starts_with("whsec_") {
        true => Webhook::new(secret),
        false => Webhook::from_bytes(secret.as_bytes().to_vec()),
    };
    webhook.and_then(|webhook| webhook.verify(body, headers)).map_err(|error| error.to_string())?;
    match headers.get("x-truto-signature") {
        None => Ok(Signatures::Standard),
        Some(value) if value.as_bytes() == truto(secret, body)?.as_bytes() => {
            Ok(Signatures::StandardAndTruto)
        }
        Some(_) => Err("X-Truto-Signature is invalid".to_owned()),
    }
}

/// `format=sha256,v=<base64 of HMAC-SHA256 of the body>`, with the secret as it is written.
fn truto(secret: &str, body: &[u8]) -> Result<String, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|error| error.to_string())?;
    mac.update(body);
    Ok(format!("format=sha256,v={}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
}
