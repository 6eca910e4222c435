//! The types of a placeholder: JSON text in, JSON text out. A cast that doesn't work out gives back what it got.

use std::str::FromStr;

use crate::json::Json;

/// What a placeholder's value is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Str,
    Int,
    Num,
    Bool,
    Json,
    Null,
    Any,
}

impl FromStr for Type {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "str" => Ok(Self::Str),
            "int" => Ok(Self::Int),
            "num" => Ok(Self::Num),
            "bool" => Ok(Self::Bool),
            "json" => Ok(Self::Json),
            "null" => Ok(Self::Null),
            "any" => Ok(Self::Any),
            _ => Err(()),
        }
    }
}

impl Type {
    /// `value` as this type; as it was when it can't become one.
    pub(super) fn apply(self, value: Json) -> Json {
        let cast = match self {
            Self::Str => as_str(&value),
            Self::Int => as_int(&value),
            Self::Num => as_num(&value),
            Self::Bool => as_word(&value, &["true", "false"]),
            Self::Null => as_word(&value, &["null"]),
            Self::Json => as_json(&value),
            Self::Any => None,
        };
        cast.unwrap_or(value)
    }
}

/// Any value but `null` as a string: a number's own digits, an object's JSON.
fn as_str(value: &Json) -> Option<Json> {
    let text = value.as_str();
    (text != "null" && !text.starts_with('"')).then(|| Json::string(text))
}

/// A whole number, cut towards zero. Digits are kept as text, so their count doesn't matter.
fn as_int(value: &Json) -> Option<Json> {
    let text = value.to_text();
    let number = as_number(&text)?;
    let whole = match number.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit.is_ascii_digit()) => whole.to_owned(),
        Some(_) => from_exponent(&number)?,
        None if number.contains(['e', 'E']) => from_exponent(&number)?,
        None => number,
    };
    Json::parse(if whole == "-0" { "0" } else { &whole }).ok()
}

/// A number, digit for digit.
fn as_num(value: &Json) -> Option<Json> {
    Json::parse(&as_number(&value.to_text())?).ok()
}

/// `text` in the way JSON writes numbers. People also write `+5`, `007`, `.5` and ` 5 `.
fn as_number(text: &str) -> Option<String> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') || !digits.chars().all(numeric) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    let zero = if significant.starts_with(|c: char| c.is_ascii_digit()) { "" } else { "0" };
    let number = format!("{sign}{zero}{significant}");
    Json::parse(&number).is_ok().then_some(number)
}

/// The whole part of a number with an exponent, as far as it can be told exactly.
fn from_exponent(number: &str) -> Option<String> {
    let value: f64 = number.parse().ok()?;
    let exact = value.abs() < 9_007_199_254_740_992.0;
    exact.then(|| format!("{:.0}", value.trunc()))
}

/// One of `words`, bare or as a string's content.
fn as_word(value: &Json, words: &[&str]) -> Option<Json> {
    let text = value.to_text();
    words.contains(&text.trim()).then(|| Json::parse(text.trim()).ok()).flatten()
}

/// What a string's content means as JSON.
fn as_json(value: &Json) -> Option<Json> {
    value.as_str().starts_with('"').then(|| Json::parse(&value.to_text()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast(kind: Type, json: &str) -> String {
        kind.apply(Json::parse(json).unwrap()).as_str().to_owned()
    }

    #[test]
    fn strings_keep_every_digit() {
        assert_eq!(cast(Type::Str, "12345678901234567890123"), r#""12345678901234567890123""#);
        assert_eq!(cast(Type::Str, "1.10"), r#""1.10""#);
        assert_eq!(cast(Type::Str, r#"{"a": [1]}"#), r#""{\"a\": [1]}""#);
        assert_eq!(cast(Type::Str, "true"), r#""true""#);
        assert_eq!(cast(Type::Str, "null"), "null");
    }

    #[test]
    fn numbers() {
        for (json, int, num) in [
            (r#""1""#, "1", "1"),
            (r#""1.9""#, "1", "1.9"),
            ("-1.9", "-1", "-1.9"),
            ("12345678901234567890123", "12345678901234567890123", "12345678901234567890123"),
            (r#""12345678901234567890123.5""#, "12345678901234567890123", "12345678901234567890123.5"),
            (r#"" +007 ""#, "7", "7"),
            (r#"".5""#, "0", "0.5"),
            (r#""00""#, "0", "0"),
            ("-0.5", "0", "-0.5"),
            ("1e3", "1000", "1e3"),
            ("1.5e1", "15", "1.5e1"),
            ("1e300", "1e300", "1e300"),
            (r#""blah""#, r#""blah""#, r#""blah""#),
            (r#""1-2""#, r#""1-2""#, r#""1-2""#),
            (r#""""#, r#""""#, r#""""#),
            (r#""0x10""#, r#""0x10""#, r#""0x10""#),
            ("true", "true", "true"),
            ("[1]", "[1]", "[1]"),
            ("null", "null", "null"),
        ] {
            assert_eq!(cast(Type::Int, json), int, "int of {json}");
            assert_eq!(cast(Type::Num, json), num, "num of {json}");
        }
    }

    #[test]
    fn words_and_json() {
        assert_eq!(cast(Type::Bool, r#""true""#), "true");
        assert_eq!(cast(Type::Bool, "false"), "false");
        assert_eq!(cast(Type::Bool, r#""blah""#), r#""blah""#);
        assert_eq!(cast(Type::Null, r#""null""#), "null");
        assert_eq!(cast(Type::Null, r#""blah""#), r#""blah""#);
        assert_eq!(cast(Type::Json, r#""{\"a\": 1.10}""#), r#"{"a": 1.10}"#);
        assert_eq!(cast(Type::Json, r#""blah""#), r#""blah""#);
        assert_eq!(cast(Type::Json, "[1]"), "[1]");
        assert_eq!(cast(Type::Any, "[1]"), "[1]");
    }
}
