//! What JSONata is, by cases of our own: `cases.json`. Each has a name, an expression, and what it gives for the input
//! (the file's, or its own): a value, nothing (`undefined`), or an error with this code.

use serde::Deserialize;

use super::compute;
use crate::expression::Expression;
use crate::json::Json;

#[derive(Deserialize)]
struct File {
    input: Json,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    expression: String,
    input: Option<Json>,
    expected: Option<Json>,
    #[serde(default)]
    undefined: bool,
    code: Option<String>,
}

impl Case {
    /// What is wrong with what `source`, its expression in some form, gives.
    fn failure(&self, source: &str, input: &Json) -> Option<String> {
        let got = compute(source, self.input.as_ref().unwrap_or(input).as_str());
        let right = match (&self.expected, &self.code) {
            (_, Some(code)) => got.starts_with("error:") && got.ends_with(&format!("({code})")),
            (Some(expected), None) => got == compact(expected),
            (None, None) if self.undefined => got == "undefined",
            (None, None) => got == "null",
        };
        (!right).then(|| format!("{}: {source}\n    gave {got}", self.name))
    }
}

/// Without blanks between values; the order of members is kept.
fn compact(json: &Json) -> String {
    serde_json::from_str::<serde_json::Value>(json.as_str()).unwrap().to_string()
}

fn file() -> File {
    serde_json::from_str(include_str!("cases.json")).unwrap()
}

#[test]
fn the_language_is_what_it_is_said_to_be() {
    let file = file();
    assert!(file.cases.len() >= 150, "{} cases are few", file.cases.len());
    let wrong: Vec<String> =
        file.cases.iter().filter_map(|case| case.failure(&case.expression, &file.input)).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), file.cases.len(), wrong.join("\n"));
}

/// What is put into an expression to bound it, and before it to serve it, changes nothing of what it gives.
#[test]
fn guards_change_nothing() {
    let file = file();
    let read = file.cases.iter().filter(|case| Expression::parse(&case.expression).is_ok());
    let wrong: Vec<String> = read
        .flat_map(|case| {
            let forms = ["($guarded := 1; EXPRESSION)", "($served := $groupBy; EXPRESSION)"];
            forms.map(|form| case.failure(&form.replace("EXPRESSION", &case.expression), &file.input))
        })
        .flatten()
        .collect();
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
