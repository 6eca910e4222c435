//! Header names, as integrations and webhooks may set them.

/// Why `name` (in lower case) can't be a header that a definition sets; `None` when it can.
pub(super) fn refusal(name: &str) -> Option<&'static str> {
    const OURS: [&str; 13] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "accept-encoding",
    ];
    let in_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(in_token) {
        return Some("this is no header's name");
    }
    OURS.contains(&name).then_some("this header belongs to the connection and can't be set")
}

/// Whether `text` may stand in a header's value: visible ASCII and spaces.
pub(super) fn is_value(text: &str) -> bool {
    text.bytes().all(|byte| byte == b' ' || byte == b'\t' || byte.is_ascii_graphic())
}
