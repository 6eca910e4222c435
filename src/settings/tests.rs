//! What is read, and what is said about what can't be.

use rstest::rstest;
use secrecy::ExposeSecret as _;

use super::*;

const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

fn env(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    let key = [("RAPIDBRIDGE_SEAL__KEY", KEY), ("PATH", "/bin"), ("HOME", "/")];
    let pairs: Vec<_> =
        key.iter().chain(pairs).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    pairs.into_iter()
}

fn load(pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::load(None, env(pairs))
}

fn load_file(name: &str, content: &str, pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    Settings::load(Some(&path), env(pairs))
}

#[test]
fn everything_but_the_key_has_a_default() {
    let settings = load(&[]).unwrap();
    assert_eq!(settings.environment.as_str(), "default");
    assert_eq!(settings.redis.url.expose_secret(), "redis://127.0.0.1:6379");
    assert_eq!((settings.redis.partitions, settings.redis.require_durable), (16, Durability::Refuse));
    assert_eq!(settings.api.listen.to_string(), "127.0.0.1:8080");
    assert_eq!((settings.worker.concurrency, settings.worker.lease), (16, Duration::from_secs(15)));
    assert_eq!((settings.worker.health_listen, settings.worker.fetch_ahead), (None, true));
    assert_eq!(settings.scheduler.tick, Duration::from_millis(500));
    assert_eq!(settings.retention.resumable, 7 * DAY);
    assert_eq!(settings.stage.total_bytes_max, 1 << 30);
    assert!(
        settings.egress.allow.is_empty()
            && settings.api.tokens.is_empty()
            && settings.seal.previous.is_empty()
    );
    assert_eq!(settings.log.format, LogFormat::Json);

    let error = Settings::load(None, std::iter::empty()).unwrap_err();
    assert_eq!(error.problems.len(), 1);
    assert!(error.to_string().contains("`seal.key` is missing"), "{error}");
    assert!(error.to_string().contains("RAPIDBRIDGE_SEAL__KEY"), "{error}");
}

#[test]
fn the_environment_comes_before_the_file() {
    let toml = "environment = 'staging'\n[worker]\nconcurrency = 3\nlease = '5s'\n[egress]\nallow = ['10.0.0.0/8', '::1/128']\n";
    let settings = load_file("a.toml", toml, &[("RAPIDBRIDGE_WORKER__CONCURRENCY", "7")]).unwrap();
    assert_eq!(settings.environment.as_str(), "staging");
    assert_eq!((settings.worker.concurrency, settings.worker.lease), (7, Duration::from_secs(5)));
    assert_eq!(settings.egress.allow.len(), 2);
}

/// Whatever the environment sets below it.
#[test]
fn a_group_that_is_no_table_is_told() {
    for pairs in [&[][..], &[("RAPIDBRIDGE_WORKER__CONCURRENCY", "7")]] {
        let error = load_file("a.toml", "worker = 5\n", pairs).unwrap_err().to_string();
        assert!(error.contains("`worker` in") && error.contains("a.toml is no setting"), "{error}");
        assert!(error.contains("worker.concurrency"), "{error}");
    }
    let both = [("RAPIDBRIDGE_WORKER", "5"), ("RAPIDBRIDGE_WORKER__CONCURRENCY", "7")];
    let error = load(&both).unwrap_err().to_string();
    assert!(error.contains("in the environment (RAPIDBRIDGE_WORKER) is no setting"), "{error}");
}

#[rstest]
#[case(
    "a.yaml",
    "worker:\n  concurrency: 3\n  fetch_ahead: false\n  health_listen:\napi:\n  body_bytes_max: 65536\n"
)]
#[case("a.yml", "worker: {concurrency: 3, fetch_ahead: false}\napi: {body_bytes_max: 64 KiB}\n")]
#[case(
    "a.json",
    r#"{"worker": {"concurrency": 3, "fetch_ahead": false}, "api": {"body_bytes_max": "64kib"}}"#
)]
#[case("a.toml", "[worker]\nconcurrency = 3\nfetch_ahead = false\n[api]\nbody_bytes_max = '65536'\n")]
fn every_format_says_the_same(#[case] name: &str, #[case] content: &str) {
    let settings = load_file(name, content, &[]).unwrap();
    assert_eq!((settings.worker.concurrency, settings.worker.fetch_ahead), (3, false));
    assert_eq!(settings.api.body_bytes_max, 65_536);
}

#[test]
fn lists_and_secrets_of_digits_pass_through_the_environment_as_they_are() {
    let pairs =
        [("RAPIDBRIDGE_API__TOKENS", "0012345678901234, abcdefgh-ijklmnop"), ("RAPIDBRIDGE_LOG__FILTER", "")];
    let settings = load(&pairs).unwrap();
    let tokens: Vec<&str> = settings.api.tokens.iter().map(|token| token.expose_secret()).collect();
    assert_eq!(tokens, ["0012345678901234", "abcdefgh-ijklmnop"]);
    assert_eq!(settings.log.filter, "info", "an empty variable is not set");
    settings.check_api().unwrap();
    assert!(load(&[]).unwrap().check_api().unwrap_err().to_string().contains("RAPIDBRIDGE_API__TOKENS"));
}

#[rstest]
#[case("ENVIRONMENT", "a b", "`environment` is \"a b\" in the environment (RAPIDBRIDGE_ENVIRONMENT)")]
#[case("REDIS__PARTITIONS", "0", "write a whole number from 1 to 1024")]
#[case("REDIS__PARTITIONS", "70000", "`redis.partitions` is \"70000\"")]
#[case("REDIS__REQUIRE_DURABLE", "false", "write `true` or `warn`")]
#[case("API__LISTEN", "8080", "such as `0.0.0.0:8080`")]
#[case("EGRESS__ALLOW", "10.0.0.0/8,nonsense", "`egress.allow` is \"10.0.0.0/8,nonsense\"")]
#[case("WORKER__LEASE", "1s", "write a duration from 3s to 5m, such as `15s`")]
#[case("WORKER__LEASE", "15", "write a duration")]
#[case("WORKER__FETCH_AHEAD", "maybe", "write `true` or `false`")]
#[case("STAGE__RUN_BYTES_MAX", "1KiB", "write a size from 1MiB to 4GiB")]
#[case("STAGE__RUN_BYTES_MAX", "99999999999999999999GiB", "write a size")]
#[case("LOG__FILTER", "rapidbridge=loud", "write a level")]
#[case("LOG__FORMAT", "xml", "write `json` or `text`")]
#[case(
    "WORKER__LEAS",
    "1s",
    "`worker.leas` in the environment (RAPIDBRIDGE_WORKER__LEAS) is no setting; this group has worker.concurrency"
)]
#[case("WORKER", "1", "is no setting; this group has")]
#[case("CONCURRENCY", "1", "is no setting; there are `environment` and the groups redis, api")]
#[case("REDIS__URL__HOST", "x", "`redis.url.host`")]
fn a_problem_names_key_source_and_what_is_allowed(
    #[case] name: &str,
    #[case] value: &str,
    #[case] expected: &str,
) {
    let error = load(&[(&format!("RAPIDBRIDGE_{name}"), value)]).unwrap_err();
    assert_eq!(error.problems.len(), 1, "{error}");
    assert!(error.to_string().contains(expected), "{error}");
}

#[rstest]
#[case("RETENTION__RESUMABLE", "31d", "`retention.resumable` is longer than `retention.finished_runs`")]
#[case("STAGE__RUN_BYTES_MAX", "2GiB", "`stage.run_bytes_max` is more than")]
#[case(
    "LIMITS__PAGE_BYTES_MAX",
    "129MiB",
    "`worker.memory_budget_bytes` is less than twice `limits.page_bytes_max`"
)]
fn values_must_go_together(#[case] name: &str, #[case] value: &str, #[case] expected: &str) {
    let error = load(&[(&format!("RAPIDBRIDGE_{name}"), value)]).unwrap_err();
    assert_eq!(error.problems.len(), 1, "{error}");
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn all_problems_are_reported_together_with_their_file() {
    let toml =
        "colour = 'red'\n[worker]\nconcurrency = 0\nlease = ['5s']\nspeed = 1\n[log]\nformat = 'xml'\n";
    let error = load_file("broken.toml", toml, &[("RAPIDBRIDGE_API__LISTEN", "x")]).unwrap_err();
    let keys: Vec<&str> = error.problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(
        keys,
        ["api.listen", "worker.concurrency", "worker.lease", "log.format", "colour", "worker.speed"]
    );
    assert!(error.to_string().contains("broken.toml"), "{error}");
    assert!(error.to_string().starts_with("the settings have 6 problems"), "{error}");
}

#[rstest]
#[case("a.toml", "[seal]\nkey = 'hunter2hunter2\n")]
#[case(
    "a.toml",
    "[api]\ntokens = ['hunter2']\n[seal]\nprevious = ['hunter2']\n[redis]\nurl = 'http://:hunter2@h'"
)]
#[case("a.yaml", "seal:\n  key: 'hunter2\n :")]
#[case("a.json", r#"{"seal": {"key": "hunter2" "#)]
#[case("a.json", r#"{"api": {"tokens": [1234567890123456789]}}"#)]
fn no_error_shows_a_secret(#[case] name: &str, #[case] content: &str) {
    let error = load_file(name, content, &[]).unwrap_err();
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains("hunter2") && !text.contains("1234567"), "{text}");
    }
}

#[test]
fn no_debug_output_shows_a_secret() {
    let pairs = [
        ("RAPIDBRIDGE_REDIS__URL", "redis://u:hunter2@h"),
        ("RAPIDBRIDGE_API__TOKENS", "hunter2-hunter2-hunter2"),
    ];
    let text = format!("{:#?}", load(&pairs).unwrap());
    assert!(!text.contains("hunter2") && !text.contains("MDEy"), "{text}");
}

#[test]
fn a_file_that_is_not_there_is_an_error_when_it_was_named() {
    let error = Settings::load(Some(Path::new("nowhere/at-all.toml")), env(&[])).unwrap_err();
    assert!(error.to_string().contains("nowhere/at-all.toml"), "{error}");
}

#[test]
fn the_command_line_has_variables_of_its_own() {
    load(&[("RAPIDBRIDGE_API_URL", "http://h"), ("RAPIDBRIDGE_TOKEN", "x"), ("RAPIDBRIDGE_CONFIG", "f")])
        .unwrap();
}

/// `UPDATE_DOCS=1 cargo test --lib settings` writes the file anew.
#[test]
fn the_reference_is_the_one_in_docs() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md");
    if std::env::vars().any(|(name, value)| name == "UPDATE_DOCS" && value == "1") {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap();
        std::fs::write(path, reference()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == reference(),
        "docs/settings.md is out of date: run `UPDATE_DOCS=1 cargo test --lib settings`"
    );
}

#[test]
fn the_reference_lists_every_setting() {
    let (reference, settings) = (reference(), format!("{:?}", load(&[]).unwrap()));
    for variable in variables() {
        let field = variable.rsplit("__").next().unwrap().trim_start_matches("RAPIDBRIDGE_").to_lowercase();
        assert!(reference.contains(&format!("| `{variable}` |")), "{variable}");
        assert!(settings.contains(&format!("{field}: ")), "{field}");
    }
    assert!(variables().len() > 30);
}
