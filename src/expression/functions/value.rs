//! What several functions do with values.

use std::rc::Rc;

use jsonata_core::evaluator::EvaluatorError;
use jsonata_core::value::{JMap, JValue};

use super::refuse;
use crate::expression::output;

/// The member at a path such as `parent.id`; an array's by its index.
pub(super) fn at<'v>(value: &'v JValue, path: &str) -> Option<&'v JValue> {
    // A name with a dot in it comes first, as with lodash.
    if let Some(found) = value.get(path) {
        return Some(found);
    }
    path.split('.').try_fold(value, |value, name| match value {
        JValue::Array(items) => items.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    })
}

pub(super) fn object(members: impl IntoIterator<Item = (String, JValue)>) -> JValue {
    JValue::Object(Rc::new(members.into_iter().collect::<JMap>()))
}

/// The text of a scalar; of anything else its JSON, and none of null.
pub(super) fn text_of(value: &JValue) -> String {
    match value {
        JValue::String(text) => text.to_string(),
        JValue::Null | JValue::Undefined => String::new(),
        other => output::json(other).unwrap_or_default(),
    }
}

/// Whether JavaScript takes it for true.
pub(super) fn is_truthy(value: &JValue) -> bool {
    match value {
        JValue::Null | JValue::Undefined => false,
        JValue::Bool(value) => *value,
        JValue::Number(number) => *number != 0.0 && !number.is_nan(),
        JValue::String(text) => !text.is_empty(),
        _ => true,
    }
}

/// The order of `$orderBy` and `$sortNodes`: numbers, then strings, then what can't be ordered.
pub(super) fn compare(a: &JValue, b: &JValue) -> std::cmp::Ordering {
    let rank = |value: &JValue| match value {
        JValue::Bool(_) => 0,
        JValue::Number(_) => 1,
        JValue::String(_) => 2,
        _ => 3,
    };
    match (a, b) {
        (JValue::Number(a), JValue::Number(b)) => a.total_cmp(b),
        (JValue::String(a), JValue::String(b)) => a.cmp(b),
        (JValue::Bool(a), JValue::Bool(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// What tells equal values from others, fit for a map: their JSON.
///
/// # Errors
/// When the value has none: it is too large, or has a number out of range.
pub(super) fn identity(value: &JValue) -> Result<String, EvaluatorError> {
    output::json(value).map_err(refuse)
}
