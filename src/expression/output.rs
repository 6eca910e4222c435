//! From the library's value to JSON: bounded, with numbers written as JavaScript writes them.

use std::rc::Rc;

use jsonata_core::functions::boolean::boolean;
use jsonata_core::value::{JMap, JValue};

use super::{DEPTH_OF_VALUE_MAX, OUTPUT_BYTES_MAX};
use crate::json::Json;

/// The member that marks a date object (`$dtFromIso`), which is written as what it says when it is asked for its text.
pub(super) const DATE_TEXT: &str = "isoText";

/// The JSON text of `value`; functions within objects are left out, as `JSON.stringify` does.
///
/// # Errors
/// One sentence: the value is too large, nests too deep, or has a number that JSON can't say.
pub(super) fn json(value: &JValue) -> Result<String, String> {
    let mut text = String::new();
    write(value, &mut text, 0)?;
    Ok(text)
}

fn write(value: &JValue, out: &mut String, depth: usize) -> Result<(), String> {
    if depth > DEPTH_OF_VALUE_MAX {
        return Err(format!("the expression's value nests deeper than {DEPTH_OF_VALUE_MAX} levels"));
    }
    match value {
        JValue::Null
        | JValue::Undefined
        | JValue::Lambda(_)
        | JValue::Builtin { .. }
        | JValue::Regex { .. } => {
            out.push_str("null");
        }
        JValue::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        JValue::Number(number) => out.push_str(&number_text(*number)?),
        JValue::String(text) => push_string(text, out),
        JValue::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out, depth + 1)?;
            }
            out.push(']');
        }
        JValue::Object(members) => match date_text(members) {
            Some(text) => write(text, out, depth + 1)?,
            None => write_object(members, out, depth)?,
        },
    }
    if out.len() > OUTPUT_BYTES_MAX {
        return Err(format!("the expression's value is longer than {OUTPUT_BYTES_MAX} bytes"));
    }
    Ok(())
}

fn write_object(members: &Rc<JMap>, out: &mut String, depth: usize) -> Result<(), String> {
    out.push('{');
    let mut first = true;
    for (key, value) in members.iter() {
        if value.is_undefined() || value.is_function() {
            continue;
        }
        if !first {
            out.push(',');
        }
        first = false;
        push_string(key, out);
        out.push(':');
        write(value, out, depth + 1)?;
    }
    out.push('}');
    Ok(())
}

fn push_string(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// What a date object says, `null` when it is none that exists; `None` for any other object.
fn date_text(members: &JMap) -> Option<&JValue> {
    let is_date = members.get("toISO").is_some_and(JValue::is_function);
    members.get(DATE_TEXT).filter(|text| is_date && !text.is_object())
}

/// A number as JavaScript writes it: `1`, never `1.0`.
fn number_text(number: f64) -> Result<String, String> {
    if !number.is_finite() {
        return Err("the expression's value has a number out of range (D1001)".to_owned());
    }
    let size = number.abs();
    Ok(if size == 0.0 {
        "0".to_owned()
    } else if (1e-6..1e21).contains(&size) {
        number.to_string()
    } else {
        format!("{number:e}")
    })
}

/// What JSONata's `$boolean` says of `value`.
pub(super) fn is_true(value: &Json) -> bool {
    JValue::from_json_str(value.as_str())
        .is_ok_and(|value| boolean(&value).is_ok_and(|value| value == JValue::Bool(true)))
}
