//! `rapidbridge integration check`: what it shows of a declaration at work, and what it never shows.

use std::path::Path;
use std::process::Output;

use rapidbridge::playground::{Helpdesk, helpdesk};

async fn check(helpdesk: &Helpdesk, token: &str, more: &[&str]) -> (Output, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/helpdesk");
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_rapidbridge"))
        .args(["integration", "check"])
        .args(["integration.yaml", "account.yaml"].map(|file| folder.join(file)))
        .args(more)
        .env_clear()
        .envs([("HELPDESK_URL", helpdesk.url().as_str()), ("HELPDESK_TOKEN", token)])
        .output()
        .await
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let shown = shown.into_owned();
    assert!(!shown.contains(token), "the token is shown:\n{shown}");
    (output, shown)
}

#[tokio::test]
async fn a_declaration_is_shown_at_work() {
    let helpdesk = Helpdesk::start(helpdesk::Settings::default()).await.unwrap();
    let token = helpdesk.settings().token.clone();
    let (output, shown) = check(&helpdesk, &token, &["--resource", "tickets", "--pages", "2"]).await;
    assert!(output.status.success(), "{shown}");
    for part in [
        "page 2\n",
        "→ GET http://127.0.0.1:",
        "authorization: Bearer [redacted]\n",
        "← 200\n",
        "content-type: application/json\n",
        "record {\"id\":1,",
        "next cursor ",
        "there is more (--pages reads further)",
    ] {
        assert!(shown.contains(part), "{part:?} is missing in\n{shown}");
    }
    let comments = ["--resource", "comments", "--query", "ticket_id=1", "--records", "0"];
    let (output, shown) = check(&helpdesk, &token, &comments).await;
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("/tickets/1/comments?") && shown.contains("the list ends: "), "{shown}");
    assert!(shown.contains("the whole list") && !shown.contains("record {"), "{shown}");
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let helpdesk = Helpdesk::start(helpdesk::Settings::default()).await.unwrap();
    let (output, shown) = check(&helpdesk, "not-the-token", &["--resource", "tickets"]).await;
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("← 401") && shown.contains("refuses the credentials"), "{shown}");
    let (output, shown) = check(&helpdesk, "not-the-token", &["--resource", "tickts"]).await;
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("did you mean \"tickets\"?"), "{shown}");
    let before = helpdesk.read(|ledger| ledger.requests);
    assert_eq!(before, 1, "only the first of them asked");
}
