//! The placeholder grammar, case by case.

use super::*;

fn scope() -> Roots {
    Roots::new()
        .with("args", Json::parse(r#"{"start": "2024-01-02", "n": 5, "empty": "", "none": null, "list": [{"id": 12345678901234567890123}], "flag": "true"}"#).unwrap())
        .with("resources", Json::parse(r#"{"tickets": {"id": 7, "foo-bar": {"x_y": 1.10}}}"#).unwrap())
        .bare(Json::parse(r#"{"subdomain": "acme", "args": "hidden"}"#).unwrap())
}

fn render(source: &str) -> String {
    match Template::parse(source).unwrap().render(&scope()) {
        Ok(Some(json)) => json.as_str().to_owned(),
        Ok(None) => "undefined".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn text(source: &str) -> String {
    Template::parse(source).unwrap().text(&scope()).unwrap()
}

fn refused(source: &str) -> String {
    Template::parse(source).unwrap_err().to_string()
}

#[test]
fn paths_reach_members_elements_and_bare_context() {
    assert_eq!(render("{{args.start}}"), r#""2024-01-02""#);
    assert_eq!(render("{{ args.start }}"), r#""2024-01-02""#);
    assert_eq!(render("{{args.list.0.id}}"), r#""12345678901234567890123""#);
    assert_eq!(render("{{args.list.0.id:any}}"), "12345678901234567890123");
    assert_eq!(render("{{resources.tickets.foo-bar.x_y}}"), r#""1.10""#);
    assert_eq!(render("{{subdomain}}"), r#""acme""#);
    assert_eq!(render("{{args:any|subdomain}}").chars().next(), Some('{'), "a root wins over the context");
}

#[test]
fn only_a_whole_placeholder_keeps_its_type() {
    assert_eq!(render("{{args.n:int}}"), "5");
    assert_eq!(render("n={{args.n:int}}"), r#""n=5""#);
    assert_eq!(render("{{args.flag:bool}}"), "true");
    assert_eq!(render("{{args.flag:bool}} "), r#""true ""#);
    assert_eq!(render("{{args.list}}"), r#""[{\"id\": 12345678901234567890123}]""#);
    assert_eq!(render("{{args.list:json}}"), r#"[{"id": 12345678901234567890123}]"#);
    assert_eq!(render("{{args.start:int}}"), r#""2024-01-02""#, "a failed cast keeps the value");
    assert_eq!(text("/t/{{args.list.0.id}}/{{args.n}}"), "/t/12345678901234567890123/5");
    assert_eq!(render("plain"), r#""plain""#);
    assert_eq!(render(""), r#""""#);
}

#[test]
fn alternatives_defaults_and_markers() {
    assert_eq!(render("{{args.no|args.start}}"), r#""2024-01-02""#);
    assert_eq!(render("{{args.no:str|args.n:int}}"), "5");
    assert_eq!(render("{{args.none|args.n}}"), "null", "null is a value");
    assert_eq!(render("{{args.empty|args.n}}"), r#""""#);
    assert_eq!(render("{{args.empty:ignore-empty-str|args.n:int}}"), "5");
    assert_eq!(render("{{args.no?:10:int}}"), "10");
    assert_eq!(render("{{args.no?:10}}"), r#""10""#);
    assert_eq!(render("{{args.n:int?:10:int}}"), "5");
    assert_eq!(render("{{args.no?:}}"), r#""""#);
    assert_eq!(render("{{args.no?:1970-01-01T00:00:00.000Z}}"), r#""1970-01-01T00:00:00.000Z""#);
    assert_eq!(render("{{args.no?:null:null}}"), "null");
    assert_eq!(render("{{args.no:undefined}}"), "undefined");
    assert_eq!(render("{{args.no:undefined|args.n:int}}"), "5");
    assert_eq!(render("{{args.no:int:undefined}}"), "undefined");
    assert_eq!(text("a{{args.no:undefined}}b"), "ab");
    assert_eq!(render("{{args.no:null}}"), "null");
    assert_eq!(render("{{args.no:int:null|args.n}}"), "null");
}

#[test]
fn nothing_found_is_an_error_not_a_literal() {
    insta::assert_snapshot!(render("{{args.no|args.neither}}"), @"{{args.no|args.neither}} finds no value; give it a default ({{…?:default}}) or mark it as optional ({{…:undefined}})");
    let error = Template::parse("x{{ args.no }}").unwrap().text(&scope()).unwrap_err();
    assert_eq!(error, RenderError::Unresolved { placeholder: "{{ args.no }}".to_owned() });
}

#[test]
fn what_is_no_placeholder_is_refused_with_its_place() {
    insta::assert_snapshot!(refused("ab {{args.x:intt}}"), @r#""intt" is no type (character 13); did you mean "int"?"#);
    insta::assert_snapshot!(refused("{{args.x?:5:itn}}"), @r#""itn" is no type (character 13); did you mean "int"?"#);
    insta::assert_snapshot!(refused("{{args.x:date}}"), @r#""date" is no type (character 10); the types are str, int, num, bool, json, null, any, undefined, ignore-empty-str"#);
    insta::assert_snapshot!(refused("{{foo.bar[0].baz}}"), @"'[' can't stand in a placeholder (character 10); an array's element is a step of the path: {{items.0.id}}");
    insta::assert_snapshot!(refused("äö{{ }}"), @"a path is missing (character 6); write a path such as {{args.start}}");
    insta::assert_snapshot!(refused("{{a..b}}"), @"a step of this path is empty (character 3); write a path such as {{args.start}}");
    insta::assert_snapshot!(refused("x {{args.x"), @"this placeholder is not closed (character 3); end it with }}");
    insta::assert_snapshot!(refused("{{ $now() }}"), @"'$' can't stand in a placeholder (character 4); expressions can't be used here, only a path such as {{args.start}}");
}

#[test]
fn paths_are_listed_for_those_who_check_them() {
    let template = Template::parse("{{a.b|c}}/{{d?:1}}/{{e.f}}").unwrap();
    let paths: Vec<String> = template.paths().iter().map(|path| path.join(".")).collect();
    assert_eq!(paths, ["a.b", "c", "d", "e.f"]);
    assert_eq!(template.required_paths(), [["e", "f"]]);
    assert!(!template.is_literal());
    assert_eq!(template.source(), "{{a.b|c}}/{{d?:1}}/{{e.f}}");
    let literal = Template::literal("{{a}}");
    assert!(literal.is_literal());
    assert_eq!(literal.text(&Roots::new()).unwrap(), "{{a}}");
}

#[test]
fn a_tree_keeps_order_and_digits_and_leaves_out_what_is_undefined() {
    let json = Json::parse(
        r#"{"z": "{{args.n:int}}", "a": {"gt": "{{args.no:undefined}}"}, "id": 12345678901234567890123, "list": ["{{args.no:undefined}}", "x{{args.n}}", null], "gone": "{{args.no:undefined}}"}"#,
    )
    .unwrap();
    let tree = Tree::from_json(&json).unwrap();
    let rendered = tree.render(&scope()).unwrap().unwrap();
    assert_eq!(rendered.as_str(), r#"{"z":5,"a":{},"id":12345678901234567890123,"list":["x5",null]}"#);
    assert_eq!(tree.paths().len(), 5);
    assert_eq!(Tree::empty().render(&scope()).unwrap().unwrap().as_str(), "{}");
    let whole = Tree::from_json(&Json::string("{{args.no:undefined}}")).unwrap();
    assert_eq!(whole.render(&scope()), Ok(None));
}

#[test]
fn a_tree_reports_every_bad_string() {
    let json = Json::parse(r#"{"a": ["{{x:no}}"], "b": {"c": "{{"}, "d": "ok"}"#).unwrap();
    let errors = Tree::from_json(&json).unwrap_err();
    let places: Vec<String> = errors.iter().map(|error| error.path.join(".")).collect();
    assert_eq!(places, ["a.0", "b.c"]);
}

#[test]
fn what_an_object_takes_in_is_laid_over_its_own_members() {
    let scope = Roots::new()
        .with("x", Json::parse(r#"{"a": {"n": 1.10}, "b": [2]}"#).unwrap())
        .with("y", Json::parse(r#""{\"a\": {\"m\": 3}, \"c\": 4}""#).unwrap())
        .with("n", Json::parse("5").unwrap());
    let render = |text: &str| match Tree::from_json(&Json::parse(text).unwrap()).unwrap().render(&scope) {
        Ok(value) => value.map_or_else(|| "undefined".to_owned(), |value| value.as_str().to_owned()),
        Err(error) => error.to_string(),
    };
    assert_eq!(
        render(r#"{"a": {"k": 1}, "$truto_merge": "{{x:json}}", "z": 0}"#),
        r#"{"a":{"k":1,"n":1.10},"z":0,"b":[2]}"#
    );
    assert_eq!(
        render(r#"{"$truto_merge": ["{{x:json}}", "{{y:json}}", "{{n:json}}", "{{no:undefined}}"]}"#),
        r#"{"a":{"n":1.10,"m":3},"b":[2],"c":4}"#
    );
    assert_eq!(render(r#"{"q": {"$truto_merge": {"d": "{{n:int}}"}}}"#), r#"{"q":{"d":5}}"#);
    assert_eq!(render(r#"{"a": 1, "$truto_merge": "{{n:json}}"}"#), r#"{"a":1}"#, "no object is passed over");
    assert_eq!(render(r#"{"a": 1, "$truto_merge": "{{no:undefined}}"}"#), r#"{"a":1}"#);
    assert!(render(r#"{"a": 1, "$truto_merge": "{{no:json}}"}"#).contains("finds no value"));
    let tree = |text: &str| Tree::from_json(&Json::parse(text).unwrap()).unwrap();
    let both = tree(r#"{"$truto_merge": "{{x:json}}"}"#).merged(tree(r#"{"$truto_merge": "{{y:json}}"}"#));
    assert_eq!(both.render(&scope).unwrap().unwrap().as_str(), r#"{"a":{"n":1.10,"m":3},"b":[2],"c":4}"#);
    assert_eq!(both.paths().len(), 2);
}

#[test]
fn nothing_at_all_is_undefined() {
    assert_eq!(Template::undefined().render(&scope()), Ok(None));
    assert_eq!(Tree::undefined().render(&scope()), Ok(None));
    assert!(Tree::undefined().paths().is_empty());
}

#[test]
fn a_whole_placeholder_has_a_path() {
    let path = |text: &str| Template::parse(text).unwrap().whole_path().map(|path| path.join("."));
    assert_eq!(path("{{args.ids}}").as_deref(), Some("args.ids"));
    assert_eq!(path("{{ args.ids:json }}").as_deref(), Some("args.ids"));
    for other in ["x{{args.ids}}", "{{a|b}}", "{{a?:1}}", "args.ids", ""] {
        assert_eq!(path(other), None, "{other}");
    }
}

#[test]
fn merging_replaces_members_in_place() {
    let tree = |text: &str| Tree::from_json(&Json::parse(text).unwrap()).unwrap();
    let merged = tree(r#"{"a": 1, "b": 2}"#).merged(tree(r#"{"c": 3, "a": 4}"#));
    assert_eq!(merged.render(&Roots::new()).unwrap().unwrap().as_str(), r#"{"a":4,"b":2,"c":3}"#);
}

proptest::proptest! {
    /// Whatever is written, it is either understood or refused, and text without braces stays what it is.
    #[test]
    fn any_text_is_read_or_refused(source in "[a-zö{}|:?. \\[-]{0,24}") {
        match Template::parse(&source) {
            Ok(template) => {
                if template.is_literal() {
                    proptest::prop_assert_eq!(template.text(&Roots::new()).unwrap(), source);
                } else {
                    proptest::prop_assert!(template.paths().iter().all(|path| !path.is_empty()));
                }
            }
            Err(error) => proptest::prop_assert!(error.column <= source.chars().count() + 1),
        }
    }

    /// A number reaches the source digit by digit, whole or within text.
    #[test]
    fn digits_are_kept(digits in "[1-9][0-9]{0,40}") {
        let scope = Roots::new().with("x", Json::parse(&digits).unwrap());
        proptest::prop_assert_eq!(Template::parse("/t/{{x}}").unwrap().text(&scope).unwrap(), format!("/t/{digits}"));
        let whole = Template::parse("{{x:int}}").unwrap().render(&scope).unwrap().unwrap();
        proptest::prop_assert_eq!(whole.as_str(), digits.as_str());
    }
}
