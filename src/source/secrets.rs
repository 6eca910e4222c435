//! Keeps credentials out of everything that leaves: errors, raw responses, log lines, stored links.
//!
//! A source may echo what it was sent, so a text is cleaned by value, whatever part of an answer it came
//! from. It does not know where a secret was used; it knows the forms in which one can come back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::definition::Account;
use crate::source::scope::percent_encoded;

/// Shorter credentials are not searched for: they would blot out half of any text, and protect nothing.
const SECRET_CHARS_MIN: usize = 4;

/// A secret of so many characters stands nowhere by accident.
const LONG_CHARS_MIN: usize = 16;

/// What stands where a secret stood.
const REDACTED: &str = "[redacted]";

/// The secrets of one account in all the forms in which they may be met, longest first. No `Debug` on
/// purpose.
#[derive(Clone)]
pub(super) struct Secrets {
    plain: Vec<Zeroizing<String>>,
    forms: Vec<Zeroizing<String>>,
}

impl Secrets {
    /// All credentials of `account`.
    pub(super) fn of(account: &Account) -> Self {
        let mut secrets = Self { plain: Vec::new(), forms: Vec::new() };
        for value in account.credentials.values() {
            secrets.add(value.expose_secret());
        }
        secrets
    }

    /// Learns a secret that was composed of others (`user:password` in base64).
    pub(super) fn add(&mut self, secret: &str) {
        if secret.len() < SECRET_CHARS_MIN {
            return;
        }
        let json = serde_json::Value::from(secret).to_string();
        let json = json.trim_matches('"').to_owned();
        let mut forms = vec![
            secret.to_owned(),
            percent_encoded(secret),
            percent_encoded(secret).replace("%20", "+"),
            percent_encoded(secret).to_lowercase(),
            json.replace('/', "\\/"),
            json,
            STANDARD.encode(secret),
        ];
        self.plain.push(Zeroizing::new(secret.to_owned()));
        self.forms.extend(forms.drain(..).map(Zeroizing::new));
        self.forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.forms.dedup();
    }

    /// Whether `text` contains a credential as it is.
    pub(super) fn are_in(&self, text: &str) -> bool {
        self.plain.iter().any(|secret| text.contains(secret.as_str()))
    }

    /// Whether `text` contains a credential that is too long to stand there by accident.
    pub(super) fn are_long_in(&self, text: &str) -> bool {
        let long = self.plain.iter().filter(|secret| secret.len() >= LONG_CHARS_MIN);
        long.into_iter().any(|secret| text.contains(secret.as_str()))
    }

    /// `text` without secrets.
    pub(super) fn scrub(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for form in &self.forms {
            if clean.contains(form.as_str()) {
                clean = clean.replace(form.as_str(), REDACTED);
            }
        }
        clean
    }

    /// As [`Self::scrub`], for a text whose end may be cut off: a secret's beginning at the cut goes too.
    pub(super) fn scrub_cut(&self, text: &str) -> String {
        let cut = |form: &Zeroizing<String>| {
            let heads = form.char_indices().map(|(at, _)| &form[..at]);
            heads.filter(|head| head.len() >= SECRET_CHARS_MIN && text.ends_with(head)).map(str::len).max()
        };
        let cut = self.forms.iter().filter_map(cut).max().unwrap_or(0);
        self.scrub(&text[..text.len() - cut])
    }
}

/// `text` in one line without characters that could steer a terminal or hide what follows, at most
/// `bytes_max` long.
pub(super) fn printable(text: &str, bytes_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(bytes_max));
    for c in text.chars() {
        let before = out.len();
        match c {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
                out.extend(c.escape_unicode());
            }
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
        if out.len() > bytes_max {
            out.truncate(before);
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::account;

    fn secrets(values: &[&str]) -> Secrets {
        let named: Vec<(String, &str)> =
            values.iter().enumerate().map(|(i, v)| (format!("k{i}"), *v)).collect();
        let pairs: Vec<(&str, &str)> = named.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        Secrets::of(&account("{}", &pairs))
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let secrets = secrets(&["a/b c\"+d=="]);
        for echo in [
            r#"a/b c"+d=="#,
            "a%2Fb%20c%22%2Bd%3D%3D",
            "a%2Fb+c%22%2Bd%3D%3D",
            "a%2fb%20c%22%2bd%3d%3d",
            r#"a/b c\"+d=="#,
            r#"a\/b c\"+d=="#,
            "YS9iIGMiK2Q9PQ==",
        ] {
            assert_eq!(secrets.scrub(&format!("<{echo}>")), "<[redacted]>", "{echo}");
        }
    }

    #[test]
    fn the_longer_of_two_goes_first_and_short_ones_stay() {
        let secrets = secrets(&["token", "token-with-tail", "ab"]);
        assert_eq!(secrets.scrub("token-with-tail token ab"), "[redacted] [redacted] ab");
        assert!(secrets.are_in("xtokenx") && !secrets.are_in("ab"));
    }

    #[test]
    fn a_secret_cut_in_half_leaves_nothing() {
        let secrets = secrets(&["sk_live_0123456789"]);
        assert_eq!(secrets.scrub_cut("echo: sk_live_01234"), "echo: ");
        assert_eq!(secrets.scrub_cut("echo: sk_live_0123456789"), "echo: [redacted]");
        assert_eq!(secrets.scrub_cut("nothing here, sk_"), "nothing here, sk_");
    }

    #[test]
    fn control_and_direction_characters_are_escaped() {
        assert_eq!(printable("a\x1b[31m\n\u{202e}b", 99), r"a\u{1b}[31m\n\u{202e}b");
        assert_eq!(printable("ääää", 5), "ää");
    }
}
