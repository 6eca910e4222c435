//! `$jsonToCsv`: records as lines of text.

use jsonata_core::value::JValue;

use super::value::text_of;
use super::{Answer, Args, Function};

pub(super) const FUNCTIONS: &[Function] = &[Function { name: "jsonToCsv", call: json_to_csv }];

/// `$jsonToCsv(records, options)`: the columns are `options.fields`, or all members of all records in the order in which
/// they first come. Texts are quoted, numbers are not, and what is missing is empty. `options.delimiter` stands between
/// them; `options.header: false` leaves the first line out.
fn json_to_csv(args: &Args) -> Answer {
    let records: Vec<&JValue> = args.items(0).iter().filter(|record| record.is_object()).collect();
    if records.is_empty() {
        return Ok(JValue::string(""));
    }
    let option = |name: &str| args.get(1).get(name);
    let delimiter = option("delimiter").and_then(JValue::as_str).unwrap_or(",");
    let columns = match option("fields").and_then(JValue::as_array) {
        Some(fields) => fields.iter().map(text_of).collect(),
        None => columns_of(&records),
    };
    let mut lines = vec![];
    if option("header") != Some(&JValue::Bool(false)) {
        lines.push(columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(delimiter));
    }
    for record in records {
        let cells: Vec<String> = columns.iter().map(|name| cell(record.get(name))).collect();
        lines.push(cells.join(delimiter));
    }
    let bytes = lines.iter().map(|line| line.len() + 1).sum();
    super::guards::bounded(args, bytes)?;
    Ok(JValue::string(lines.join("\n")))
}

fn columns_of(records: &[&JValue]) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let names = records.iter().filter_map(|record| record.as_object()).flat_map(|members| members.keys());
    names.filter(|name| seen.insert(name.as_str())).cloned().collect()
}

fn cell(value: Option<&JValue>) -> String {
    match value {
        None | Some(JValue::Null | JValue::Undefined) => String::new(),
        Some(number @ (JValue::Number(_) | JValue::Bool(_))) => text_of(number),
        Some(other) => quoted(&text_of(other)),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
