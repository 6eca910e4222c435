//! Digests and signatures.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonata_core::value::JValue;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::{Answer, Args, Function};

pub(super) const FUNCTIONS: &[Function] =
    &[Function { name: "digest", call: digest }, Function { name: "sign", call: sign }];

/// `$digest(text, algorithm, format)`
fn digest(args: &Args) -> Answer {
    let text = args.text(0)?.as_bytes();
    let digest = match algorithm(args)? {
        Algorithm::Sha256 => Sha256::digest(text).to_vec(),
        Algorithm::Sha384 => Sha384::digest(text).to_vec(),
        Algorithm::Sha512 => Sha512::digest(text).to_vec(),
    };
    written(args, 2, &digest)
}

/// `$sign(text, algorithm, secret, format)`: HMAC.
fn sign(args: &Args) -> Answer {
    let (text, secret) = (args.text(0)?.as_bytes(), args.text(2)?.as_bytes());
    // HMAC takes keys of any length, so none of these fails.
    let mac = match algorithm(args)? {
        Algorithm::Sha256 => Hmac::<Sha256>::new_from_slice(secret)
            .map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec()),
        Algorithm::Sha384 => Hmac::<Sha384>::new_from_slice(secret)
            .map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec()),
        Algorithm::Sha512 => Hmac::<Sha512>::new_from_slice(secret)
            .map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec()),
    };
    written(args, 3, &mac.map_err(|error| args.refuse(error))?)
}

enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

fn algorithm(args: &Args) -> Result<Algorithm, jsonata_core::evaluator::EvaluatorError> {
    match args.text_or(1, "SHA-256")?.trim().to_uppercase().replace('-', "").as_str() {
        "SHA256" => Ok(Algorithm::Sha256),
        "SHA384" => Ok(Algorithm::Sha384),
        "SHA512" => Ok(Algorithm::Sha512),
        _ => Err(args.wants(1, "SHA-256, SHA-384 or SHA-512")),
    }
}

fn written(args: &Args, format: usize, bytes: &[u8]) -> Answer {
    Ok(JValue::string(match args.text_or(format, "hex")? {
        "hex" => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        "base64" => STANDARD.encode(bytes),
        "base64-urlSafe" => URL_SAFE_NO_PAD.encode(bytes),
        _ => return Err(args.wants(format, "hex, base64 or base64-urlSafe")),
    }))
}
