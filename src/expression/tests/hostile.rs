//! What an expression can't do, however it is written: outgrow memory, run for ever, overflow a stack, or take a worker
//! with it. Each must end with a sentence; that it ends at all is the point.

use super::{WORLD, compute};
use crate::expression::{Expression, OUTPUT_BYTES_MAX, SOURCE_BYTES_MAX};
use crate::json::Json;

/// What fails, and what its sentence says.
const HOSTILE: &[(&str, &str)] = &[
    // Doubling.
    ("$reduce([1..60], function($a,$b){$a & $a}, 'xxxxxxxx')", "larger than"),
    ("$reduce([1..60], function($a,$b){[$a,$a]}, [1])", "larger than"),
    ("$reduce([1..60], function($a,$b){[[$a],[$a]]}, [1])", "larger than"),
    ("$reduce([1..60], function($a,$b){{'x':$a,'y':$a}}, {'z':1}).**", "larger than"),
    ("$reduce([1..60], function($a,$b){$append($a,$a)}, [1,2])", "D2015"),
    ("($f := function($s,$n){$n=0 ? $s : $f($s&$s,$n-1)}; $length($f('xxxxxxxx',60)))", "larger than"),
    ("($f := function($a,$n){$n=0 ? $a : $f([$a,$a,$a,$a],$n-1)}; $f([1],40))", "larger than"),
    (
        "($a := 'xxxxxxxx'; $b := $a&$a&$a&$a&$a&$a&$a&$a; $c := $b&$b&$b&$b&$b&$b&$b&$b; $pad($c,-2000000))",
        "wide",
    ),
    // Products.
    ("($a := [1..1000]; $b := $a.($a); $count($b.($a)))", "makes more than"),
    ("$count([1..1000000].{'x':[1..1000]}.x)", "makes more than"),
    ("$replace($pad('x',1000000,'x'), 'x', $pad('y',1000000,'y'))", "longer than"),
    (
        "($y := $pad('y',100000,'y'); $replace($pad('x',100000,'x'), /x/, function($m){$y}))",
        "makes more than",
    ),
    (
        "$join([1..1000000].('a text that is much too long when it is there a million times, as it would be here'))",
        "larger than",
    ),
    // Sizes.
    ("$pad('x', 1000000000)", "wide"),
    ("[1..10000000]", "D2015"),
    ("$reduce([1..1000000], function($a,$b){[[$a]]}, 1)", "nests deeper"),
    ("$power(10,400)", "D3061"),
    // Depth.
    ("($f := function($n){1+$f($n+1)}; $f(1))", "D1011"),
    ("($f := function($n){$f($n+1) + $f($n+2)}; $f(1))", "D1011"),
];

#[test]
fn what_grows_without_bound_is_ended() {
    let wrong: Vec<String> = HOSTILE
        .iter()
        .map(|(source, says)| (source, says, compute(source, "{}")))
        // On a busy machine the clock may end it first.
        .filter(|(_, says, got)| {
            !(got.starts_with("error:") && (got.contains(*says) || got.contains("D1012")))
        })
        .map(|(source, says, got)| {
            format!("{source}\n  should say {says}: {}", got.chars().take(200).collect::<String>())
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_runs_for_ever_is_ended() {
    assert!(compute("($f := function($n){$f($n+1)}; $f(1))", "{}").contains("D1012"));
}

#[test]
fn no_pattern_is_searched_for_that_is_too_large() {
    for source in ["$contains('a', /(a{1,500}){1,20}b/)", "$match('a', /(((a{1000}){1000}){1000})/)"] {
        let error = Expression::parse(source).unwrap_err();
        assert!(error.message.contains("larger than"), "{error}");
        assert!(error.at.is_some(), "{source}");
    }
    let error = Expression::parse("$contains('ab', /a(?=b)/)").unwrap_err();
    assert!(error.message.contains("look-around") && error.at == Some(16), "{error:?}");
    // What explodes elsewhere takes a moment here.
    assert_eq!(compute("$contains($pad('a',100000,'a'), /(a+)+b/)", "{}"), "false");
}

#[test]
fn texts_and_results_have_limits() {
    let source = format!("'{}'", "x".repeat(SOURCE_BYTES_MAX));
    assert!(Expression::parse(&source).unwrap_err().message.contains("longer than"));
    // The same large member again and again: no guard is needed for what a plain expression computes, but for its text.
    let input = format!(r#"{{"big":"{}"}}"#, "x".repeat(1 << 20));
    let source = format!("[{}]", vec!["big"; OUTPUT_BYTES_MAX / (1 << 20) + 1].join(","));
    assert!(compute(&source, &input).contains("longer than"), "{}", source.len());
}

/// A worker's thread has 2 MiB of stack; debug builds use the most of it.
#[test]
fn nothing_overflows_a_small_stack() {
    let deep = [
        format!("{}1{}", "(".repeat(900), ")".repeat(900)),
        format!("{}1{}", "[".repeat(900), "]".repeat(900)),
        format!("{}1{}", "(".repeat(30_000), ")".repeat(30_000)),
        format!("{}1", "1+".repeat(20_000)),
        format!("{}1", "-".repeat(20_000)),
        format!("a{}", ".a".repeat(20_000)),
        format!("{}1{}", "function($x){".repeat(400), "}".repeat(400)),
        format!("{}1{}", "$sum(".repeat(400), ")".repeat(400)),
        format!("{}1{}", "{'a':".repeat(400), "}".repeat(400)),
        format!("{}1{}", "true ? ".repeat(400), " : 2".repeat(400)),
        "($f := function($n){1+$f($n+1)}; $f(1))".to_owned(),
        "$reduce([1..100000], function($a,$b){{'x':$a}}, 1)".to_owned(),
    ];
    let worker = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        for source in &deep {
            // Whether it can be read or evaluated is not the question.
            let Ok(expression) = Expression::parse(source) else { continue };
            let _ = expression.evaluate(&Json::empty_object(), &WORLD);
            let _ = expression.reads().may_read("a");
        }
    });
    worker.unwrap().join().unwrap();
}

#[test]
fn a_plain_loop_is_left_alone() {
    let cases = [
        ("($f := function($n,$a){$n=0 ? $a : $f($n-1,$a+$n)}; $f(20000,0))", "200010000"),
        ("$count($reduce([1..500], function($a,$b){$append($a,{'n':$b})}, []))", "500"),
        ("$length($reduce([1..2000], function($a,$b){$a & 'x'}, ''))", "2000"),
        ("$count($map([1..20000], function($v){{'a':$v,'b':[$v,$v]}}))", "20000"),
        ("$count($map([1,2], $string))", "2"),
        ("$sum([1..100].([1..100].($ * 2)))", "1010000"),
    ];
    for (source, expected) in cases {
        assert_eq!(compute(source, "{}"), expected, "{source}");
    }
}
