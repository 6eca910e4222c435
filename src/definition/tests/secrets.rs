//! No message, snippet or debug text shows a secret, however broken the definition is.

use super::*;

/// Each line of an account or a webhook is broken in turn; the values of secrets never show up.
#[test]
fn no_secret_shows_up_in_any_problem() {
    let account = "kind: integrated_account\nid: a\nintegration: x\ncredentials:\n  token: s3cret-1\n  key: |\n    s3cret-2\n    s3cret-3\n  list: [s3cret-4]\n  n: 5.10\nother: {token: s3cret-5}\nlabel: l\n";
    let one_line = "{\"kind\":\"integrated_account\",\"id\":\"a b\",\"credentials\":{\"token\":\"s3cret-6\"},\"bogus\":\"s3cret-7\"}";
    let webhook = "kind: webhook\nid: w\ntarget_url: https://user:s3cret-8@x/\nsecret: s3cret-9\nsecrets: [whsec_s3cret-10]\nheaders: {host: s3cret-11, authorization: \"a\\nbs3cret-12\"}\ntimout: s3cret-13\n";
    let anchored =
        "base: &b {token: s3cret-14, n: [s3cret-15]}\nkind: integrated_account\nid: a\ncredentials: *b\n";
    for text in [account, webhook, anchored] {
        for removed in 0..=text.lines().count() {
            let lines = text.lines().enumerate().filter(|(index, _)| index + 1 != removed);
            let text = lines.map(|(_, line)| format!("{line}\n")).collect::<String>();
            for text in
                [text.clone(), text.replace(": ", ":"), text.replace("\n  ", "\n "), text.replace('{', "[")]
            {
                let shown = refused("x.yaml", &text);
                assert!(!shown.contains("s3cret"), "{shown}");
            }
        }
    }
    for text in [one_line.to_owned(), one_line.replace("},", "}"), one_line.replace(":{", ":")] {
        for name in ["x.json", "x.yaml"] {
            let shown = refused(name, &text);
            assert!(!shown.contains("s3cret") && shown != "accepted", "{shown}");
        }
    }
}

#[test]
fn debug_shows_no_secret() {
    for (document, checked) in checked("good.yaml", YAML).unwrap() {
        let shown = format!("{document:?} {checked:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(!shown.contains("whsec_M"), "{shown}");
    }
}

#[test]
fn what_an_api_returns_has_no_secret() {
    for (document, _) in checked("good.yaml", YAML).unwrap() {
        let shown = document.public_body().to_string();
        assert!(
            shown.contains(&document.id) && !shown.contains("s3cret") && !shown.contains("whsec_"),
            "{shown}"
        );
    }
}

#[test]
fn variables_are_filled_in_only_where_they_belong() {
    let text = edited(&[("args: {start: \"2024-01-01\"}", "args: {start: \"${ACME_TOKEN}\"}")]);
    let documents = read_files([("x.yaml", text.as_str())], &env).unwrap();
    assert_eq!(documents[4].body["args"]["start"], "${ACME_TOKEN}");
    assert_eq!(documents[1].body["credentials"]["token"], "acme-token-s3cret");
}
