//! Which slot of a cluster a command belongs to.

use redis::{Arg, Cmd};

use super::topology::SLOTS;

/// The slot of the key a command names; `None` when it names none.
pub(super) fn of_command(command: &Cmd) -> Option<u16> {
    let mut words = command.args_iter().map(|word| match word {
        Arg::Simple(bytes) => bytes,
        Arg::Cursor => b"",
        // The redis crate may learn new kinds of arguments; none of them is a key of ours.
        _ => b"",
    });
    let name = words.next()?.to_ascii_uppercase();
    let key = match name.as_slice() {
        b"EVALSHA" | b"EVAL" => words.nth(2),
        b"XGROUP" | b"XINFO" => words.nth(1),
        b"XREADGROUP" => words.skip_while(|word| !word.eq_ignore_ascii_case(b"STREAMS")).nth(1),
        b"INFO" | b"TIME" | b"PING" | b"ROLE" | b"WAIT" | b"SCRIPT" | b"CONFIG" | b"CLIENT" | b"CLUSTER" => {
            None
        }
        _ => words.next(),
    };
    key.map(of_key)
}

/// The slot of a key: by what stands between its first braces, if anything does.
pub(in super::super) fn of_key(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM, which is what clusters hash with.
fn crc16(bytes: &[u8]) -> u16 {
    const POLYNOMIAL: u16 = 0x1021;
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 { shifted } else { shifted ^ POLYNOMIAL }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_what_redis_says() {
        // By CLUSTER KEYSLOT.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(of_key(b"foo"), 12182);
        assert_eq!(of_key(b"rb:{foo}:ready"), 12182);
        assert_eq!(of_key(b"{}foo"), of_key(b"{}foo"));
        assert_ne!(of_key(b"{}foo"), of_key(b"foo"));
    }

    #[test]
    fn the_key_is_found_in_every_command_that_we_send() {
        let of = |words: &[&str]| {
            let mut command = Cmd::new();
            command.arg(words);
            of_command(&command)
        };
        let foo = Some(12182);
        assert_eq!(of(&["GET", "{foo}x"]), foo);
        assert_eq!(of(&["EVALSHA", "abc", "1", "rb:{foo}:", "{bar}"]), foo);
        assert_eq!(of(&["XGROUP", "CREATE", "rb:{foo}:ready", "workers", "0", "MKSTREAM"]), foo);
        assert_eq!(of(&["XREADGROUP", "GROUP", "g", "c", "STREAMS", "rb:{foo}:ready", ">"]), foo);
        assert_eq!(of(&["XAUTOCLAIM", "rb:{foo}:ready", "g"]), foo);
        assert_eq!(of(&["SCRIPT", "LOAD", "return {foo}"]), None);
        assert_eq!(of(&["INFO"]), None);
    }
}
