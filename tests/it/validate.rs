//! `rapidbridge validate` tells what is wrong without asking anybody, and shows what it understood.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Nothing is listening where it would ask.
fn validate(paths: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rapidbridge"))
        .args(["--api-url", "http://127.0.0.1:9", "validate"])
        .args(paths)
        .env_clear()
        .envs([("HELPDESK_URL", "https://helpdesk.example"), ("HELPDESK_TOKEN", "t")])
        .envs([("WEBHOOK_URL", "https://backend.example/"), ("WEBHOOK_SECRET", "s")])
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_is_right_is_shown_as_a_plan() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = validate(&[&root.join("examples/helpdesk"), &root.join("tests/jobs/graph-05-state.yaml")]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    for line in [
        "✓ integration helpdesk",
        "✓ sync_job helpdesk-full (flat list, reads from helpdesk)",
        "      for each record: comments (list comments)",
        "        → out",
        "6 definitions, nothing wrong",
    ] {
        assert!(shown.lines().any(|other| other == line), "{line:?} is missing in\n{shown}");
    }
}

#[test]
fn what_is_wrong_is_shown_at_its_place_and_what_is_odd_is_remarked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.yaml");
    let job = "kind: sync_job\nid: j\nintegration_name: x\nresources:\n  - { name: last, type: get_state, config: { key: k } }\n";
    fs::write(&file, format!("{job}  - resource: tickets\n    depends_on: last\n    methd: list\n")).unwrap();
    let output = validate(&[&file]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("jobs.yaml:8:5: sync_job \"j\": resources[1].methd: unknown field"), "{told}");
    assert!(told.contains("  8 |     methd:\n    |     ^\n  hint: did you mean \"method\"?"), "{told}");
    assert!(told.contains("1 problem"), "{told}");

    fs::write(&file, job).unwrap();
    let output = validate(&[&file]);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("! ") && text(&output.stderr).contains("share their state cells"));

    fs::write(&file, "# nothing\n").unwrap();
    let output = validate(&[&file]);
    assert_eq!(output.status.code(), Some(1), "an empty file is most likely not what was meant");
}
