//! Secrets at rest: sealed before they reach Redis, opened when they are used. XChaCha20-Poly1305 with a random
//! nonce; the purpose of a secret (which field of which object) is authenticated with it, so a sealed text can't
//! be moved to another place. Rotation is a keyring: one key seals, several open.
//!
//! This room knows no Redis and no definitions; where the key comes from is the settings' affair.
//!
//! Text form: `v1.<key id>.<base64url(nonce ‖ ciphertext ‖ tag)>`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::mac::hmac_sha256;

const VERSION: &str = "v1";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// Hex digits of a key's id.
const KEY_ID_CHARS: usize = 8;

/// Separates the fingerprints' key from the key itself.
const FINGERPRINT_CONTEXT: &[u8] = b"rapidbridge fingerprint v1";

/// Why a secret could not be sealed or opened. No text carries a secret or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The text is no sealed secret at all.
    #[error("this is no sealed secret: it must look like {VERSION}.<key id>.<base64url>; it may be cut off")]
    Malformed,
    /// Sealed in a form this version does not know.
    #[error(
        "the secret is sealed in a form this version does not know (it knows {VERSION}); use the version that sealed it, or newer"
    )]
    UnknownVersion,
    /// Sealed with a key that the keyring lacks.
    #[error(
        "the secret is sealed with the key {key_id}, which is not in the keyring; add that key to the previous ones"
    )]
    UnknownKey {
        /// The id of the key that is missing.
        key_id: String,
    },
    /// The key is right, but the text or its purpose is not what was sealed.
    #[error(
        "the secret does not open: it was altered, or sealed for another purpose; apply the definition again"
    )]
    Altered,
    /// The secret is too long for the cipher.
    #[error("the secret is too long to be sealed")]
    TooLong,
}

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no sealing key: give {KEY_BYTES} random bytes as base64 or as 64 hex digits")]
pub struct InvalidSealKey;

/// A key that seals and opens secrets. Can't be printed; its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct SealKey {
    id: String,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl SealKey {
    /// Reads a key from base64 (either alphabet, padded or not) or from hex.
    ///
    /// # Errors
    /// When the text is not exactly 32 bytes in one of these forms.
    pub fn parse(text: &SecretString) -> Result<Self, InvalidSealKey> {
        let text = text.expose_secret().trim();
        let decoded = if text.len() == 2 * KEY_BYTES { from_hex(text) } else { from_base64(text) };
        let decoded = decoded.ok_or(InvalidSealKey)?;
        let bytes: [u8; KEY_BYTES] = decoded.as_slice().try_into().map_err(|_| InvalidSealKey)?;
        Ok(Self::from_bytes(Zeroizing::new(bytes)))
    }

    /// A new random key.
    pub fn generate() -> Self {
        Self::from_bytes(Zeroizing::new(rand::random()))
    }

    /// The key as text, in the form that [`parse`](Self::parse) reads.
    pub fn to_text(&self) -> SecretString {
        STANDARD.encode(self.bytes.as_slice()).into()
    }

    /// The key's public name: the first 8 hex digits of its SHA-256.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn from_bytes(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let id = hex(&Sha256::digest(bytes.as_slice())).chars().take(KEY_ID_CHARS).collect();
        Self { id, bytes }
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.bytes).into())
    }

    fn fingerprint(&self, aad: &str, plain: &[u8]) -> String {
        let key = Zeroizing::new(hmac_sha256(self.bytes.as_slice(), &[FINGERPRINT_CONTEXT]));
        // The length keeps (aad, plain) apart from any other split of the same bytes.
        let aad_len = (aad.len() as u64).to_be_bytes();
        format!("{}.{}", self.id, hex(&hmac_sha256(key.as_slice(), &[&aad_len, aad.as_bytes(), plain])))
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey({})", self.id)
    }
}

/// The keyring.
#[derive(Clone)]
pub struct Sealer {
    primary: SealKey,
    previous: Vec<SealKey>,
}

impl Sealer {
    /// A keyring that seals with `primary` and opens with it and with `previous`.
    pub fn new(primary: SealKey, previous: Vec<SealKey>) -> Self {
        Self { primary, previous }
    }

    /// Seals `plain` for the purpose `aad`, which must be given again to open it, such as
    /// `environment/account/credentials/token`.
    ///
    /// # Errors
    /// When the secret is too long for the cipher.
    pub fn seal(&self, aad: &str, plain: &[u8]) -> Result<String, SealError> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: plain, aad: aad.as_bytes() };
        let ciphertext =
            self.primary.cipher().encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::TooLong)?;
        let sealed = [nonce.as_slice(), &ciphertext].concat();
        Ok(format!("{VERSION}.{}.{}", self.primary.id, URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Opens what [`seal`](Self::seal) made for the same purpose.
    ///
    /// # Errors
    /// What is wrong with the text, the key or the purpose.
    pub fn open(&self, aad: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (key_id, sealed) = split(text)?;
        let key = self.key(key_id).ok_or_else(|| SealError::UnknownKey { key_id: key_id.to_owned() })?;
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Malformed)?;
        if ciphertext.len() < TAG_BYTES {
            return Err(SealError::Malformed);
        }
        let payload = Payload { msg: ciphertext, aad: aad.as_bytes() };
        let plain = key.cipher().decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::Altered)?;
        Ok(Zeroizing::new(plain))
    }

    /// Whether `text` is sealed with another key than the one that seals now, and so should be sealed again.
    pub fn is_outdated(&self, text: &str) -> bool {
        split(text).map_or(true, |(key_id, _)| key_id != self.primary.id)
    }

    /// A text that is equal for equal secrets of one purpose and tells nothing else, to see whether a secret
    /// changed without opening it. Depends on the primary key; compare with [`matches`](Self::matches).
    pub fn fingerprint(&self, aad: &str, plain: &[u8]) -> String {
        self.primary.fingerprint(aad, plain)
    }

    /// Whether `fingerprint` is this secret's, under any key of the ring.
    pub fn matches(&self, aad: &str, plain: &[u8], fingerprint: &str) -> bool {
        let key_id = fingerprint.split_once('.').map_or("", |(key_id, _)| key_id);
        self.key(key_id)
            .is_some_and(|key| key.fingerprint(aad, plain).as_bytes().ct_eq(fingerprint.as_bytes()).into())
    }

    fn key(&self, id: &str) -> Option<&SealKey> {
        std::iter::once(&self.primary).chain(&self.previous).find(|key| key.id == id)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("primary", &self.primary).field("previous", &self.previous).finish()
    }
}

/// Key id and sealed bytes of a sealed text.
fn split(text: &str) -> Result<(&str, Vec<u8>), SealError> {
    let (version, rest) = text.split_once('.').ok_or(SealError::Malformed)?;
    if version != VERSION {
        let numbered =
            version.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        return Err(if numbered { SealError::UnknownVersion } else { SealError::Malformed });
    }
    let (key_id, encoded) = rest.split_once('.').ok_or(SealError::Malformed)?;
    let is_id = key_id.len() == KEY_ID_CHARS && key_id.bytes().all(|b| b.is_ascii_hexdigit());
    let sealed = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| SealError::Malformed)?;
    if is_id { Ok((key_id, sealed)) } else { Err(SealError::Malformed) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?);
    text.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>().map(Zeroizing::new)
}

fn from_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.trim_end_matches('=');
    STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AAD: &str = "default/acme/credentials/token";

    fn key(text: &str) -> Result<SealKey, InvalidSealKey> {
        SealKey::parse(&text.into())
    }

    fn sealer() -> Sealer {
        Sealer::new(SealKey::generate(), vec![])
    }

    #[test]
    fn what_is_sealed_opens_for_its_purpose_alone() {
        let sealer = sealer();
        for plain in [b"".as_slice(), b"s3cret", &[0xff; 70_000]] {
            let text = sealer.seal(AAD, plain).unwrap();
            assert_eq!(sealer.open(AAD, &text).unwrap().as_slice(), plain);
            assert_eq!(sealer.open("default/acme/credentials/password", &text), Err(SealError::Altered));
            assert_eq!(sealer.open("", &text), Err(SealError::Altered));
        }
    }

    #[test]
    fn equal_secrets_are_sealed_differently() {
        let sealer = sealer();
        assert_ne!(sealer.seal(AAD, b"x").unwrap(), sealer.seal(AAD, b"x").unwrap());
    }

    #[test]
    fn a_keyring_opens_what_its_previous_keys_sealed() {
        let (old, new) = (SealKey::generate(), SealKey::generate());
        let before = Sealer::new(old.clone(), vec![]);
        let after = Sealer::new(new.clone(), vec![old.clone()]);
        let text = before.seal(AAD, b"x").unwrap();
        assert_eq!(after.open(AAD, &text).unwrap().as_slice(), b"x");
        assert!(after.is_outdated(&text) && !before.is_outdated(&text));
        assert!(after.seal(AAD, b"x").unwrap().starts_with(&format!("v1.{}.", new.id())));
        let gone = Sealer::new(new, vec![]).open(AAD, &text);
        assert_eq!(gone, Err(SealError::UnknownKey { key_id: old.id().to_owned() }));
    }

    /// A key whose id is forged to be another one's still does not open.
    #[test]
    fn the_wrong_key_opens_nothing() {
        let (one, other) = (sealer(), sealer());
        let text = one.seal(AAD, b"x").unwrap().replace(one.primary.id(), other.primary.id());
        assert_eq!(other.open(AAD, &text), Err(SealError::Altered));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_an_error() {
        let sealer = sealer();
        let text = sealer.seal(AAD, b"a secret").unwrap();
        for end in 0..text.len() {
            assert!(sealer.open(AAD, &text[..end]).is_err(), "cut at {end}");
        }
        let (head, encoded) = text.rsplit_once('.').unwrap();
        let sealed = URL_SAFE_NO_PAD.decode(encoded).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let altered = format!("{head}.{}", URL_SAFE_NO_PAD.encode(flipped));
            assert_eq!(sealer.open(AAD, &altered), Err(SealError::Altered), "bit {bit}");
        }
    }

    #[test]
    fn other_texts_are_told_apart() {
        let sealer = sealer();
        let id = sealer.primary.id();
        for text in [
            "",
            "v1",
            "v1.",
            "secret",
            "v1..",
            "v1.zzzzzzzz.AAAA",
            &format!("v1.{id}.!"),
            &format!("v1.{id}.AAAA"),
            "x.y.z",
        ] {
            assert_eq!(sealer.open(AAD, text), Err(SealError::Malformed), "{text:?}");
        }
        assert_eq!(sealer.open(AAD, &format!("v2.{id}.AAAA")), Err(SealError::UnknownVersion));
        assert!(matches!(sealer.open(AAD, "v1.00000000.AAAA"), Err(SealError::UnknownKey { .. })));
    }

    #[test]
    fn keys_are_read_from_base64_and_hex() {
        let bytes = [0xfb; 32];
        let from = SealKey::from_bytes(Zeroizing::new(bytes));
        let texts = [
            STANDARD.encode(bytes),
            STANDARD_NO_PAD.encode(bytes),
            URL_SAFE_NO_PAD.encode(bytes),
            hex(&bytes),
            hex(&bytes).to_uppercase(),
            format!(" {}\n", STANDARD.encode(bytes)),
        ];
        for text in texts {
            assert_eq!(key(&text).unwrap().id(), from.id(), "{text}");
        }
        assert_eq!(key(from.to_text().expose_secret()).unwrap().bytes, from.bytes);
        for text in
            ["", "short", &"a".repeat(65), &"zz".repeat(32), &STANDARD.encode([1; 31]), &"é".repeat(32)]
        {
            assert!(key(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let primary = SealKey::generate();
        let secret = primary.to_text();
        let sealer = Sealer::new(primary.clone(), vec![primary.clone()]);
        for shown in
            [format!("{sealer:?}"), format!("{primary:?}"), format!("{secret:?}"), InvalidSealKey.to_string()]
        {
            assert!(!shown.contains(secret.expose_secret()), "{shown}");
            assert!(!shown.contains(&hex(primary.bytes.as_slice())), "{shown}");
        }
    }

    #[test]
    fn fingerprints_compare_secrets_of_one_purpose() {
        let (old, new) = (SealKey::generate(), SealKey::generate());
        let before = Sealer::new(old.clone(), vec![]);
        let print = before.fingerprint(AAD, b"x");
        assert_eq!(print, before.fingerprint(AAD, b"x"));
        assert!(before.matches(AAD, b"x", &print));
        assert!(!before.matches(AAD, b"y", &print) && !before.matches("other", b"x", &print));
        assert_ne!(before.fingerprint("ab", b"c"), before.fingerprint("a", b"bc"));
        assert!(Sealer::new(new.clone(), vec![old]).matches(AAD, b"x", &print));
        assert!(!Sealer::new(new, vec![]).matches(AAD, b"x", &print));
        assert!(!before.matches(AAD, b"x", "") && !before.matches(AAD, b"x", "nonsense"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}", tail in "[A-Za-z0-9_-]{0,80}") {
            let sealer = sealer();
            prop_assert!(sealer.open(AAD, &text).is_err());
            let lookalike = format!("v1.{}.{tail}", sealer.primary.id());
            prop_assert!(sealer.open(AAD, &lookalike).is_err());
        }
    }
}
