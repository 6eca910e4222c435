//! Whatever is written and whatever it meets: it is read or not, it has a value or not, and nothing breaks.

use proptest::prelude::*;

use super::WORLD;
use crate::expression::Expression;
use crate::json::Json;

/// Small pieces of expressions, put together.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("a".to_owned()),
        Just("b".to_owned()),
        Just("$".to_owned()),
        Just("$$".to_owned()),
        Just("*".to_owned()),
        Just("**".to_owned()),
        Just("%".to_owned()),
        Just("null".to_owned()),
        Just("nothing".to_owned()),
        Just("/a(b)?/i".to_owned()),
        Just("$v".to_owned()),
        Just("$uppercase".to_owned()),
        Just("-1e300".to_owned()),
        (-5i32..20).prop_map(|number| number.to_string()),
        "[a-c ,.é]{0,4}".prop_map(|text| format!("'{text}'")),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operator = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "&", "=", "<", "in", "and", "~>", "?:", "??", ".", "#$v.", "@$v.",
        ]);
        let names: Vec<&'static str> = Expression::functions().collect();
        prop_oneof![
            (inner.clone(), operator, inner.clone())
                .prop_map(|(a, operator, b)| format!("{a} {operator} {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}.({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}^(>{b})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("{a}{{$string({b}): {c}}}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{'k': {a}, 'l': {b}}}")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("($v := {a}; {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) ~> |{b}|{{'n': 1}}|")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("$map({a}, function($v, $i){{{b}}})")),
            (prop::sample::select(names), prop::collection::vec(inner, 0..4))
                .prop_map(|(name, args)| format!("${name}({})", args.join(", "))),
        ]
    })
}

fn input() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("\"\"".to_owned()),
        Just("\"ab,c é\"".to_owned()),
        Just("\"2026-01-31T08:00:00Z\"".to_owned()),
        Just("9007199254740993".to_owned()),
        Just("1e308".to_owned()),
        (-9i32..9).prop_map(|number| number.to_string()),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            (inner.clone(), inner).prop_map(|(a, b)| format!("{{\"a\":{a},\"b\":{b}}}")),
        ]
    });
    (value.clone(), value).prop_map(|(a, b)| format!("{{\"a\":{a},\"b\":{b}}}"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_breaks(source in expression(), input in input()) {
        let Ok(expression) = Expression::parse(&source) else { return Ok(()) };
        let input = Json::parse(&input).unwrap();
        let first = expression.evaluate(&input, &WORLD);
        if let Err(error) = &first {
            prop_assert!(!error.message.contains("fault"), "{source} on {input}: {error}");
        }
        prop_assert_eq!(&first, &expression.evaluate(&input, &WORLD), "{} on {}", source, input);
        // What bounds it changes nothing (but that the library looks at some things it is given as they are written).
        if let (Ok(value), Ok(guarded)) = (&first, Expression::parse(&format!("($guarded := 1; {source})"))) {
            let guarded = guarded.evaluate(&input, &WORLD);
            prop_assert_eq!(Ok(value), guarded.as_ref(), "{} guarded on {}", source, input);
        }
        // What it doesn't read doesn't matter.
        for name in ["a", "b"] {
            if !expression.may_read(name) {
                let mut less: serde_json::Map<String, serde_json::Value> = serde_json::from_str(input.as_str()).unwrap();
                less.shift_remove(name);
                let less = Json::of(&less);
                prop_assert_eq!(&first, &expression.evaluate(&less, &WORLD), "{} without {}", source, name);
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(source in "[-a-c0-9$%*.,:;(){}\\[\\]'\"`/&|~><=@#?! é]{0,24}") {
        if let Err(error) = Expression::parse(&source) {
            prop_assert!(error.at.is_none_or(|at| source.is_char_boundary(at)), "{:?} at {:?}", source, error.at);
        }
    }
}
