//! What a receiver says in the body of its answer, made fit for a status page or a terminal. Pure. The text is a
//! stranger's: it is cut, and what could steer a terminal or reorder a line is escaped.

use crate::json;

/// Members of a JSON answer that carry its reason, the most telling first.
const REASON_MEMBERS: [&str; 3] = ["message", "error", "reason"];

/// The receiver's reason in at most `chars_max` characters: a JSON answer's `message`, `error` or `reason`, else
/// the text itself. `None` for nothing, and for a web page.
pub(super) fn of(body: &[u8], chars_max: usize) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let reason = REASON_MEMBERS.iter().find_map(|member| reason_in(text, member));
    let reason = reason.unwrap_or_else(|| json::text_of(text).into_owned());
    let reason = reason.trim();
    if reason.is_empty() || reason.starts_with('<') {
        return None;
    }
    Some(cut(&escape(reason), chars_max))
}

/// The member's text; of an object (`{"error": {"message": "…"}}`) its message.
fn reason_in(text: &str, member: &str) -> Option<String> {
    let value = json::get(text, &[member])?;
    let value = if value.starts_with('{') { json::get(value, &["message"]).unwrap_or(value) } else { value };
    let reason = json::text_of(value);
    (!reason.trim().is_empty() && reason != "null").then(|| reason.into_owned())
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_direction(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Characters that change the direction of the text after them (Unicode Annex 9), and line separators.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case(r#"{"message":"account is closed"}"#, "account is closed")]
    #[case(r#"{"error":"no","message":"account is closed"}"#, "account is closed")]
    #[case(r#"{"error":"no"}"#, "no")]
    #[case(r#"{"reason":"trial ended"}"#, "trial ended")]
    #[case(r#"{"error":{"code":7,"message":"deep"}}"#, "deep")]
    #[case(r#"{"error":{"code":7}}"#, r#"{"code":7}"#)]
    #[case(r#"{"message":null,"error":"no"}"#, "no")]
    #[case(r#"{"message":"","reason":"why"}"#, "why")]
    #[case(r#"{"status":"bad"}"#, r#"{"status":"bad"}"#)]
    #[case(r#""just text""#, "just text")]
    #[case("  plain text\n", "plain text")]
    #[case(r#"{"message":"cut o"#, r#"{"message":"cut o"#)]
    #[case("a\r\nb\u{1b}[31mc\u{202e}d", "a\\r\\nb\\u{1b}[31mc\\u{202e}d")]
    fn reasons_are_found(#[case] body: &str, #[case] expected: &str) {
        assert_eq!(of(body.as_bytes(), 512).as_deref(), Some(expected));
    }

    #[rstest]
    fn nothing_said_is_no_reason(
        #[values("", "  \n", "\"\"", "<!doctype html><p>Bad", "<html>")] body: &str,
    ) {
        assert_eq!(of(body.as_bytes(), 512), None);
    }

    #[test]
    fn long_texts_are_cut_by_characters() {
        assert_eq!(of("ä".repeat(512).as_bytes(), 512), Some("ä".repeat(512)));
        assert_eq!(of("ä".repeat(513).as_bytes(), 512), Some("ä".repeat(511) + "…"));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_one_short_harmless_line(body in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Some(reason) = of(&body, 64) {
                prop_assert!(reason.chars().count() <= 64);
                prop_assert!(!reason.chars().any(|c| c.is_control() || is_direction(c)));
            }
        }
    }
}
