//! Objects as lists of members, in the order they were written.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Json;

/// How deep two objects are merged; what lies deeper is replaced as a whole.
const MERGE_DEPTH_MAX: usize = 64;

/// The members of the JSON object that `json` is, in the order they were written, each with its value's text.
///
/// # Errors
/// When `json` is no JSON object.
pub fn members(json: &str) -> Result<Vec<(String, &str)>, serde_json::Error> {
    let raws: Members<'_> = serde_json::from_str(json)?;
    Ok(raws.0.into_iter().map(|(key, raw)| (key, raw.get())).collect())
}

/// `base` with the members of `over` laid over its own, objects within objects merged in the same way. `base` as it
/// is when one of them is no object.
pub fn merged(base: &str, over: &str) -> Json {
    let text = merged_text(base, over, MERGE_DEPTH_MAX);
    Json::parse(text.as_deref().unwrap_or(base)).unwrap_or_else(|_| Json::null())
}

fn merged_text(base: &str, over: &str, depth_left: usize) -> Option<String> {
    let is_object = |text: &str| text.trim_start().starts_with('{');
    if depth_left == 0 || !is_object(base) || !is_object(over) {
        return None;
    }
    let own = members(base).ok()?.into_iter();
    let mut result: Vec<(String, String)> = own.map(|(key, value)| (key, value.to_owned())).collect();
    for (key, value) in members(over).ok()? {
        match result.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => {
                *old = merged_text(old, value, depth_left - 1).unwrap_or_else(|| value.to_owned());
            }
            None => result.push((key, value.to_owned())),
        }
    }
    let shown = result.iter().map(|(key, value)| format!("{}:{value}", Json::string(key)));
    Some(format!("{{{}}}", shown.collect::<Vec<_>>().join(",")))
}

struct Members<'j>(Vec<(String, &'j RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(InOrder).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_their_text() {
        let found = members(r#" {"z": 1.10, "a": {"b" : 12345678901234567890123}} "#).unwrap();
        let shown: Vec<(&str, &str)> = found.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        assert_eq!(shown, [("z", "1.10"), ("a", r#"{"b" : 12345678901234567890123}"#)]);
        assert!(members("[]").is_err());
    }

    #[test]
    fn objects_are_merged_to_any_depth_and_all_else_is_replaced() {
        let merge = |base, over| merged(base, over).as_str().to_owned();
        assert_eq!(
            merge(r#"{"a":{"x":1,"y":[1]},"b":2}"#, r#"{"a":{"y":[2],"z":1.10},"c":null}"#),
            r#"{"a":{"x":1,"y":[2],"z":1.10},"b":2,"c":null}"#
        );
        assert_eq!(merge(r#"{"a":1}"#, "[1]"), r#"{"a":1}"#);
        assert_eq!(merge(r#"{"a":1}"#, r#"{"a":{"b":1}}"#), r#"{"a":{"b":1}}"#);
        let deep = |leaf: &str| format!("{}{leaf}{}", r#"{"a":"#.repeat(200), "}".repeat(200));
        assert_eq!(merge(&deep("1"), &deep("2")), deep("2"));
    }
}
