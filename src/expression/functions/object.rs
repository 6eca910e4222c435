//! Objects: choosing members, and translating values.

use jsonata_core::value::{JMap, JValue};

use super::value::{at, identity, object, text_of};
use super::{Answer, Args, Function};

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "pick", call: |args| Ok(each(args, pick)) },
    Function { name: "omit", call: |args| Ok(each(args, omit)) },
    Function { name: "values", call: values },
    Function { name: "mapValues", call: map_values },
    Function { name: "jsonParse", call: json_parse },
    Function { name: "jsonStringify", call: |args| Ok(JValue::string(identity(args.get(0))?)) },
];

/// Does `change` to an object, or to each object of an array.
fn each(args: &Args, change: fn(&JValue, &[String]) -> JValue) -> JValue {
    let names: Vec<String> = args.items(1).iter().map(text_of).collect();
    match args.get(0) {
        JValue::Array(items) => JValue::array(items.iter().map(|item| change(item, &names)).collect()),
        one => change(one, &names),
    }
}

fn pick(value: &JValue, names: &[String]) -> JValue {
    let mut picked = object([]);
    for name in names {
        if let Some(found) = at(value, name).filter(|found| !found.is_undefined()) {
            let path: Vec<&str> =
                if value.get(name).is_some() { vec![name] } else { name.split('.').collect() };
            put(&mut picked, &path, found.clone());
        }
    }
    picked
}

fn put(target: &mut JValue, path: &[&str], value: JValue) {
    let Some(members) = target.as_object_mut() else { return };
    match path {
        [] => {}
        [name] => drop(members.insert((*name).to_owned(), value)),
        [name, rest @ ..] => {
            put(members.entry((*name).to_owned()).or_insert_with(|| object([])), rest, value)
        }
    }
}

fn omit(value: &JValue, names: &[String]) -> JValue {
    let mut left = value.clone();
    for name in names {
        let path: Vec<&str> = if value.get(name).is_some() { vec![name] } else { name.split('.').collect() };
        take_out(&mut left, &path);
    }
    left
}

fn take_out(target: &mut JValue, path: &[&str]) {
    let Some(members) = target.as_object_mut() else { return };
    match path {
        [] => {}
        [name] => drop(members.shift_remove(*name)),
        [name, rest @ ..] => {
            if let Some(inner) = members.get_mut(*name) {
                take_out(inner, rest);
            }
        }
    }
}

fn values(args: &Args) -> Answer {
    Ok(match args.get(0) {
        JValue::Object(members) => JValue::array(members.values().cloned().collect()),
        JValue::Array(items) => JValue::array(items.to_vec()),
        _ => JValue::array(vec![]),
    })
}

/// `$mapValues(value, mapping, lowerCase, default)`: each string or number in `value` that `mapping` has a word for,
/// whatever its case, becomes that.
fn map_values(args: &Args) -> Answer {
    let (value, default) = (args.get(0), args.get(3));
    if (value.is_undefined() || value.is_null()) && args.optional(3).is_some() {
        return Ok(default.clone());
    }
    let Some(mapping) = args.get(1).as_object() else { return Ok(value.clone()) };
    let mapping: JMap = mapping.iter().map(|(word, value)| (word.to_lowercase(), value.clone())).collect();
    Ok(translated(value, &mapping))
}

fn translated(value: &JValue, mapping: &JMap) -> JValue {
    match value {
        JValue::String(_) | JValue::Number(_) => {
            let word = mapping.get(&text_of(value).to_lowercase());
            word.filter(|word| !word.is_null()).unwrap_or(value).clone()
        }
        JValue::Array(items) => JValue::array(items.iter().map(|item| translated(item, mapping)).collect()),
        JValue::Object(members) => {
            object(members.iter().map(|(name, value)| (name.clone(), translated(value, mapping))))
        }
        other => other.clone(),
    }
}

/// `null` when the text is no JSON.
fn json_parse(args: &Args) -> Answer {
    Ok(JValue::from_json_str(args.text(0)?).unwrap_or(JValue::Null))
}
