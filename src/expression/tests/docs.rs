//! `docs/expressions.md` says what is: its examples are evaluated, and its tables have every function of ours.

use super::compute;
use crate::expression::{Expression, functions, prelude};

const PAGE: &str = include_str!("../../../docs/expressions.md");

/// The cells of the tables of functions: signature, what it gives, example, result.
fn rows() -> Vec<[String; 4]> {
    PAGE.lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| {
            let cells: Vec<String> =
                line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
            <[String; 4]>::try_from(cells).ok()
        })
        .collect()
}

fn code(cell: &str) -> &str {
    cell.trim_matches('`')
}

#[test]
fn the_examples_give_what_they_say() {
    let rows = rows();
    assert!(rows.len() >= 40, "{} rows were found", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .map(|[_, _, example, result]| (code(example), code(result), compute(code(example), "{}")))
        .filter(|(_, result, got)| result != got)
        .map(|(example, result, got)| format!("{example}\n  says {result}\n  gave {got}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_tables_have_every_function_of_ours() {
    let rows = rows();
    let ours = functions::names().chain(prelude::names()).chain(["uuid"]);
    let own = ["pad", "split", "match", "replace", "encodeUrl"];
    let missing: Vec<&str> = ours
        .filter(|name| !own.contains(name))
        .filter(|name| !rows.iter().any(|[signature, ..]| code(signature).starts_with(&format!("${name}("))))
        .collect();
    assert!(missing.is_empty(), "not in docs/expressions.md: {missing:?}");
}

#[test]
fn what_is_not_there_is_not() {
    let section = PAGE.split("## What is not there").nth(1).unwrap();
    let names: Vec<&str> = section.split("`$").skip(1).map(|rest| rest.split('`').next().unwrap()).collect();
    assert!(names.len() > 10);
    for name in names.into_iter().filter(|name| !["digest", "sign"].contains(name)) {
        let error = Expression::parse(&format!("${name}(1)")).unwrap_err();
        assert!(error.message.starts_with("there is no "), "{name}: {error}");
    }
}

#[test]
fn every_function_that_is_listed_can_be_called() {
    let names: Vec<&str> = Expression::functions().collect();
    assert!(names.contains(&"groupBy") && names.contains(&"sum") && !names.contains(&"eval"), "{names:?}");
    for name in names {
        // That a call lacks arguments is an error of its own, or gives nothing; but never that it is unknown.
        let source = format!("${name}(nothing)");
        assert!(Expression::parse(&source).is_ok(), "{source}");
        let got = compute(&source, "{}");
        assert!(!got.contains("T1006") && !got.contains("fault"), "{source} gave {got}");
    }
}
