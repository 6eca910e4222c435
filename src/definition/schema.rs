//! The part of JSON Schema (<https://json-schema.org/draft/2020-12>) by which arguments of jobs and records of unified
//! models are declared. What isn't in it is refused when the definition is read, so nothing that is written goes unchecked.

mod format;

use serde_json::{Map, Value};

use super::check::{Fields, Spot};
use crate::json::Json;
use crate::nearest::nearest;

const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "object", "array", "null"];
/// How deep a schema may nest.
const DEPTH_MAX: usize = 16;
/// The most violations that are told of one value.
const VIOLATIONS_MAX: usize = 20;

/// Whether a schema is understood, `depth` levels below another.
pub(super) fn nested(spot: &Spot<'_>, depth: usize) -> Option<()> {
    if depth > DEPTH_MAX {
        spot.problem(&format!("a schema is nested at most {DEPTH_MAX} levels deep"), None);
        return None;
    }
    let fields = spot.fields()?;
    let description = fields.maybe("description", Spot::text);
    let required = fields.maybe("required", |spot| {
        let names: Vec<Option<&str>> = spot.list()?.iter().map(Spot::text).collect();
        names.into_iter().collect::<Option<Vec<_>>>()
    });
    let own = fields.maybe("format", format_name);
    let checked = check(&fields, depth);
    fields.finish();
    description?;
    required?;
    own?;
    checked
}

/// The schema of an object, whose members are named.
pub(super) fn of_object(spot: &Spot<'_>) -> Option<Json> {
    nested(spot, 0)?;
    if let Some(wanted) = spot.value().get("type").filter(|wanted| !is_of(wanted, &Value::Object(Map::new())))
    {
        spot.problem(&format!("this is {}, not an object", type_names(wanted)), Some("write type: object"));
        return None;
    }
    if spot.value().get("properties").is_none_or(|properties| !properties.is_object()) {
        let hint = "write type: object and properties: { id: { type: string } }";
        spot.problem("the schema names no properties", Some(hint));
        return None;
    }
    Some(Json::of(spot.value()))
}

/// The schema of an object, in which the member at `path` may be as well.
pub(super) fn allowing(schema: &Json, path: &[&str]) -> Json {
    let Ok(mut schema) = serde_json::from_str::<Value>(schema.as_str()) else { return schema.clone() };
    let mut place = &mut schema;
    for step in path {
        let Some(members) = place.as_object_mut() else { break };
        // What says nothing of its members allows them all.
        let Some(properties) = members.get_mut("properties").and_then(Value::as_object_mut) else { break };
        place = properties.entry(*step).or_insert_with(|| Value::Object(Map::new()));
    }
    Json::of(&schema)
}

/// Whether all but `required`, `default`, `description` and `format` is understood.
pub(super) fn check(fields: &Fields<'_>, depth: usize) -> Option<()> {
    fields.ignore(&["title", "label", "examples", "$comment"]);
    let types = fields.maybe("type", types);
    let values = fields.maybe("enum", |spot| {
        let filled = !spot.list()?.is_empty();
        if !filled {
            spot.problem("this allows no value at all", Some("list the values that are allowed"));
        }
        filled.then_some(())
    });
    let _ = fields.written("const");
    let numbers = ["minimum", "maximum"].map(|name| fields.maybe(name, number));
    let counts = ["minLength", "maxLength", "minItems", "maxItems"]
        .map(|name| fields.maybe(name, |spot| spot.whole(0..=u64::MAX)));
    let items = fields.maybe("items", |spot| nested(spot, depth + 1));
    let properties = fields.maybe("properties", |spot| {
        let read: Vec<Option<()>> = spot.entries()?.iter().map(|(_, spot)| nested(spot, depth + 1)).collect();
        read.into_iter().collect::<Option<Vec<()>>>()
    });
    let additional = fields.maybe("additionalProperties", Spot::boolean);
    fields.refuse("$ref", "references are not followed", "write what it refers to");
    let hint =
        "limit it by enum, format, minLength and maxLength; args_validation of a job can match its arguments";
    fields.refuse("pattern", "patterns are not looked at here", hint);
    types?;
    values?;
    numbers.into_iter().collect::<Option<Vec<_>>>()?;
    counts.into_iter().collect::<Option<Vec<_>>>()?;
    items?;
    properties?;
    additional?;
    Some(())
}

/// A type or a list of them.
fn types(spot: &Spot<'_>) -> Option<()> {
    let spots = if spot.value().is_array() { spot.list()? } else { vec![spot.clone()] };
    let known: Vec<(&str, ())> = TYPES.iter().map(|name| (*name, ())).collect();
    let read: Vec<Option<()>> = spots.iter().map(|spot| spot.choice(&known)).collect();
    read.into_iter().collect::<Option<Vec<()>>>().map(|_| ())
}

pub(super) fn format_name<'c>(spot: &Spot<'c>) -> Option<&'c str> {
    let word = spot.text()?;
    if !format::ALL.contains(&word) {
        spot.not_one_of(word, &format::ALL);
        return None;
    }
    Some(word)
}

fn number(spot: &Spot<'_>) -> Option<f64> {
    let number = spot.value().as_f64();
    if number.is_none() {
        spot.problem("expected a number", None);
    }
    number
}

/// What a value doesn't keep to: where below the value (`[2].name`), what is wrong, what to do.
pub type Violation = (String, String, Option<String>);

/// What of `schema` (one that was checked) the value `json` doesn't keep to.
pub fn violations(schema: &Json, json: &Json) -> Vec<Violation> {
    violations_of(schema, json, |_, value| value)
}

/// What of `schema` the parameters `query` don't keep to. They are sent as text, so `"25"` is a whole number too and `25` a
/// text; what is `null` is not sent.
pub fn violations_of_query(schema: &Json, query: &Json) -> Vec<Violation> {
    if *query == Json::null() {
        return Vec::new();
    }
    violations_of(schema, query, sent)
}

/// What `schema` says of the member `name` of an object: its own schema (`None` where nothing is said), or that it is wrong,
/// whatever its value is.
pub fn of_member(schema: &Json, name: &str) -> Result<Option<Json>, Violation> {
    let Ok(members) = serde_json::from_str::<Map<String, Value>>(schema.as_str()) else { return Ok(None) };
    match undeclared(&members, name, "") {
        Some(wrong) => Err(wrong),
        None => Ok(schema.get(&["properties", name])),
    }
}

fn violations_of(
    schema: &Json,
    json: &Json,
    seen_as: fn(&Map<String, Value>, Value) -> Value,
) -> Vec<Violation> {
    let (schema, value) = (serde_json::from_str(schema.as_str()), serde_json::from_str(json.as_str()));
    let (Ok(Value::Object(schema)), Ok(value)) = (schema, value) else { return Vec::new() };
    let mut found = Vec::new();
    look(&schema, &seen_as(&schema, value), String::new(), &mut found);
    found.truncate(VIOLATIONS_MAX);
    found
}

/// A parameter as what `schema` wants it to be, where its text can be read as that.
fn sent(schema: &Map<String, Value>, value: Value) -> Value {
    let none = Map::new();
    let below =
        |schema: Option<&Value>, value| sent(schema.and_then(Value::as_object).unwrap_or(&none), value);
    match value {
        Value::Object(members) => {
            let properties = schema.get("properties");
            let given = members.into_iter().filter(|(_, value)| !value.is_null());
            given
                .map(|(name, value)| {
                    let value = below(properties.and_then(|all| all.get(&name)), value);
                    (name, value)
                })
                .collect()
        }
        Value::Array(elements) => {
            elements.into_iter().map(|element| below(schema.get("items"), element)).collect()
        }
        Value::Null => value,
        Value::String(ref text) if !suits(schema, &value) => serde_json::from_str(text)
            .ok()
            .filter(|read: &Value| (read.is_number() || read.is_boolean()) && is_of_type(schema, read))
            .unwrap_or(value),
        Value::Number(_) | Value::Bool(_) if !suits(schema, &value) => {
            Some(Value::String(value.to_string())).filter(|text| suits(schema, text)).unwrap_or(value)
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) => value,
    }
}

fn is_of_type(schema: &Map<String, Value>, value: &Value) -> bool {
    schema.get("type").is_none_or(|wanted| is_of(wanted, value))
}

/// Whether this may be what is meant: of the type, and one of those that are listed. What has limits is a number.
fn suits(schema: &Map<String, Value>, value: &Value) -> bool {
    let listed = match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(allowed)), _) => allowed.contains(value),
        (_, Some(only)) => value == only,
        _ => true,
    };
    let has_limits = schema.contains_key("minimum") || schema.contains_key("maximum");
    let is_text_of_number = value.is_string() && has_limits && !schema.contains_key("type");
    is_of_type(schema, value) && listed && !is_text_of_number
}

fn look(schema: &Map<String, Value>, value: &Value, place: String, found: &mut Vec<Violation>) {
    let mut report = |message: String, hint: Option<String>| found.push((place.clone(), message, hint));
    if let Some(wanted) = schema.get("type").filter(|wanted| !is_of(wanted, value)) {
        let quoted = matches!(value, Value::Number(_) | Value::Bool(_)) && wanted == "string";
        let hint = quoted.then(|| "put it in quotes".to_owned());
        return report(format!("expected {}, found {}", type_names(wanted), type_of(value)), hint);
    }
    if let Some(Value::Array(allowed)) = schema.get("enum")
        && !allowed.contains(value)
    {
        let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
        report(format!("{value} is not allowed"), Some(format!("one of {}", allowed.join(", "))));
    }
    if let Some(wanted) = schema.get("const").filter(|wanted| *wanted != value) {
        report(format!("{value} is not allowed"), Some(format!("it can only be {wanted}")));
    }
    match value {
        Value::String(text) => look_at_text(schema, text, &mut report),
        Value::Number(number) => {
            let limit = |name: &str| schema.get(name).and_then(Value::as_f64);
            let number = number.as_f64().unwrap_or_default();
            let (min, max) = (limit("minimum"), limit("maximum"));
            if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
                report(format!("{value} is out of range"), Some(range(min, max, "")));
            }
        }
        Value::Array(elements) => {
            count(schema, ["minItems", "maxItems"], elements.len(), "elements", &mut report);
            if let Some(Value::Object(items)) = schema.get("items") {
                for (index, element) in elements.iter().enumerate() {
                    look(items, element, format!("{place}[{index}]"), found);
                }
            }
        }
        Value::Object(members) => look_at_members(schema, members, &place, found),
        Value::Null | Value::Bool(_) => {}
    }
}

fn look_at_text(schema: &Map<String, Value>, text: &str, report: &mut impl FnMut(String, Option<String>)) {
    count(schema, ["minLength", "maxLength"], text.chars().count(), "characters", report);
    if let Some(format) = schema.get("format").and_then(Value::as_str)
        && let Some(like) = format::refusal(format, text)
    {
        report(format!("{text:?} is no {format}"), Some(format!("such as {like}")));
    }
}

fn look_at_members(
    schema: &Map<String, Value>,
    members: &Map<String, Value>,
    place: &str,
    found: &mut Vec<Violation>,
) {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str).filter(|name| !members.contains_key(*name)) {
        found.push((place.to_owned(), format!("{name} is missing"), None));
    }
    for (name, member) in members {
        match properties.get(name) {
            Some(Value::Object(schema)) => look(schema, member, format!("{place}.{name}"), found),
            Some(_) => {}
            None => found.extend(undeclared(schema, name, place)),
        }
    }
}

/// A member that `schema` doesn't declare, where it allows no others.
fn undeclared(schema: &Map<String, Value>, name: &str, place: &str) -> Option<Violation> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let known: Vec<&str> = properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
    let refused = !known.contains(&name) && schema.get("additionalProperties") == Some(&Value::Bool(false));
    let hint = || Some(near(name, &known, "there are"));
    refused.then(|| (format!("{place}.{name}"), "this is not expected here".to_owned(), hint()))
}

/// What `word` may have been meant to be, of what is `known`.
pub(super) fn near(word: &str, known: &[&str], all: &str) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None if known.is_empty() => "none is declared".to_owned(),
        None => format!("{all} {}", known.join(", ")),
    }
}

fn count(
    schema: &Map<String, Value>,
    names: [&str; 2],
    count: usize,
    of_what: &str,
    report: &mut impl FnMut(String, Option<String>),
) {
    let [min, max] = names.map(|name| schema.get(name).and_then(Value::as_u64));
    let count = count as u64;
    if min.is_some_and(|min| count < min) || max.is_some_and(|max| count > max) {
        report(format!("this has {count} {of_what}"), Some(range(min, max, of_what)));
    }
}

fn range<N: std::fmt::Display>(min: Option<N>, max: Option<N>, of_what: &str) -> String {
    let text = match (min, max) {
        (Some(min), Some(max)) => format!("from {min} to {max} {of_what}"),
        (Some(min), None) => format!("at least {min} {of_what}"),
        (None, Some(max)) => format!("at most {max} {of_what}"),
        (None, None) => String::new(),
    };
    text.trim_end().to_owned()
}

fn is_of(wanted: &Value, value: &Value) -> bool {
    let one = |name: &Value| match name.as_str().unwrap_or_default() {
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        name => name == type_word(value),
    };
    wanted.as_array().map_or_else(|| one(wanted), |names| names.iter().any(one))
}

fn type_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn type_names(wanted: &Value) -> String {
    let name = |name: &Value| match name.as_str().unwrap_or_default() {
        "string" => "text",
        "number" => "a number",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "an object",
        _ => "nothing",
    };
    match wanted.as_array() {
        Some(names) => names.iter().map(name).collect::<Vec<_>>().join(" or "),
        None => name(wanted).to_owned(),
    }
}

fn type_of(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => "a decimal".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            type_names(&Value::from(type_word(value)))
        }
    }
}
