//! What a host name says about itself, before anybody resolves it. Pure.

/// The longest name and label that DNS knows (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Endings that mean something inside a machine or a private network only (RFC 6761, RFC 6762, RFC 8375, and
/// what home routers, clusters and clouds use).
const LOCAL_SUFFIXES: [&str; 11] = [
    "localhost",
    "local",
    "localdomain",
    "internal",
    "home.arpa",
    "arpa",
    "lan",
    "intranet",
    "corp",
    "home",
    "onion",
];

/// The verdict on a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// It may name a public server.
    Public,
    /// It names something near: one label, or a local ending.
    Local,
    /// No server has such a name.
    Invalid,
}

/// Judges a host as [`url::Url`] normalised it: lower case, ASCII. One trailing dot is allowed.
pub(super) fn judge(host: &str) -> Name {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if host.len() > NAME_BYTES_MAX || !host.split('.').all(is_label) {
        return Name::Invalid;
    }
    let ends =
        |suffix: &&str| host.strip_suffix(*suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if !host.contains('.') || LOCAL_SUFFIXES.iter().any(ends) {
        return Name::Local;
    }
    Name::Public
}

fn is_label(label: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !label.is_empty()
        && label.len() <= LABEL_BYTES_MAX
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_count_as_whole_labels() {
        for host in
            ["localhost", "a.localhost", "LOCALHOST.", "metadata", "redis.internal", "x.corp", "1.home.arpa"]
        {
            assert_eq!(judge(host), Name::Local, "{host}");
        }
        for host in
            ["notlocalhost.com", "mylan.de", "internal.example.com", "a_b.example", "xn--bcher-kva.example"]
        {
            assert_eq!(judge(host), Name::Public, "{host}");
        }
    }

    #[test]
    fn broken_labels_are_no_names() {
        let long = format!("{}.com", "a".repeat(64));
        let longer = ["abcdefgh."; 29].concat() + "com";
        for host in
            ["", ".", "a..b", ".com", "-a.com", "a-.com", "a b.com", "ä.com", "a.com..", &long, &longer]
        {
            assert_eq!(judge(host), Name::Invalid, "{host}");
        }
    }
}
