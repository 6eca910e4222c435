//! The query of a live request: what is ours, and what is the source's or the model's.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::api::error::ApiError;
use crate::definition::job::ResponseFormat;
use crate::definition::unified::LIMIT;
use crate::id::AccountId;
use crate::json::{self, Json};

/// The most parameters.
const PARAMETERS_MAX: usize = 200;
/// How deep `a[b][c]` may go.
const DEPTH_MAX: usize = 8;

/// What is asked.
pub(super) struct Asked {
    pub(super) account: AccountId,
    pub(super) cursor: Option<String>,
    /// Records a page.
    pub(super) limit: Option<u64>,
    pub(super) format: ResponseFormat,
    /// Members that are left out of records.
    pub(super) without: BTreeSet<String>,
    /// All else.
    pub(super) query: Json,
}

impl Asked {
    pub(super) fn read(text: &str) -> Result<Self, ApiError> {
        let (mut account, mut cursor, mut limit) = (None, None, None);
        let (mut format, mut without) = (ResponseFormat::Unified, BTreeSet::new());
        let mut query = Value::Object(Map::new());
        for (index, (name, value)) in url::form_urlencoded::parse(text.as_bytes()).enumerate() {
            if index == PARAMETERS_MAX {
                return Err(ApiError::bad_request(format!("at most {PARAMETERS_MAX} parameters are taken")));
            }
            let wrong = |what: &str| ApiError::bad_request(format!("{name} is {value:?}: {what}"));
            match &*name {
                "integrated_account_id" => {
                    let id = value.parse::<AccountId>().map_err(|error| wrong(&error.to_string()))?;
                    account = Some(id);
                }
                "next_cursor" if value.is_empty() => {}
                "next_cursor" => cursor = Some(value.into_owned()),
                "limit" => {
                    let number = value.parse().ok().filter(|number| *number > 0);
                    limit = Some(number.ok_or_else(|| wrong("write a number from 1"))?);
                }
                "truto_ignore_remote_data" => {
                    if value.parse::<bool>().map_err(|_| wrong("write true or false"))? {
                        format = ResponseFormat::Normalized;
                    }
                }
                "truto_response_format" => match &*value {
                    "normalized" => format = ResponseFormat::Normalized,
                    "unified" => {}
                    _ => return Err(wrong("write unified or normalized")),
                },
                "truto_exclude_fields" => without.extend(value.split(',').map(|name| name.trim().to_owned())),
                other if other.starts_with("truto_") => {
                    return Err(wrong("this parameter is not supported; leave it out"));
                }
                _ => put(&mut query, &name, value.clone().into_owned()).map_err(|what| wrong(&what))?,
            }
        }
        let message = "integrated_account_id is missing: the account to ask with";
        let account = account.ok_or_else(|| ApiError::bad_request(message))?;
        Ok(Self { account, cursor, limit, format, without, query: Json::of(&query) })
    }
}

impl Asked {
    /// The query that goes on: a mapping may read the page's size as well.
    pub(super) fn query_for(&self, is_unified: bool) -> Json {
        match self.limit.filter(|_| is_unified) {
            Some(limit) => json::merged(self.query.as_str(), &format!("{{\"{LIMIT}\":{limit}}}")),
            None => self.query.clone(),
        }
    }
}

/// Puts `a[b]=v` to `{"a": {"b": v}}`, and `a[]=v`, or `a=v` a second time, into a list.
fn put(query: &mut Value, name: &str, value: String) -> Result<(), String> {
    let Some((root, rest)) = name.split_once('[') else { return add(query, &[name], value) };
    let inner = rest.strip_suffix(']').ok_or_else(|| "a [ has no ]".to_owned())?;
    let mut steps = vec![root];
    steps.extend(inner.split("]["));
    if steps.last() == Some(&"") {
        steps.pop();
        // A list, though it may have one element.
        let (last, before) = steps.split_last().ok_or_else(|| "it has no name".to_owned())?;
        return add_to_list(query, before, last, value);
    }
    add(query, &steps, value)
}

fn add(query: &mut Value, steps: &[&str], value: String) -> Result<(), String> {
    let (last, before) = steps.split_last().ok_or_else(|| "it has no name".to_owned())?;
    let members = object(query, before)?;
    match members.get_mut(*last) {
        None => drop(members.insert((*last).to_owned(), Value::String(value))),
        Some(Value::Array(list)) => list.push(Value::String(value)),
        Some(Value::Object(_)) => return Err("it is an object as well".to_owned()),
        Some(one) => *one = Value::Array(vec![one.take(), Value::String(value)]),
    }
    Ok(())
}

fn add_to_list(query: &mut Value, before: &[&str], last: &str, value: String) -> Result<(), String> {
    let members = object(query, before)?;
    let list = members.entry(last).or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(list) = list else { return Err("it is no list elsewhere".to_owned()) };
    list.push(Value::String(value));
    Ok(())
}

fn object<'q>(query: &'q mut Value, steps: &[&str]) -> Result<&'q mut Map<String, Value>, String> {
    if steps.len() >= DEPTH_MAX {
        return Err(format!("at most {DEPTH_MAX} levels are taken"));
    }
    let no_object = || "it is no object elsewhere".to_owned();
    let mut place = query;
    for step in steps {
        let members = place.as_object_mut().ok_or_else(no_object)?;
        place = members.entry(*step).or_insert_with(|| Value::Object(Map::new()));
    }
    place.as_object_mut().ok_or_else(no_object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> String {
        match Asked::read(&format!("integrated_account_id=a&{text}")) {
            Ok(asked) => asked.query.as_str().to_owned(),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn brackets_are_objects_and_lists() {
        assert_eq!(query("a=1&b[c]=2&b[d][e]=x%20y"), r#"{"a":"1","b":{"c":"2","d":{"e":"x y"}}}"#);
        assert_eq!(query("a=1&a=2&b[]=3&c[d][]=4"), r#"{"a":["1","2"],"b":["3"],"c":{"d":["4"]}}"#);
        for (wrong, told) in [
            ("a=1&a[b]=2", "no object elsewhere"),
            ("a[b]=1&a=2", "an object as well"),
            ("a=1&a[]=2", "no list elsewhere"),
            ("a[b=1", "has no ]"),
            ("a[1][2][3][4][5][6][7][8][9]=1", "at most 8"),
            ("limit=0", "from 1"),
            ("truto_key_by=id", "not supported"),
        ] {
            assert!(query(wrong).contains(told), "{wrong}: {}", query(wrong));
        }
        assert!(query(&"a=1&".repeat(PARAMETERS_MAX)).contains("at most"));
    }

    #[test]
    fn what_is_ours_is_taken_out() {
        let text = "integrated_account_id=acme&next_cursor=x&limit=7&truto_response_format=normalized\
                    &truto_exclude_fields=a,%20b&status=open";
        let asked = Asked::read(text).unwrap();
        assert_eq!(
            (asked.account.as_str(), asked.cursor.as_deref(), asked.limit),
            ("acme", Some("x"), Some(7))
        );
        assert!(asked.format == ResponseFormat::Normalized && asked.without.contains("b"));
        assert_eq!(asked.query.as_str(), r#"{"status":"open"}"#);
        assert!(Asked::read("status=open").is_err());
    }
}
