//! Whatever is answered, the file is accepted.

use std::io::Cursor;

use rapidbridge::definition::integration::{GrantKind, Pagination};
use rapidbridge::definition::{Account, Integration};

use super::render::refusal;
use super::*;

/// What a file defines.
fn read(answers: &Answers) -> (Integration, Account) {
    let text = render(answers);
    let read = read_and_check([("new.yaml", text.as_str())], &|name| Some(format!("of-{name}")));
    let read = read.unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let checked: Vec<_> = read.into_iter().map(|(_, checked)| checked).collect();
    let [integration, account] = checked.as_slice() else { panic!("{text}") };
    (integration.integration().unwrap().clone(), account.account().unwrap().clone())
}

fn ways() -> (Vec<Auth>, Vec<Paging>) {
    let url = || "https://login.example.com/oauth/token".to_owned();
    let auth = vec![
        Auth::Bearer,
        Auth::Header("X-Api-Key".to_owned()),
        Auth::Query("api_key".to_owned()),
        Auth::Basic,
        Auth::OAuth2 { authorize_url: url(), token_url: url(), scope: "read offline_access".to_owned() },
        Auth::OAuth2 { authorize_url: url(), token_url: url(), scope: String::new() },
        Auth::ClientCredentials { token_url: url(), scope: "api:read".to_owned() },
        Auth::None,
    ];
    let paging = vec![
        Paging::Cursor { at: "meta.next_cursor".to_owned(), param: "after".to_owned() },
        Paging::Link { at: "links.next".to_owned() },
        Paging::LinkHeader,
        Paging::Page { param: "page".to_owned(), first: 0 },
        Paging::Offset { param: "skip".to_owned() },
        Paging::None,
    ];
    (auth, paging)
}

#[test]
fn every_combination_is_accepted() {
    let (auth, paging) = ways();
    for (auth, paging) in auth.iter().flat_map(|auth| paging.iter().map(move |paging| (auth, paging))) {
        for with_more in [false, true] {
            let has_size = with_more && *paging != Paging::None;
            let answers = Answers {
                auth: auth.clone(),
                paging: paging.clone(),
                records: if with_more { "data.items".to_owned() } else { String::new() },
                size: has_size.then(|| ("per_page".to_owned(), 50)),
                rate_limit: with_more.then(|| (100, "1m".to_owned())),
                ..Answers::sample()
            };
            let (integration, account) = read(&answers);
            let method = integration.method("items", "list").unwrap();
            assert_eq!(method.response_path.is_empty(), !with_more);
            assert_eq!(integration.rate_limit.budget.is_some(), with_more);
            assert_eq!(method.pagination == Pagination::None, *paging == Paging::None);
            let needs_token = |grant: &GrantKind| matches!(grant, GrantKind::RefreshToken(_));
            if let Some(grant) = &integration.grant {
                assert!(grant.fits(&account), "{answers:?}");
                // `integration check` can't ask a person.
                let has_token = account.credentials.contains_key("access_token");
                assert_eq!(has_token, needs_token(&grant.kind), "{answers:?}");
            }
            let is_grant = matches!(auth, Auth::OAuth2 { .. } | Auth::ClientCredentials { .. });
            assert_eq!(integration.grant.is_some(), is_grant);
            assert_eq!(account.credentials.is_empty(), *auth == Auth::None);
        }
    }
}

#[test]
fn odd_texts_are_kept_as_they_are() {
    let long = "n".repeat(128);
    for (name, resource, path, records) in [
        (long.as_str(), "ticketing/tickets", "/a%20b", "data.on"),
        ("no", "true", "/tickets/{{query.ticket_id}}/comments", "$"),
        ("7up", "12", "/x%23y", "@graph"),
        ("a.b", "null", "", ""),
    ] {
        let answers = Answers {
            name: name.to_owned(),
            resource: resource.to_owned(),
            path: path.to_owned(),
            records: records.to_owned(),
            auth: Auth::Header("x-key`".to_owned()),
            ..Answers::sample()
        };
        let (integration, account) = read(&answers);
        assert_eq!(integration.name.as_str(), name);
        assert_eq!(account.integration.as_str(), name);
        assert_eq!(integration.method(resource, "list").unwrap().path.source(), path);
    }
}

#[test]
fn what_placeholders_need_the_account_has() {
    let answers = Answers {
        name: "shop-2".to_owned(),
        base_url: "https://{{context.subdomain}}.{{context.zone?:eu}}.example.com/{{ region }}".to_owned(),
        path: "/orgs/{{query.org|id}}/{{context.subdomain}}/{{query.state:undefined}}".to_owned(),
        auth: Auth::Bearer,
        ..Answers::sample()
    };
    let (_, account) = read(&answers);
    assert_eq!(
        account.context.as_str(),
        r#"{"subdomain":"of-SHOP_2_SUBDOMAIN","region":"of-SHOP_2_REGION"}"#
    );
    let text = render(&answers);
    assert_eq!(variables(&text), ["SHOP_2_SUBDOMAIN", "SHOP_2_REGION", "SHOP_2_TOKEN"]);
    assert_eq!(check_flags(&answers), ["--query org=..."]);
    assert_eq!(variables("$${A} ${B} ${B}${C}"), ["B", "C"]);
    let digits = Answers { name: "7up".to_owned(), ..answers };
    assert!(render(&digits).contains("${API_7UP_TOKEN}"));
}

#[test]
fn the_check_says_why_not() {
    let wrong = |change: &dyn Fn(&mut Answers)| {
        let mut answers = Answers::sample();
        change(&mut answers);
        refusal(&answers).unwrap()
    };
    assert!(wrong(&|it| it.base_url = "api.example.com".to_owned()).contains("this is no URL; write it as"));
    assert!(wrong(&|it| it.name = "my shop".to_owned()).contains("no valid id"));
    assert!(wrong(&|it| it.path = "items".to_owned()).contains("a path begins with /"));
    assert!(wrong(&|it| it.records = "items[0]".to_owned()).contains("no plain path"));
    assert!(wrong(&|it| it.rate_limit = Some((5, "minute".to_owned()))).contains("no duration"));
    assert!(wrong(&|it| it.auth = Auth::Header("Host".to_owned())).contains("belongs to the connection"));
}

fn asked(lines: &[&str], given: &[(&'static str, &str)]) -> anyhow::Result<(Answers, PathBuf)> {
    let given = given.iter().map(|(flag, value)| (*flag, (*value).to_owned())).collect();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut asker = Asker::new(given, Some(Box::new(Cursor::new(text))));
    let file = questions(&mut asker, false)?;
    Ok((asker.finish()?, file))
}

#[test]
fn bad_answers_are_asked_again() {
    let lines = [
        "",
        "my shop",
        "shop", // its name
        "shop.example",
        "https://api.shop.example/v1", //
        "9",
        "headr",
        "header",
        "Host",
        "", // how requests are authenticated
        "orders",
        "orders",
        "/orders", //
        "data[0]",
        "orders", //
        "1",
        "",
        "page.next",
        "starting_cursor", // how the list goes on
        "page_size",
        "many",
        "0",
        "200", //
        "100",
        "100/often",
        "100/1m", //
        "",
    ];
    let (answers, file) = asked(&lines, &[]).unwrap();
    let expected = Answers {
        name: "shop".to_owned(),
        base_url: "https://api.shop.example/v1".to_owned(),
        auth: Auth::Header("X-Api-Key".to_owned()),
        resource: "orders".to_owned(),
        path: "/orders".to_owned(),
        records: "orders".to_owned(),
        paging: Paging::Cursor { at: "page.next".to_owned(), param: "starting_cursor".to_owned() },
        size: Some(("page_size".to_owned(), 200)),
        rate_limit: Some((100, "1m".to_owned())),
    };
    assert_eq!((answers, file), (expected, PathBuf::from("shop.yaml")));
}

#[test]
fn what_flags_say_is_not_asked_and_answers_may_end_too_early() {
    let given = [("name", "shop"), ("auth", "none"), ("pagination", "link-header"), ("output", "other.yaml")];
    let (answers, file) = asked(&["https://shop.example", "orders", "", "", "", ""], &given).unwrap();
    assert_eq!((answers.path.as_str(), answers.paging, answers.size), ("/orders", Paging::LinkHeader, None));
    assert_eq!(file, PathBuf::from("other.yaml"));
    let ended = asked(&["https://shop.example"], &given).unwrap_err().to_string();
    assert!(ended.contains("--resource would be the next"), "{ended}");
    let unused = asked(
        &["https://shop.example", "orders", "", "", "", ""],
        &[given.as_slice(), &[("next", "a")]].concat(),
    );
    assert!(unused.unwrap_err().to_string().contains("--next means nothing"));
}

#[test]
fn without_anybody_to_ask_flags_and_defaults_decide() {
    let run = |given: &[(&'static str, &str)]| {
        let given = given.iter().map(|(flag, value)| (*flag, (*value).to_owned())).collect();
        let mut asker = Asker::new(given, None);
        questions(&mut asker, false).and_then(|_| asker.finish())
    };
    let enough = [("name", "shop"), ("base-url", "https://shop.example"), ("resource", "orders")];
    let answers = run(&enough).unwrap();
    assert_eq!((answers.auth, answers.paging, answers.records.as_str()), (Auth::Bearer, Paging::None, ""));
    for missing in 0..enough.len() {
        let others: Vec<_> =
            enough.iter().enumerate().filter(|(index, _)| *index != missing).map(|(_, it)| *it).collect();
        let error = run(&others).unwrap_err().to_string();
        assert!(error.contains(&format!("--{} is missing", enough[missing].0)), "{error}");
    }
    let more = |flags: &[(&'static str, &str)]| run(&[&enough[..], flags].concat()).unwrap_err().to_string();
    assert!(more(&[("pagination", "cursor")]).contains("--next is missing: where the next cursor is"));
    assert!(more(&[("path", "orders")]).contains("--path: a path begins with /"));
    assert!(more(&[("auth", "oauth2")]).contains("--authorize-url is missing: address where"));
}

#[test]
fn words_are_quoted_for_a_shell() {
    assert_eq!(
        ["a-b/c.yaml", "my shop.yaml", "it's"].map(quoted),
        ["a-b/c.yaml", "'my shop.yaml'", "'it'\\''s'"]
    );
}
