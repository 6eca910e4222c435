//! Broken sync jobs, a file for each part of the language: what each is refused with (in `snapshots/`).

use super::*;

/// What a case that names no kind begins with.
const HEADER: &str = "kind: sync_job\nid: broken\nintegration_name: helpdesk\n";

const FILES: [(&str, &str); 5] = [
    ("arguments", include_str!("arguments.yaml")),
    ("language", include_str!("language.yaml")),
    ("names", include_str!("names.yaml")),
    ("requests", include_str!("requests.yaml")),
    ("types", include_str!("types.yaml")),
];

/// The cases of a file: `### what is wrong`, then the job.
fn cases(text: &str) -> Vec<(&str, String)> {
    let cases = text.split("### ").skip(1).filter_map(|case| case.split_once('\n'));
    cases
        .map(|(name, body)| {
            let header = if body.starts_with("kind:") { "" } else { HEADER };
            (name, format!("{header}{body}"))
        })
        .collect()
}

fn refusal(text: &str) -> Option<Problems> {
    read_part([("job.yaml", text)], &env).err()
}

#[test]
fn every_mistake_is_told_with_its_place() {
    for (name, text) in FILES {
        let shown = cases(text).into_iter().map(|(case, text)| {
            let refusal =
                refusal(&text).map_or_else(|| "accepted".to_owned(), |problems| problems.to_string());
            format!("# {case}\n{refusal}")
        });
        insta::assert_snapshot!(name, shown.collect::<Vec<_>>().join("\n\n\n"));
    }
}

#[test]
fn no_broken_job_is_accepted() {
    let all: Vec<(&str, String)> = FILES.into_iter().flat_map(|(_, text)| cases(text)).collect();
    assert!(all.len() >= 60, "only {} broken jobs", all.len());
    for (case, text) in all {
        let problems = refusal(&text).unwrap_or_else(|| panic!("accepted: {case}"));
        for problem in problems.iter() {
            assert!(problem.line.is_some(), "{case}: {problem}");
        }
    }
}

/// Over REST there is no line to show, so the message tells the character.
#[test]
fn without_a_file_the_message_tells_the_character() {
    let job = |expression: &str| {
        let body = json!({"id": "j", "integration_name": "x", "resources": [
            {"resource": "a", "query": {"b": "x {{c:intt}}"}},
            {"name": "t", "type": "transform", "depends_on": "a", "config": {"expression": expression}}
        ]});
        SyncJob::from_document(&Document::new(Kind::SyncJob, &body).unwrap())
    };
    let shown = job("a.").unwrap_err().to_string();
    assert!(shown.contains("\"intt\" is no type (character 7 of this text)"), "{shown}");
    assert!(shown.contains("this is no expression"), "{shown}");
}
