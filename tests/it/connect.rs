//! A person lets an account in (`rapidbridge connect`, or a product's own page): the source's consent page, the way back, the
//! tokens that are made of it, and the runs that use them.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Redirect;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::definitions::job;
use crate::support::{Cluster, Setup};

#[derive(Default)]
struct Issuer {
    /// What the consent page was asked with.
    asked: HashMap<String, String>,
    /// Codes that were redeemed.
    redeemed: u64,
    /// Says no on the consent page.
    denies: bool,
}

type Shared = Arc<Mutex<Issuer>>;

/// The consent page of a person who agrees at once.
async fn authorize(State(issuer): State<Shared>, Query(asked): Query<HashMap<String, String>>) -> Redirect {
    let denies = issuer.lock().unwrap().denies;
    let mut back = url::Url::parse(&asked["redirect_uri"]).unwrap();
    let answer = if denies { ("error", "access_denied") } else { ("code", "the-code-canary") };
    back.query_pairs_mut().append_pair(answer.0, answer.1).append_pair("state", &asked["state"]);
    issuer.lock().unwrap().asked = asked;
    Redirect::to(back.as_str())
}

async fn token(State(issuer): State<Shared>, form: String) -> (StatusCode, Json<Value>) {
    let form: HashMap<String, String> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let mut issuer = issuer.lock().unwrap();
    let is = |name: &str, value: &str| form.get(name).is_some_and(|given| given == value);
    if is("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer") {
        return by_assertion(&form["assertion"]);
    }
    let challenge = form.get("code_verifier").map(|it| URL_SAFE_NO_PAD.encode(Sha256::digest(it.as_bytes())));
    let fits = is("grant_type", "authorization_code")
        && is("code", "the-code-canary")
        && is("client_id", "client")
        && is("client_secret", "s3cret-canary")
        && form.get("redirect_uri") == issuer.asked.get("redirect_uri")
        && challenge.is_some()
        && challenge.as_ref() == issuer.asked.get("code_challenge")
        && issuer.redeemed == 0;
    if !fits {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" })));
    }
    issuer.redeemed += 1;
    let tokens =
        json!({ "access_token": "access-canary", "refresh_token": "refresh-canary", "expires_in": 3600 });
    (StatusCode::OK, Json(tokens))
}

/// The assertion was signed with what both sides know, and is meant for this place.
fn by_assertion(assertion: &str) -> (StatusCode, Json<Value>) {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&["client"]);
    validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
    validation.validate_aud = false;
    let key = DecodingKey::from_secret(b"s3cret-canary");
    match jsonwebtoken::decode::<Value>(assertion, &key, &validation) {
        Ok(token) if token.claims["aud"].as_str().is_some_and(|it| it.ends_with("/oauth/token")) => {
            (StatusCode::OK, Json(json!({ "access_token": "access-canary", "expires_in": 3600 })))
        }
        Ok(_) | Err(_) => (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))),
    }
}

/// A login of the source's own: name and password for a session, which is in a header.
async fn login(headers: HeaderMap, Json(body): Json<Value>) -> (StatusCode, HeaderMap) {
    let mut answer = HeaderMap::new();
    let fits = body == json!({ "user": "me", "password": "s3cret-canary" }) && headers["x-app"] == "rb";
    if !fits {
        return (StatusCode::UNAUTHORIZED, answer);
    }
    answer.insert("x-session", "access-canary".parse().unwrap());
    (StatusCode::NO_CONTENT, answer)
}

async fn tickets(headers: HeaderMap, uri: Uri) -> (StatusCode, Json<Value>) {
    let is_in = headers.get("authorization").is_some_and(|token| token == "Bearer access-canary");
    if !is_in {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "error": uri.path() })));
    }
    (StatusCode::OK, Json(json!([{ "id": 1 }, { "id": 2 }])))
}

async fn start(credentials: Value, account: Value) -> (Cluster, Shared) {
    let cluster = Setup { workers: 1, ..Setup::default() }.start().await;
    let issuer = Shared::default();
    let router = Router::new()
        .route("/authorize", get(authorize))
        .route("/oauth/token", post(token))
        .route("/login", post(login))
        .route("/tickets", get(tickets))
        .with_state(issuer.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let credentials: Value = serde_json::from_str(&credentials.to_string().replace("BASE", &url)).unwrap();
    let integration = json!({
        "kind": "integration", "name": "helpdesk", "base_url": url, "authorization": { "format": "bearer" },
        "credentials": credentials,
        "retry": { "attempts": 1, "base": "20ms", "max": "100ms", "outage_budget": "0s" },
        "resources": { "tickets": { "list": { "path": "/tickets" } } },
    });
    let account = json!({ "kind": "integrated_account", "id": "acme", "integration": "helpdesk", "credentials": account });
    cluster.apply(vec![integration, account, job("tickets", json!([{ "resource": "tickets" }]))]).await;
    (cluster, issuer)
}

fn oauth2() -> Value {
    json!({ "format": "oauth2", "config": { "token_url": "BASE/oauth/token", "authorize_url": "BASE/authorize",
        "scope": ["read", "offline"], "authorize_params": { "prompt": "consent" } } })
}

fn client() -> Value {
    json!({ "client_id": "client", "client_secret": "s3cret-canary" })
}

/// Runs `rapidbridge connect` with a browser that does what the pages say; its exit code and all that it said.
async fn connect(cluster: &Cluster) -> (Option<i32>, String) {
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_rapidbridge"))
        .args(["--api-url", &cluster.api.urls[0], "connect", "acme", "--no-browser"])
        .env_clear()
        .env("RAPIDBRIDGE_TOKEN", crate::support::TOKEN)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        said += &format!("{line}\n");
        if let Some(url) = line.trim().strip_prefix("http") {
            let mut page = reqwest::get(format!("http{url}")).await.unwrap();
            let page = page.chunk().await.unwrap().unwrap();
            assert!(String::from_utf8_lossy(&page).contains("close this window"), "{page:?}");
        }
    }
    let output = child.wait_with_output().await.unwrap();
    said += &String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("access-canary") && !said.contains("s3cret"), "{said}");
    (output.status.code(), said)
}

async fn run(cluster: &Cluster) -> (String, String) {
    run_of(cluster, "acme").await
}

async fn run_of(cluster: &Cluster, account: &str) -> (String, String) {
    let run = cluster.api.push("tickets", account, "backend").await;
    let ended = cluster.api.ended(&run).await;
    (ended.status.clone(), ended.reason.clone().unwrap_or_default())
}

#[tokio::test]
async fn a_person_lets_an_account_in() {
    let (cluster, issuer) = start(oauth2(), client()).await;
    let (status, reason) = run(&cluster).await;
    assert_eq!(status, "failed", "{reason}");
    assert!(reason.contains("rapidbridge connect acme"), "{reason}");

    issuer.lock().unwrap().denies = true;
    let (code, said) = connect(&cluster).await;
    assert!(code == Some(1) && said.contains("access_denied"), "{said}");

    issuer.lock().unwrap().denies = false;
    let (code, said) = connect(&cluster).await;
    assert!(code == Some(0) && said.contains("connected acme"), "{said}");
    let asked = issuer.lock().unwrap().asked.clone();
    assert_eq!((asked["scope"].as_str(), asked["prompt"].as_str()), ("read offline", "consent"));
    assert_eq!((asked["response_type"].as_str(), asked["code_challenge_method"].as_str()), ("code", "S256"));
    assert_eq!(run(&cluster).await.0, "completed");

    // Tokens are not the definition's: the same file applied again changes nothing.
    let (_, shown) = cluster.api.call(Method::GET, "/integrated-account/acme", None).await;
    assert!(shown.contains(r#""status":"active""#) && !shown.contains("canary"), "{shown}");
    assert_eq!(run(&cluster).await.0, "completed");
    assert_eq!(issuer.lock().unwrap().redeemed, 1);
}

#[tokio::test]
async fn a_product_can_do_it_on_its_own_pages() {
    let (cluster, issuer) = start(oauth2(), client()).await;
    let path = "/integrated-account/acme/connect";
    let post = async |path: &str, body: Value| {
        let (status, text) = cluster.api.call(Method::POST, path, Some(&body)).await;
        (status, serde_json::from_str::<Value>(&text).unwrap())
    };
    for (wrong, told) in [
        (json!({}), "first redirect_uri alone"),
        (json!({ "redirect_uri": "http://app.example.com/back" }), "must be https"),
        (json!({ "redirect_uri": "https://x.example", "code": "c" }), "first redirect_uri alone"),
    ] {
        let (status, body) = post(path, wrong).await;
        assert!(status == 422 && body.to_string().contains(told), "{status} {body}");
    }
    let (status, invitation) = post(path, json!({ "redirect_uri": "https://app.example.com/back" })).await;
    assert_eq!(status, 200, "{invitation}");
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let page = http.get(invitation["authorize_url"].as_str().unwrap()).send().await.unwrap();
    let back = page.headers()["location"].to_str().unwrap().to_owned();
    assert!(back.starts_with("https://app.example.com/back?code="), "{back}");
    // A state of somebody else's, and a code that is none.
    let (status, body) = post(path, json!({ "code": "the-code-canary", "state": "v1.x.y" })).await;
    assert!(status == 400 && body.to_string().contains("begin again"), "{status} {body}");
    let state = invitation["state"].clone();
    let (status, body) = post(path, json!({ "code": "another", "state": state })).await;
    assert_eq!((status, body["truto_is_remote_error"].clone()), (422, json!(true)), "{body}");
    let (status, body) = post(path, json!({ "code": "the-code-canary", "state": state })).await;
    assert_eq!((status, body.clone()), (200, json!({ "id": "acme", "status": "active" })), "{body}");
    assert_eq!(issuer.lock().unwrap().redeemed, 1);
    assert_eq!(run(&cluster).await.0, "completed");
    let (status, _) =
        post("/integrated-account/nobody/connect", json!({ "redirect_uri": "https://x.example" })).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_login_of_the_sources_own_gives_a_session() {
    let session = json!({ "format": "session", "config": {
        "token_url": "BASE/login", "headers": { "x-app": "rb" }, "token_header": "X-Session", "expires_in": "1h",
        "body": { "user": "me", "password": "{{credentials.password}}" } } });
    let (cluster, _) = start(session, json!({ "password": "s3cret-canary" })).await;
    assert_eq!(run(&cluster).await.0, "completed");
    let account = json!({ "kind": "integrated_account", "id": "other", "integration": "helpdesk",
        "credentials": { "password": "wrong-canary" } });
    cluster.api.apply(&[account]).await;
    let (status, reason) = run_of(&cluster, "other").await;
    assert!(status == "failed" && reason.contains("refuses the login"), "{status} {reason}");
    assert!(!reason.contains("canary"), "{reason}");
}

#[tokio::test]
async fn a_signed_assertion_gives_a_token() {
    let assertion = json!({ "format": "jwt_assertion", "config": {
        "token_url": "BASE/oauth/token", "algorithm": "HS256", "key": "{{credentials.key}}",
        "claims": { "iss": "client", "sub": "{{credentials.user}}" } } });
    let (cluster, _) = start(assertion, json!({ "key": "s3cret-canary", "user": "me" })).await;
    let (status, reason) = run(&cluster).await;
    assert_eq!(status, "completed", "{reason}");
    let account = json!({ "kind": "integrated_account", "id": "other", "integration": "helpdesk",
        "credentials": { "key": "wrong-canary", "user": "me" } });
    cluster.api.apply(&[account]).await;
    let (status, reason) = run_of(&cluster, "other").await;
    assert!(status == "failed" && reason.contains("invalid_grant") && !reason.contains("canary"), "{reason}");
}
