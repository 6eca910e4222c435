//! Broken definitions and the exact words they are refused with (in `snapshots/`).

mod jobs;

use serde_json::json;

use super::*;

/// Each case is the good definitions with one mistake: its name, and text to replace.
fn one_mistake_each(cases: &[(&str, &[(&str, &str)])]) -> String {
    let shown =
        cases.iter().map(|(name, edits)| format!("# {name}\n{}", refused("defs.yaml", &edited(edits))));
    shown.collect::<Vec<_>>().join("\n\n\n")
}

#[test]
fn what_is_no_document() {
    let shown = one_mistake_each(&[
        ("kind unknown", &[("kind: webhook", "kind: webhok")]),
        ("kind missing", &[("kind: webhook\n", "")]),
        ("id missing", &[("kind: webhook\nid: backend\n", "kind: webhook\n")]),
        ("id is a number", &[("kind: webhook\nid: backend\n", "kind: webhook\nid: 42\n")]),
        ("id with spaces", &[("kind: webhook\nid: backend\n", "kind: webhook\nid: my backend\n")]),
        ("id twice", &[("id: tickets-often", "id: tickets-nightly")]),
        ("yaml tab", &[("    persist: false", "\tpersist: false")]),
        ("yaml key twice", &[("label: Helpdesk", "label: Helpdesk\nlabel: Again")]),
        ("yaml quote open", &[("label: Helpdesk", "label: \"Helpdesk")]),
        ("yaml colon", &[("label: Helpdesk", "label: Help: desk")]),
        ("number too long", &[("start: \"2024-01-01\"", "start: 12345678901234567890123")]),
    ]);
    insta::assert_snapshot!(shown);
}

#[test]
fn integrations() {
    let shown = one_mistake_each(&[
        (
            "query schema of no object",
            &[("response_path: ticket}", "query_schema: {type: [string, array], properties: {}}}")],
        ),
        (
            "base url without scheme",
            &[("https://{{context.subdomain}}.example.com/api", "{{context.subdomain}.example.com/api")],
        ),
        (
            "base url with query",
            &[("https://{{context.subdomain}}.example.com/api", "ftp://example.com/api")],
        ),
        ("unknown field", &[("  on_unauthorized: park", "  on_unautorized: park")]),
        ("written twice", &[("label: Helpdesk", "label: Helpdesk\nretry: {attempts: 2}")]),
        ("job placeholder", &[("path: /users,", "path: \"/users/{{args.id}}\",")]),
        ("credentials by oauth without a place", &[("format: api_key", "format: oauth2")]),
        ("credentials of another kind", &[("format: api_key", "format: keka_oauth")]),
        ("oauth", &[("format: bearer", "format: oauth2")]),
        ("dynamic pagination", &[("pagination: {format: offset}", "pagination: {format: dynamic}")]),
        ("pagination misspelt", &[("pagination: {format: offset}", "pagination: {format: ofset}")]),
        ("cursor without path", &[("cursor_path: meta.next, ", "")]),
        ("cursor field misspelt", &[("has_next_path: meta.more", "has_next: meta.more")]),
        (
            "response path expression",
            &[("response_path: data.tickets", "response_path: \"data.tickets[0]\"")],
        ),
        ("error expression", &[("  on_unauthorized: park", "  error_expression: \"data.(error\"")]),
        (
            "two that tell the end",
            &[("has_next_path: meta.more", "has_next_path: meta.more, end_path: meta.last")],
        ),
        ("a total of a list by cursor", &[("has_next_path: meta.more", "total_path: meta.total")]),
        (
            "range of bytes",
            &[("pagination: {format: offset}", "pagination: {format: range, range_unit: bytes}")],
        ),
        (
            "no_auth and another",
            &[("path: /tickets, ", "path: /tickets, no_auth: true, authorization: {format: bearer}, ")],
        ),
        (
            "mapping to nothing",
            &[(
                "  on_unauthorized: park",
                "  unified: {ticketing: {tickets: {resource: tiket, list: {response_mapping: {id: \"$string(\", \
                 tags: [a]}}, get: {before: [x]}}, users: {}}}",
            )],
        ),
        (
            "assertion of another algorithm",
            &[(
                "format: api_key",
                "format: jwt_assertion\n    algorithm: RS128\n    claims: {iss: \"{{args.x}}\"}",
            )],
        ),
        (
            "session with two places",
            &[("format: api_key", "format: session\n    token_path: a\n    token_header: x-y")],
        ),
        ("a body of files", &[("path: /tickets, ", "path: /tickets, body_format: multipart, ")]),
        ("path without slash", &[("path: /users,", "path: users,")]),
        ("path with query", &[("path: /users,", "path: \"/users?active=1\",")]),
        ("path is missing", &[("path: /users, ", "")]),
        (
            "rate limit expression",
            &[("    statuses: [429, 420]", "    rate_limit_header_expression: \"status = 429\"")],
        ),
        ("budget without a time", &[("    statuses: [429, 420]", "    requests: 100")]),
        ("reset unit", &[("reset_unit: epoch_seconds", "reset_unit: epoch_second")]),
        ("reset unit missing", &[("    reset_unit: epoch_seconds\n", "")]),
        ("status out of range", &[("[429, 420]", "[429, 200]")]),
        ("duration without unit", &[("timeout: 5s", "timeout: 5")]),
        ("duration out of range", &[("timeout: 5s", "timeout: 5h")]),
        ("waits the wrong way round", &[("base: 200ms, max: 5s", "base: 20s, max: 5s")]),
        ("header reserved", &[("X-Version: 2", "Host: example.com")]),
        ("header decimal", &[("X-Version: 2", "X-Version: 1.10")]),
        ("template type", &[("\"/tickets/{{id}}\"", "\"/tickets/{{id:integer}}\"")]),
    ]);
    insta::assert_snapshot!(shown);
}

#[test]
fn accounts() {
    let shown = one_mistake_each(&[
        ("of unknown integration", &[("integration: helpdesk", "integration: helpdsk")]),
        (
            "lacks what the integration needs",
            &[
                ("{subdomain: acme, plan: gold}", "{plan: gold}"),
                ("  token: ${ACME_TOKEN}", "  tokn: ${ACME_TOKEN}"),
            ],
        ),
        ("credentials nested", &[("  token: ${ACME_TOKEN}", "  oauth:\n    token: ${ACME_TOKEN}")]),
        ("credentials number", &[("token: ${ACME_TOKEN}", "token: 12345")]),
        ("variable missing", &[("${ACME_TOKEN}", "${ACME_TOKN}")]),
        ("variable malformed", &[("${ACME_TOKEN}", "${ACME_TOKEN:-none}")]),
    ]);
    insta::assert_snapshot!(shown);
}

#[test]
fn webhooks() {
    let shown = one_mistake_each(&[
        ("url with password", &[("https://backend.example.com", "https://me:pass@backend.example.com")]),
        ("url of another scheme", &[("https://backend.example.com", "ftp://backend.example.com")]),
        ("url with space", &[("https://backend.example.com/hooks", "https://backend.example.com/my hooks")]),
        ("url with fragment", &[("hooks?source=rapidbridge", "hooks#top")]),
        (
            "without secret",
            &[("secrets: [\"${HOOK_SECRET}\", whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw]\n", "")],
        ),
        ("secret not base64", &[("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "\"whsec_not base64\"")]),
        ("event misspelt", &[("\"sync_job_run:record\"", "\"sync_job_run:records\"")]),
        ("event of the model", &[("\"sync_job_run:record\"", "\"integrated_account:created\"")]),
        ("ack", &[("ack: 2xx", "ack: 201")]),
        ("header reserved", &[("headers: {Authorization:", "headers: {Webhook-Id:")]),
    ]);
    insta::assert_snapshot!(shown);
}

#[test]
fn sync_jobs() {
    let shown = one_mistake_each(&[
        ("unknown parent", &[("depends_on: tickets", "depends_on: tikets")]),
        (
            "cycle",
            &[(
                "    persist: false",
                "    name: a\n    depends_on: b\n  - name: b\n    resource: users\n    depends_on: c\n  - name: c\n    resource: users\n    depends_on: a",
            )],
        ),
        ("depends on itself", &[("depends_on: tickets", "depends_on: ticket-comments")]),
        (
            "two parents' records",
            &[
                (
                    "id: \"{{resources.ticket-comments.ticket_id}}\"",
                    "id: \"{{resources.ticket-comments.ticket_id}}-{{resources.users.id}}\"",
                ),
                ("depends_on: [ticket-comments]", "depends_on: [ticket-comments, users]"),
            ],
        ),
        ("name twice", &[("  - name: ticket-details\n    resource: tickets", "  - resource: tickets")]),
        (
            "placeholder of no ancestor",
            &[("ticket_id: \"{{resources.tickets.id}}\"", "ticket_id: \"{{resources.users.id}}\"")],
        ),
        (
            "placeholder misspelt",
            &[("ticket_id: \"{{resources.tickets.id}}\"", "ticket_id: \"{{resources.tickts.id}}\"")],
        ),
        ("placeholder root misspelt", &[("{{args.start?:1970-01-01T00:00:00.000Z}}", "{{arg.start}}")]),
        ("placeholder of credentials", &[("{{plan:undefined}}", "{{credentials.token}}")]),
        ("placeholder without parent", &[("{{plan:undefined}}", "{{resources.users.id}}")]),
        ("placeholder unquoted", &[("since: \"{{previous_run_date}}\"", "since: {{previous_run_date}}")]),
        ("query expression", &[("query: {ticket_id: \"{{resources.tickets.id}}\"}", "query: \"{'id': 1\"")]),
        ("resource with a dot", &[("  - resource: users", "  - resource: crm.users")]),
        ("resource unknown", &[("  - resource: users", "  - resource: user")]),
        ("method unknown", &[("  - resource: users", "  - resource: users\n    method: find")]),
        ("id needed", &[("    id: \"{{resources.ticket-comments.ticket_id}}\"\n", "")]),
        ("error handling", &[("error_handling: batch", "error_handling: failfast")]),
        ("without resources", &[("  - resource: users\n    persist: false\n", "  - {}\n")]),
    ]);
    insta::assert_snapshot!(shown);
}

/// By the schemas of its methods a job is told what can be known before a run; the rest is accepted.
#[test]
fn what_a_method_does_not_take() {
    let shown = [
        "name: all",
        "query: {size: \"25\", since: 2026-01-01T00:00:00Z, states: [\"{{args.state}}\"]}",
        "query: {since: \"{{args.since}}\", at: {from: \"{{args.from}}\"}}",
        "query: {$truto_merge: \"{{args.more}}\"}",
        "query: {size: null, since: null, per_page: 10}",
        "method: find, body: {page: {size: 5}}, query: {q: \"{{args.q}}\"}",
        "query: {since: \"{{previous_run_date}}\"}",
        "query: \"{'sinc': 1}\"",
        "incremental: {cursor_field: updated_at, param: since}",
        "method: search, body: {q: \"{{args.q}}\", more: 1}",
        "recurse: {config: {query: {since: \"{{resources.tickets.at}}\"}}}",
        "query: {sinc: \"{{previous_run_date}}\"}",
        "query: {since: yesterday, size: 51}",
        "query: {states: [open, dun]}",
        "query: {at: {to: now}}",
        "incremental: {cursor_field: updated_at, param: sinc}",
        "incremental: {cursor_field: updated_at, param: at.frm}",
        "query: {at: {from: \"{{args.from}}\", to: now}}",
        "recurse: {config: {query: {sinc: \"{{resources.tickets.at}}\"}}}",
        "query: {day: \"{{previous_run_date}}\"}",
        "method: find, query: {w: 1}",
        "method: find, body: {page: {siz: 5}}",
        "method: search, body: {q: 1}",
    ]
    .map(|node| format!("# {node}\n{}", refused("defs.yaml", &ASKING.replace("NODE", node))));
    insta::assert_snapshot!(shown.join("\n\n\n"));
}

const ASKING: &str = "
kind: integration
name: api
base_url: https://api.example
resources:
  tickets:
    list:
      path: /tickets
      pagination: { format: page, limit_param: per_page, max_limit: 10 }
      query_schema:
        type: object
        required: [since]
        additionalProperties: false
        properties:
          since: { type: string, format: date-time }
          day: { type: string, format: date }
          size: { type: integer, maximum: 50 }
          states: { type: array, items: { enum: [open, done] } }
          at: { type: object, required: [from], additionalProperties: false, properties: { from: { type: string } } }
    find:
      method: post
      path: /find
      add_query_to_body: true
      pagination: { format: cursor, cursor_path: next, cursor_key: page.token, limit_key: page.size, add_to_body: true }
      body_schema:
        type: object
        additionalProperties: false
        properties: { q: { type: string }, page: { type: object, additionalProperties: false, properties: {} } }
    search: { method: post, path: /search, body_schema: { type: object, properties: { q: { type: string } } } }
---
kind: sync_job
id: asks
integration_name: api
resources:
  - { resource: tickets, NODE }
";

#[test]
fn triggers() {
    let shown = one_mistake_each(&[
        (
            "of nothing",
            &[(
                "sync_job_id: tickets\nintegrated_account_id: acme\nwebhook_id: backend\nevery: 30s",
                "sync_job_id: tikets\nintegrated_account_id: acne\nwebhook_id: elsewhere\nevery: 30s",
            )],
        ),
        ("with both", &[("every: 30s", "every: 30s\ncron_expression: \"* * * * *\"")]),
        ("with neither", &[("every: 30s", "")]),
        ("with zone for interval", &[("every: 30s", "every: 30s\ntimezone: UTC")]),
        ("cron", &[("0 3 * * *", "0 3 * *")]),
        ("time zone", &[("Europe/Berlin", "Europe/Berlinn")]),
        ("overlap", &[("overlap: queue", "overlap: skipp")]),
        ("args not an object", &[("args: {start: \"2024-01-01\"}", "args: [1]")]),
    ]);
    insta::assert_snapshot!(shown);
}

#[test]
fn many_mistakes_in_many_files_come_at_once() {
    let job = "kind: sync_job\nid: j\nintegration: x\nresources:\n  - resource: a\n    methd: list\n    persist: maybe\n";
    let trigger =
        r#"{"kind": "sync_job_cron_trigger", "id": "t", "sync_job_id": "j", "every": "0s", "jitter": 5}"#;
    let files =
        [("b.json", trigger), ("a.yaml", job), ("c.json", "{\"kind\": "), ("d.yaml", "- 1\n- text\n")];
    let shown = read_and_check(files, &env).unwrap_err().to_string();
    insta::assert_snapshot!(shown);
}

#[test]
fn problems_are_json_for_the_api() {
    let body = json!({"id": "j", "integration_name": "x", "resources": [{"resource": "a", "depends_on": "b"}, 5], "labl": ""});
    let document = Document::new(Kind::SyncJob, &body).unwrap();
    insta::assert_json_snapshot!(SyncJob::from_document(&document).unwrap_err());
    insta::assert_json_snapshot!(read_json(&json!([])).unwrap_err());
    insta::assert_json_snapshot!(
        Document::new(Kind::SyncJob, &json!({"kind": "webhook", "id": "w"})).unwrap_err()
    );
}

#[test]
fn hostile_files_end_in_an_error() {
    let bomb: String = (1..10).fold("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, level| {
        let alias = vec![format!("*a{}", level - 1); 9].join(",");
        format!("{text}a{level}: &a{level} [{alias}]\n")
    });
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let large = " ".repeat(5 * 1024 * 1024);
    for (name, text) in
        [("bomb.yaml", &bomb), ("deep.json", &deep), ("deep.yaml", &deep), ("large.yaml", &large)]
    {
        assert!(read_files([(name, text.as_str())], &env).is_err(), "{name}");
    }
    assert_eq!(read_files([("empty.yaml", "# nothing\n---\n")], &env).unwrap().len(), 0);
}

/// Mistakes of every stage in two files: none hides another.
#[test]
fn all_stages_at_once() {
    let jobs = "kind: sync_job\nid: my sync\nintegration_name: api\nresources:\n  - resource: tickets\n    methd: list\n    \
                depends_on: tikets\n---\nkind: sync_job\nid: users\nintegration_name: api\nresources:\n  - resource: usrs\n\
                ---\nkind: integration\nnmae: other\nbase_url: https://other.example\nresources: {}\n";
    let rest = "kind: integration\nname: api\nbase_url: https://api.example\nresources:\n  tickets: { list: { path: /tickets } }\n  \
                users: { list: { path: /users } }\n---\nkind: webhook\nid: w\ntarget_url: ftp://x\n---\n\
                kind: integrated_account\nid: a\nintegration: elsewhere\n";
    let files = [("jobs.yaml", jobs), ("rest.yaml", rest)];
    insta::assert_snapshot!(read_part(files, &|_| None).unwrap_err());
}

#[test]
fn what_the_server_found_is_placed_in_the_file() {
    let file = "kind: sync_job\nid: users\nintegration_name: api\nresources:\n  - resource: users\n";
    let documents = read_part([("jobs.yaml", file)], &|_| None).unwrap();
    let problem = documents[0].problem("resources[0].resource", "no such resource", None);
    assert!(problem.to_string().starts_with("jobs.yaml:5:15: "), "{problem}");
    let around = documents[0].problem("resources[0].query.a.b", "odd", None);
    assert!(around.to_string().starts_with("jobs.yaml:5:5: "), "{around}");
}
