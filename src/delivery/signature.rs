//! Signatures of a delivery, over the very bytes that are sent. Pure.
//!
//! Standard Webhooks 1.0.0 (`v1`, HMAC-SHA256 of `id.timestamp.body`), and RapidBridge's `X-Truto-Signature`
//! (HMAC-SHA256 of the body) for receivers that were written for it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::clock::Millis;
use crate::mac::hmac_sha256;

/// Marks a secret that is the base64 text of its key.
const BASE64_PREFIX: &str = "whsec_";

/// A secret that can't sign. Does not carry the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableSecret {
    /// There is none.
    #[error("has no secret to sign with; give it one")]
    Missing,
    /// Its prefix promises base64.
    #[error(
        "has a secret (number {position}) that starts with {BASE64_PREFIX} but does not go on in base64; replace it"
    )]
    NotBase64 {
        /// Which one, counted from 1.
        position: usize,
    },
}

/// The values of `webhook-timestamp` and `webhook-signature`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standard {
    /// When the request is sent, in whole seconds since 1970. Receivers refuse old ones, so each try is signed anew.
    pub timestamp: String,
    /// One signature a live secret, the current one first, separated by spaces: during a rotation a receiver
    /// may know either.
    pub signature: String,
}

/// Signs `body` as the event `id`, sent at `now`, with every live secret.
///
/// # Errors
/// When there is no secret, or one can't be read.
pub fn standard(
    secrets: &[SecretString],
    id: &str,
    now: Millis,
    body: &[u8],
) -> Result<Standard, UnusableSecret> {
    if secrets.is_empty() {
        return Err(UnusableSecret::Missing);
    }
    let timestamp = now.0.div_euclid(1000).to_string();
    let mut signatures = Vec::with_capacity(secrets.len());
    for (index, secret) in secrets.iter().enumerate() {
        let key = key(secret).ok_or(UnusableSecret::NotBase64 { position: index + 1 })?;
        let mac = hmac_sha256(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
        signatures.push(format!("v1,{}", STANDARD.encode(mac)));
    }
    Ok(Standard { timestamp, signature: signatures.join(" ") })
}

/// The value of `X-Truto-Signature`: the first secret signs, its text as it was written being the key.
///
/// # Errors
/// When there is no secret.
pub fn truto(secrets: &[SecretString], body: &[u8]) -> Result<String, UnusableSecret> {
    let secret = secrets.first().ok_or(UnusableSecret::Missing)?;
    let mac = hmac_sha256(secret.expose_secret().as_bytes(), &[body]);
    Ok(format!("format=sha256,v={}", STANDARD.encode(mac)))
}

/// The key that a secret's text stands for; `None` when its prefix promises base64 and it is none.
fn key(secret: &SecretString) -> Option<Zeroizing<Vec<u8>>> {
    let text = secret.expose_secret();
    let key = match text.strip_prefix(BASE64_PREFIX) {
        Some(encoded) => STANDARD_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?,
        None => text.as_bytes().to_vec(),
    };
    Some(Zeroizing::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderMap;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn secrets(texts: &[&str]) -> Vec<SecretString> {
        texts.iter().map(|text| (*text).into()).collect()
    }

    /// A vector that the implementations of the standard share.
    #[test]
    fn the_known_vector_holds() {
        let signed = standard(&secrets(&[SECRET]), ID, Millis(1_614_265_330_999), BODY).unwrap();
        assert_eq!(signed.timestamp, "1614265330");
        assert_eq!(signed.signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    fn headers(id: &str, signed: &Standard) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", id.parse().unwrap());
        headers.insert("webhook-timestamp", signed.timestamp.parse().unwrap());
        headers.insert("webhook-signature", signed.signature.parse().unwrap());
        headers
    }

    #[test]
    fn the_library_verifies_us_with_either_secret_of_a_rotation() {
        let old = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let signed = standard(&secrets(&[SECRET, old]), ID, crate::clock::now(), BODY).unwrap();
        assert_eq!(signed.signature.split(' ').count(), 2);
        for secret in [SECRET, old] {
            let receiver = standardwebhooks::Webhook::new(secret).unwrap();
            receiver.verify(BODY, &headers(ID, &signed)).unwrap();
            assert!(receiver.verify(br#"{"test": 2432232315}"#, &headers(ID, &signed)).is_err());
            assert!(receiver.verify(BODY, &headers("msg_other", &signed)).is_err());
            let later = Standard { timestamp: "1".to_owned(), ..signed.clone() };
            assert!(receiver.verify(BODY, &headers(ID, &later)).is_err());
        }
        let stranger = standardwebhooks::Webhook::new("whsec_AAAA").unwrap();
        assert!(stranger.verify(BODY, &headers(ID, &signed)).is_err());
    }

    #[test]
    fn a_secret_without_the_prefix_is_its_bytes() {
        let text = "correct horse battery staple";
        let signed = standard(&secrets(&[text]), ID, crate::clock::now(), BODY).unwrap();
        let receiver = standardwebhooks::Webhook::from_bytes(text.as_bytes().to_vec()).unwrap();
        receiver.verify(BODY, &headers(ID, &signed)).unwrap();
    }

    #[test]
    fn padding_does_not_matter() {
        let sign = |secret: &str| standard(&secrets(&[secret]), ID, Millis(0), BODY);
        assert_eq!(sign("whsec_YWI="), sign("whsec_YWI"));
        assert_eq!(sign("whsec_YWI="), sign("ab"));
    }

    /// `printf '%s' '{"test": 2432232314}' | openssl dgst -sha256 -hmac whsec_… -binary | base64`
    #[test]
    fn the_rapidbridge_signature_takes_the_first_secret_as_written() {
        let value = truto(&secrets(&[SECRET, "other"]), BODY).unwrap();
        assert_eq!(value, "format=sha256,v=gOyKic480iEzoQZsrstNBP6nRnZXyFFNcX7ELDilyUw=");
    }

    #[test]
    fn a_secret_that_cannot_sign_is_named_by_its_place() {
        assert_eq!(standard(&[], ID, Millis(0), BODY), Err(UnusableSecret::Missing));
        assert_eq!(truto(&[], BODY), Err(UnusableSecret::Missing));
        let broken = standard(&secrets(&[SECRET, "whsec_not base64!"]), ID, Millis(0), BODY).unwrap_err();
        assert_eq!(broken, UnusableSecret::NotBase64 { position: 2 });
        assert!(!broken.to_string().contains("not base64!"));
    }
}
