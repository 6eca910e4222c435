//! HMAC-SHA256 (RFC 2104), as signatures and fingerprints use it. Knows nothing of what is authenticated.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// The block size of SHA-256, to which HMAC pads or shortens its key.
const BLOCK_BYTES: usize = 64;

/// The HMAC-SHA256 of `parts`, one after the other, under a key of any length.
pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new(&block(key).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The key as HMAC itself would pad it; a whole block is the one length that can't be refused.
fn block(key: &[u8]) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    if let Some(start) = block.get_mut(..key.len()) {
        start.copy_from_slice(key);
    } else {
        block[..32].copy_from_slice(&Sha256::digest(key));
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Key, message in parts, MAC.
    type Case = (&'static [u8], &'static [&'static [u8]], &'static str);

    /// RFC 4231, cases 1, 2, 6 and 7: short keys, and keys longer than a block.
    #[test]
    fn the_rfc_agrees() {
        const LONG: &[u8] = &[0xaa; 131];
        let cases: [Case; 4] = [
            (&[0x0b; 20], &[b"Hi There"], "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (b"Jefe", &[b"what do ya want ", b"for nothing?"], "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (LONG, &[b"Test Using Larger Than Block-Size Key - Hash Key First"], "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
            (LONG, &[b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm."], "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
        ];
        for (key, parts, expected) in cases {
            assert_eq!(hex(&hmac_sha256(key, parts)), expected);
        }
    }

    #[test]
    fn a_key_of_exactly_a_block_is_not_hashed() {
        let whole = [0x61; BLOCK_BYTES];
        assert_eq!(block(&whole), whole);
        assert_ne!(block(&[0x61; BLOCK_BYTES + 1]), whole);
    }
}
