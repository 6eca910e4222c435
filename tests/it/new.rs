//! `rapidbridge integration new`: what it writes is accepted, and reads a real API.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rapidbridge::definition::read_and_check;
use rapidbridge::playground::{Helpdesk, helpdesk};

/// Runs the command in `folder` with these lines as its standard input.
fn new(folder: &Path, flags: &[&str], lines: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rapidbridge"))
        .args(["integration", "new"])
        .args(flags)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    // Who is not asked may have left before.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    child.wait_with_output().unwrap()
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What `integration new` says to do next, done: the variables filled in and the command run.
async fn follow(folder: &Path, told: &str, value: &str) -> (bool, String) {
    let exports = told.lines().filter_map(|line| line.strip_prefix("export ")?.strip_suffix("='...'"));
    let variables: Vec<(&str, &str)> = exports.map(|name| (name, value)).collect();
    assert!(!variables.is_empty(), "{told}");
    let command = told.lines().find_map(|line| line.strip_prefix("rapidbridge ")).unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_rapidbridge"))
        .args(command.split(' '))
        .current_dir(folder)
        .env_clear()
        .envs(variables)
        .output()
        .await
        .unwrap();
    (output.status.success(), shown(&output))
}

#[tokio::test]
async fn flags_make_a_file_that_reads_an_api() {
    let helpdesk = Helpdesk::start(helpdesk::Settings::default()).await.unwrap();
    let url = format!("{}/api/v1", helpdesk.url().as_str().trim_end_matches('/'));
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        ["--name", "helpdesk"],
        ["--base-url", &url],
        ["--auth", "bearer"],
        ["--resource", "tickets"],
        ["--records", "tickets"],
        ["--pagination", "cursor"],
        ["--next", "meta.next_cursor"],
        ["--size-param", "limit"],
    ];
    let output = new(folder.path(), &flags.concat(), &[]);
    let told = shown(&output);
    assert!(output.status.success(), "{told}");
    let text = fs::read_to_string(folder.path().join("helpdesk.yaml")).unwrap();
    let checked = read_and_check([("helpdesk.yaml", text.as_str())], &|_| Some("t".to_owned())).unwrap();
    assert_eq!(checked.len(), 2, "{text}");
    assert!(told.contains("\nexport HELPDESK_TOKEN='...'\n"), "{told}");
    assert!(told.ends_with("\nrapidbridge integration check helpdesk.yaml --resource tickets\n"), "{told}");

    let (good, read) = follow(folder.path(), &told, &helpdesk.settings().token).await;
    assert!(good && read.contains("record {\"id\":1,") && read.contains("next cursor "), "{read}");
}

#[test]
fn answers_come_through_a_pipe_and_bad_ones_are_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("shop.yaml"), "mine").unwrap();
    let lines = [
        "my shop",
        "shop",
        "https://{{context.subdomain}}.shop.example/v1",
        "oauth2-client-credentials",
        "login.example",
        "https://login.example/token",
        "",
        "orders",
        "/customers/{{query.customer_id}}/orders",
        "data",
        "page",
        "",
        "0",
        "per_page",
        "50",
        "",
        "",
        "orders.yaml",
    ];
    let output = new(folder.path(), &["--ask"], &lines);
    let told = shown(&output);
    assert!(output.status.success(), "{told}");
    for part in [
        "no valid id",
        "this is no URL",
        "shop.yaml is there already",
        "wrote orders.yaml",
        "export SHOP_SUBDOMAIN='...'\nexport SHOP_CLIENT_ID='...'\nexport SHOP_CLIENT_SECRET='...'\n",
        "rapidbridge integration check orders.yaml --resource orders --query customer_id=...\n",
    ] {
        assert!(told.contains(part), "{part:?} is missing in\n{told}");
    }
    let text = fs::read_to_string(folder.path().join("orders.yaml")).unwrap();
    read_and_check([("orders.yaml", text.as_str())], &|_| Some("t".to_owned())).unwrap();
    for line in ["  start: 0", "  limit_param: per_page", "  max_limit: 50", "      response_path: data"] {
        assert!(text.lines().any(|other| other == line), "{line:?} is missing in\n{text}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("shop.yaml")).unwrap(), "mine");
}

#[test]
fn what_is_missing_or_wrong_is_told_and_no_file_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let enough = ["--name", "shop", "--base-url", "https://shop.example", "--resource", "orders"];
    let refused = |flags: &[&str], reason: &str| {
        let output = new(folder.path(), flags, &[]);
        let told = shown(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(reason), "{reason:?} is missing in\n{told}");
        assert!(!told.contains("wrote"), "{told}");
    };
    refused(&["--yes"], "--name is missing");
    refused(&enough[..4], "--resource is missing");
    refused(&[&enough[..], &["--path", "orders"]].concat(), "--path: a path begins with /");
    refused(&[&enough[..], &["--first-page", "0"]].concat(), "--first-page means nothing");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a file was written all the same");

    assert!(new(folder.path(), &enough, &[]).status.success());
    let file = folder.path().join("shop.yaml");
    fs::write(&file, "mine").unwrap();
    refused(&enough, "shop.yaml is there already");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert!(new(folder.path(), &[&enough[..], &["--force"]].concat(), &[]).status.success());
    assert!(fs::read_to_string(&file).unwrap().contains("kind: integration\nname: shop\n"));
}
