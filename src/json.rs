//! JSON as text. Records pass through the product as slices of what the source sent, so big numbers,
//! decimals, key order and duplicate keys stay what they were; nothing here builds a tree.

mod members;
mod unknown;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

pub use members::{members, merged};
pub use unknown::Unknown;

/// One valid JSON value, kept exactly as it was written.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Box<str>);

impl Json {
    /// `null`.
    pub fn null() -> Self {
        Self("null".into())
    }

    /// `{}`.
    pub fn empty_object() -> Self {
        Self("{}".into())
    }

    /// A JSON string with this content.
    pub fn string(text: &str) -> Self {
        Self(serde_json::Value::from(text).to_string().into())
    }

    /// Takes `text` after checking that it is one JSON value.
    ///
    /// # Errors
    /// The parser's error, with its line and column.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let raw: &RawValue = serde_json::from_str(text)?;
        Ok(Self(raw.get().into()))
    }

    /// The JSON text of any serialisable value; `null` when it can't be serialised.
    pub fn of(value: &impl Serialize) -> Self {
        serde_json::to_string(value).map_or_else(|_| Self::null(), |text| Self(text.into()))
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value at `path`, member by member; array elements by their index. `None` when absent.
    pub fn get<S: AsRef<str>>(&self, path: &[S]) -> Option<Json> {
        get(&self.0, path).map(|text| Self(text.into()))
    }

    /// The text a person would write for this value: a string's content, any other value's JSON.
    pub fn to_text(&self) -> Cow<'_, str> {
        text_of(&self.0)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(raw.get().into()))
    }
}

/// The slice of `json` that holds the value at `path`; `None` when absent or when `json` is no JSON.
/// Of duplicate keys the last one counts, as in JavaScript.
pub fn get<'j, S: AsRef<str>>(json: &'j str, path: &[S]) -> Option<&'j str> {
    let mut here = json.trim();
    for step in path {
        let mut deserializer = serde_json::Deserializer::from_str(here);
        here = Step(step.as_ref()).deserialize(&mut deserializer).ok()??.get();
    }
    (!here.is_empty()).then_some(here)
}

/// The ranges of the elements of the JSON array that `json` is.
///
/// # Errors
/// When `json` is no JSON array.
pub fn elements(json: &str) -> Result<Vec<Range<usize>>, serde_json::Error> {
    let raws: Vec<&RawValue> = serde_json::from_str(json)?;
    Ok(raws.iter().map(|raw| range_within(json, raw.get())).collect())
}

/// Where `part`, a slice of `whole`, lies in it.
pub fn range_within(whole: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start + part.len()
}

/// A string's content, any other value's JSON text.
pub fn text_of(json: &str) -> Cow<'_, str> {
    if json.starts_with('"') {
        serde_json::from_str::<Cow<'_, str>>(json).unwrap_or(Cow::Borrowed(json))
    } else {
        Cow::Borrowed(json)
    }
}

/// The beginning of `text`, of no more than `bytes_max` bytes, at the end of a character.
pub fn beginning(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The deepest nesting of arrays and objects in `json`, without parsing it. `RawValue` sets no limit of
/// its own, and a receiver's parser may crash on what we pass on.
pub fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0usize, false, false);
    for byte in json {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_string = false,
            (false, b'"') => in_string = true,
            (false, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// One step down: the member of this name, or the element with this index.
struct Step<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == self.0 {
                found = Some(map.next_value::<&'de RawValue>()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let wanted = self.0.parse::<usize>().ok();
        let (mut found, mut index) = (None, 0);
        while let Some(raw) = seq.next_element::<&'de RawValue>()? {
            if wanted == Some(index) {
                found = Some(raw);
            }
            index += 1;
        }
        Ok(found)
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Turns serde's "not valid" into one sentence; kept here so that every reader of JSON words it alike.
pub fn explain(error: &serde_json::Error) -> String {
    serde_json::Error::custom(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICKET: &str = r#" {"id": 12345678901234567890123, "price": 1.10, "tags": ["a", {"b": null}], "id2": "x\"y", "id2": "z"} "#;

    #[test]
    fn get_keeps_the_text_as_it_was_written() {
        assert_eq!(get(TICKET, &["id"]), Some("12345678901234567890123"));
        assert_eq!(get(TICKET, &["price"]), Some("1.10"));
        assert_eq!(get(TICKET, &["tags", "1", "b"]), Some("null"));
        assert_eq!(get(TICKET, &["id2"]), Some("\"z\""));
        assert_eq!(get(TICKET, &["none"]), None);
        assert_eq!(get(TICKET, &["id", "deeper"]), None);
        assert_eq!(get("not json", &["a"]), None);
    }

    #[test]
    fn elements_are_slices() {
        let text = r#"[ {"a":1} , 2,"x" ]"#;
        let parts: Vec<&str> = elements(text).unwrap().into_iter().map(|range| &text[range]).collect();
        assert_eq!(parts, [r#"{"a":1}"#, "2", r#""x""#]);
        assert!(elements("{}").is_err());
    }

    #[test]
    fn depth_ignores_brackets_in_strings() {
        assert_eq!(depth(br#"{"a":["[[[\"{{"]}"#), 2);
        assert_eq!(depth(b"1"), 0);
    }

    #[test]
    fn json_round_trips_unchanged() {
        let json: Json = serde_json::from_str(TICKET).unwrap();
        assert_eq!(json.as_str(), TICKET.trim());
        assert_eq!(serde_json::to_string(&json).unwrap(), TICKET.trim());
        assert_eq!(Json::string("a\"b").to_text(), "a\"b");
    }
}
