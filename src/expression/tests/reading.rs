//! Reading expressions: where their mistakes are, what they read, and that the same gives the same.

use super::{WORLD, compute};
use crate::clock::Millis;
use crate::expression::{Expression, Reads, World};
use crate::json::Json;

#[test]
fn a_mistake_is_shown_in_its_place() {
    // The place is where `^` stands below.
    let cases = [
        ("a.b c\n    ^", "unexpected name"),
        ("{\"a\": 1,, }\n        ^", "cannot be used"),
        ("a[1\n   ^", "before end"),
        ("$sum(a\n      ^", "before end"),
        ("(1; \"abc)\n    ^", "matching quote"),
        ("'é' & * & )\n           ^", "cannot be used"),
        ("$uppercas(a)\n^", "did you mean $uppercase"),
        ("{\"a\": $gruopBy(b, 'c')}\n      ^", "did you mean $groupBy"),
        ("a ~> $nonesuch\n     ^", "no function $nonesuch"),
        ("$eval('1')\n^", "checked beforehand"),
    ];
    for (case, says) in cases {
        let (source, caret) = case.split_once('\n').unwrap();
        let error = Expression::parse(source).unwrap_err();
        assert!(error.message.contains(says), "{source}: {error}");
        assert_eq!(error.at, Some(caret.len() - 1), "{source}: {error}");
    }
}

#[test]
fn functions_of_ones_own_are_known() {
    for source in
        ["($f := function($x){$x}; $f(1))", "$map([1],function($g){$exists($g)})", "a@$sum2.($sum2)", "$x"]
    {
        assert!(Expression::parse(source).is_ok(), "{source}");
    }
}

/// What an expression reads from the top: a row for each, with `*` for what can't be told.
const READS: &[(&str, &str)] = &[
    ("resources.tickets.id", "resources.tickets.id"),
    ("resources.tickets.{'id': id, 'by': user.name}", "resources.tickets.id resources.tickets.user.name"),
    ("resources.tickets.{'x': 1}", "resources.tickets"),
    (
        "resources.`tickets-search`[state='open'].id",
        "resources.tickets-search.state resources.tickets-search.id",
    ),
    ("args.since ? args.since : previous_run_date", "args.since previous_run_date"),
    ("$map(records, function($r){ $r.id & suffix })", "records suffix"),
    ("$.a.b & $$.c", "a.b c"),
    ("a.($$.b)", "a b"),
    ("a^(>n).m", "a.n a.m"),
    ("a{k: $sum(v)}", "a.k a.v"),
    ("a.*", "a"),
    ("a.**.b", "a"),
    ("a@$x.b", "a b"),
    ("a#$i.b", "a.b"),
    ("name.$uppercase()", "name"),
    ("name.$contains('x')", "name"),
    ("a.b ~> $sum()", "a.b"),
    ("a ~> |b|{'c': d}|", "a"),
    ("($x := a.b; $x.c)", "a.b"),
    ("1 + 2", ""),
    ("a.$uppercase", "a"),
    ("$now()", ""),
    ("$dtFromIso(at).toISO()", "at"),
    ("$exists(args.a) and args.\"b\" > 1", "args.a args.b"),
    ("($x := args.a; $x + args . b)", "args.a args.b"),
    ("args.a in ['args.c', \"args.d\"] /* args.e */", "args.a"),
    ("$match(args.a, /args.b/)", "args.a"),
    ("args.a * args.b % args.c", "args.a args.b args.c"),
    ("resources.a - b", "resources.a b"),
    ("a[args.x = 1].(args.y)", "a.args.x a.args.y"),
    ("$map(a, function($r) { args.x & $r.args.z })", "a args.x"),
    ("$", "*"),
    ("$$", "*"),
    ("*", "*"),
    ("**.id", "*"),
    ("a.%.b", "*"),
    ("$keys()", "*"),
    ("$lookup($$, 'a')", "*"),
    ("$lookup('a')", "*"),
    ("$string($)", "*"),
    ("$map($$.*, $string)", "*"),
];

#[test]
fn what_an_expression_reads_is_told() {
    for (source, expected) in READS {
        let expression = Expression::parse(source).unwrap();
        let Reads { paths, everything } = expression.reads();
        let paths = paths.iter().map(|path| path.join("."));
        let told = paths.chain(everything.then(|| "*".to_owned())).collect::<Vec<_>>().join(" ");
        assert_eq!(told, *expected, "{source}");
    }
}

#[test]
fn what_an_expression_may_read_is_told() {
    let may = |source: &str, name: &str| Expression::parse(source).unwrap().may_read(name);
    assert!(may("resources.tickets.id", "resources"));
    assert!(!may("resources.tickets.id", "args"));
    assert!(!may("resources.args", "args"));
    assert!(!may("'args' & resources.x", "args"));
    assert!(may("$$", "args") && may("*.x", "args") && may("$keys()", "args"));
    assert!(may("a.($$.args)", "args") && may("a.{'x': %.args}", "args"));
}

/// What an expression says it reads is enough: with all else taken away it gives the same.
#[test]
fn what_an_expression_does_not_read_does_not_matter() {
    const PARTS: [&str; 4] = ["a", "b", "c", "d"];
    let input =
        r#"{"a":[{"k":"x","n":1,"o":{"p":1}},{"k":"y","n":2}],"b":{"k":5,"c":7},"c":"text","d":[3,1,2]}"#;
    for source in [
        "a.n",
        "a[n=2].k",
        "$map(a, function($v){$v.n + b.k})",
        "a.{'k':k,'s':$$.c}",
        "d^($)",
        "a{k:n}",
        "c.$length()",
        "a@$x.d.($x.n)",
        "$sum(d) & c",
        "($q := b; $q.c)",
        "a.o.p",
        "b ~> |$|{'k':c}|",
        "$orderBy(a,'n','desc').k",
    ] {
        let expression = Expression::parse(source).unwrap();
        let whole: serde_json::Map<String, serde_json::Value> = serde_json::from_str(input).unwrap();
        let mut less = whole.clone();
        less.retain(|name, _| expression.may_read(name));
        assert!(PARTS.iter().any(|part| !expression.may_read(part)), "{source} reads everything");
        assert_eq!(compute(source, &Json::of(&less).to_string()), compute(source, input), "{source}");
    }
}

#[test]
fn the_same_world_gives_the_same_bytes() {
    let source = "{'now': $now(), 'r': $random(), 'r2': $random(), 'u': $uuid(), 's': $shuffle([1..9]), 'm': $millis()}";
    let expression = Expression::parse(source).unwrap();
    let at = |world| expression.evaluate(&Json::empty_object(), &world).unwrap().unwrap().to_string();
    assert_eq!(at(WORLD), at(WORLD));
    assert_ne!(at(WORLD), at(World { seed: 8, ..WORLD }));
    assert_ne!(at(WORLD), at(World { now: Millis(0), ..WORLD }));
    // Written down, so that no version of this product draws otherwise: a body that was sent would change.
    assert_eq!(
        compute("[$floor($random()*1000), $uuid()]", "{}"),
        r#"[389,"044c3cd7-f43c-461c-a698-4080bab12a02"]"#
    );
    assert_eq!(compute("$map([1,2], $millis)", "{}"), "[1769846400000,1769846400000]");
    let uuid: uuid::Uuid = serde_json::from_str(&compute("$uuid()", "{}")).unwrap();
    assert_eq!(uuid.get_version_num(), 4);
}

#[test]
fn numbers_are_written_as_they_came() {
    let input = r#"{"n":[0,1,-1,1.5,9007199254740991,-9007199254740991,1e3,0.000001,123456789012]}"#;
    assert_eq!(
        compute("n", input),
        "[0,1,-1,1.5,9007199254740991,-9007199254740991,1000,0.000001,123456789012]"
    );
    // Beyond 2^53 the nearest double, and never an exponent where an id was.
    let input = r#"{"n":[9007199254740993,18446744073709551615]}"#;
    assert_eq!(compute("n", input), "[9007199254740992,18446744073709552000]");
    assert_eq!(compute("[1e21, 1e-7, -0]", "{}"), "[1e21,1e-7,0]");
}

#[test]
fn truth_is_what_boolean_says() {
    for (source, expected) in [
        ("nothing", false),
        ("[0,0]", false),
        ("[0,1]", true),
        ("{}", false),
        ("'x'", true),
        ("0", false),
        ("null", false),
    ] {
        let is_true = Expression::parse(source).unwrap().is_true(&Json::empty_object(), &WORLD).unwrap();
        assert_eq!(is_true, expected, "{source}");
    }
}

#[test]
fn errors_tell_nothing_of_the_input() {
    let input = r#"{"secret":"s3cr3t","list":["s3cr3t"],"object":{"s3cr3t":1}}"#;
    for source in [
        "$number(secret)",
        "$toMillis(secret)",
        "secret - 1",
        "secret < 1",
        "-secret",
        "secret()",
        "$sum(list)",
        "$sqrt(secret)",
        "$dtFromFormat(secret,'yyyy').plus(secret)",
        "$parseUrl(secret)",
        "$chunk(list, secret)",
        "$digest('x', secret)",
        "$formatNumber(1, secret)",
        "$fromMillis(0, secret & '[')",
        "[1..secret]",
        "$sort([1, secret])",
        "{object: 1}",
        "$keys(object).$(1)",
        "object ~> secret",
        "$parseInteger(secret, secret)",
        "$formatInteger(1, secret)",
        "$decodeUrlComponent('%' & secret)",
        "$base64decode(secret)",
        "$merge(list)",
        "$single(list, function(){false})",
    ] {
        let got = compute(source, input);
        assert!(!(got.starts_with("error:") && got.contains("s3cr3t")), "{source}: {got}");
    }
}
