//! What an item is judged by: a function (whose answers the prelude collected), the path of a member, or an object that
//! it must match.

use jsonata_core::functions::array::values_equal;
use jsonata_core::value::JValue;

use super::Args;
use super::value::{at, is_truthy};

/// What each of `items` is by `by`; `answers` are those of a function, as `[{"k": …}]`.
pub(super) fn keys(items: &[JValue], by: &JValue, answers: &JValue) -> Vec<JValue> {
    if by.is_function() {
        let answers = answers.as_array().map_or(&[][..], Vec::as_slice);
        return (0..items.len()).map(|index| answer(answers.get(index))).collect();
    }
    items.iter().map(|item| key(item, by)).collect()
}

fn answer(answer: Option<&JValue>) -> JValue {
    answer.and_then(|answer| answer.get("k")).cloned().unwrap_or(JValue::Undefined)
}

fn key(item: &JValue, by: &JValue) -> JValue {
    match by {
        JValue::String(path) => at(item, path).cloned().unwrap_or(JValue::Undefined),
        JValue::Object(_) => JValue::Bool(matches(item, by)),
        // A path and the value it must have.
        JValue::Array(pair) if pair.len() == 2 => {
            let found = pair[0].as_str().and_then(|path| at(item, path));
            JValue::Bool(found.is_some_and(|found| values_equal(found, &pair[1])))
        }
        _ => item.clone(),
    }
}

/// Whether `item` has all that `wanted` has.
fn matches(item: &JValue, wanted: &JValue) -> bool {
    match wanted {
        JValue::Object(members) => {
            members.iter().all(|(name, wanted)| item.get(name).is_some_and(|found| matches(found, wanted)))
        }
        other => values_equal(item, other),
    }
}

/// The items of the first argument for which the second holds.
pub(super) fn chosen<'a>(args: &Args<'a>) -> impl Iterator<Item = &'a JValue> {
    let items = args.items(0);
    let keys = keys(items, args.get(1), args.get(2));
    items.iter().zip(keys).filter(|(_, key)| is_truthy(key)).map(|(item, _)| item)
}
