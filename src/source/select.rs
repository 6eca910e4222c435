//! Finds several values of one JSON text in a single pass, as slices of it. Unlike [`crate::json::get`] it
//! says when the text is no JSON: an answer that can't be read must not look like one without records.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json;

/// The values at `paths`, in their order; `None` where there is none. Of duplicate keys the last one counts.
///
/// # Errors
/// When `text` is not exactly one JSON value.
pub(super) fn select<'j>(
    text: &'j str,
    paths: &[&[String]],
) -> Result<Vec<Option<&'j str>>, serde_json::Error> {
    let mut found = vec![None; paths.len()];
    let wanted = paths.iter().enumerate().map(|(slot, rest)| Want { slot, rest }).collect();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Walk { wanted, found: &mut found }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(found)
}

/// What is left of the way to a wanted value.
#[derive(Clone, Copy)]
struct Want<'p> {
    slot: usize,
    rest: &'p [String],
}

struct Walk<'w, 'p, 'j> {
    wanted: Vec<Want<'p>>,
    found: &'w mut [Option<&'j str>],
}

impl<'p, 'j> Walk<'_, 'p, 'j> {
    /// The walk below the member or element `name`. What was found under an earlier duplicate is forgotten.
    fn below(&mut self, name: &str) -> Walk<'_, 'p, 'j> {
        let step = |want: &Want<'p>| match want.rest.split_first() {
            Some((head, rest)) if head == name => Some(Want { slot: want.slot, rest }),
            _ => None,
        };
        let wanted: Vec<Want<'p>> = self.wanted.iter().filter_map(step).collect();
        for want in &wanted {
            self.found[want.slot] = None;
        }
        Walk { wanted, found: self.found }
    }
}

impl<'j> DeserializeSeed<'j> for Walk<'_, '_, 'j> {
    type Value = ();

    fn deserialize<D: Deserializer<'j>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.wanted.is_empty() {
            return IgnoredAny::deserialize(deserializer).map(|_| ());
        }
        if self.wanted.iter().all(|want| !want.rest.is_empty()) {
            return deserializer.deserialize_any(self);
        }
        let raw = <&'j RawValue>::deserialize(deserializer)?.get();
        for want in &self.wanted {
            self.found[want.slot] = json::get(raw, want.rest);
        }
        Ok(())
    }
}

impl<'j> Visitor<'j> for Walk<'_, '_, 'j> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'j>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'j, str>>()? {
            map.next_value_seed(self.below(&key))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'j>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0usize;
        while seq.next_element_seed(self.below(&index.to_string()))?.is_some() {
            index += 1;
        }
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pick<'j>(text: &'j str, paths: &[&str]) -> Vec<Option<&'j str>> {
        let split = |path: &&str| path.split('.').filter(|s| !s.is_empty()).map(str::to_owned).collect();
        let paths: Vec<Vec<String>> = paths.iter().map(split).collect();
        let slices: Vec<&[String]> = paths.iter().map(Vec::as_slice).collect();
        select(text, &slices).unwrap()
    }

    #[test]
    fn several_paths_in_one_pass() {
        let text = r#" {"meta":{"after":"c2","more":true},"x":[1,{"y":2.50}],"data":[1, 2]} "#;
        assert_eq!(
            pick(text, &["data", "meta.after", "meta.more", "meta", "x.1.y", "x.9", "data.k", "", "n"]),
            [
                Some("[1, 2]"),
                Some(r#""c2""#),
                Some("true"),
                Some(r#"{"after":"c2","more":true}"#),
                Some("2.50"),
                None,
                None,
                Some(text.trim()),
                None
            ]
        );
    }

    #[test]
    fn the_last_duplicate_counts_as_a_whole() {
        assert_eq!(pick(r#"{"m":{"a":1},"m":{"b":2}}"#, &["m.a", "m.b"]), [None, Some("2")]);
        assert_eq!(pick(r#"{"m":{"a":1},"m":7}"#, &["m.a", "m"]), [None, Some("7")]);
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        let path = ["data".to_owned()];
        for text in
            ["", "{", r#"{"data":[1]}x"#, r#"{"data":[1],}"#, r#"{"other":[01],"data":[]}"#, "<html>", "NaN"]
        {
            assert!(select(text, &[&path]).is_err(), "{text}");
        }
    }

    /// Any JSON text: few names, so that paths meet and keys repeat.
    fn any_json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("-1.50e3".to_owned()),
            Just(r#""a\"]}""#.to_owned()),
            Just("true".to_owned())
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let member = ("[ab]", inner.clone()).prop_map(|(key, value)| format!("\"{key}\" : {value}"));
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
                prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_finds_what_separate_lookups_find(
            text in any_json(),
            paths in prop::collection::vec(prop::collection::vec("[ab01]", 0..4), 0..4),
        ) {
            let slices: Vec<&[String]> = paths.iter().map(Vec::as_slice).collect();
            let found = select(&text, &slices).unwrap();
            let expected: Vec<Option<&str>> = paths.iter().map(|path| json::get(&text, path)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
