//! The files that others run the product with say what the code says.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn compose() -> Value {
    serde_saphyr::from_str(&read("docker-compose.yml")).unwrap()
}

/// The names of settings that `text` mentions.
fn variables(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'))
        .filter(|word| word.starts_with("RAPIDBRIDGE_"))
        .collect()
}

#[test]
fn compose_runs_a_durable_redis_two_schedulers_and_workers_that_scale() {
    let compose = compose();
    let services = compose["services"].as_object().unwrap();
    assert_eq!(
        services.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        ["redis", "scheduler", "worker"].into()
    );
    let redis: Vec<&str> =
        services["redis"]["command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for option in [["--appendonly", "yes"], ["--maxmemory-policy", "noeviction"]] {
        assert!(redis.windows(2).any(|pair| pair == option), "redis runs without {option:?}: {redis:?}");
    }
    assert!(
        services["redis"]["volumes"][0].as_str().unwrap().ends_with(":/data"),
        "what Redis keeps has no volume"
    );
    assert!(compose["volumes"].as_object().unwrap().contains_key("redis"));
    assert_eq!(services["scheduler"]["deploy"]["replicas"], 2);
    let worker = &services["worker"];
    let fixed = worker.get("container_name").is_some() || worker.get("ports").is_some();
    assert!(!fixed, "a name or a published port of its own keeps workers from scaling");
}

#[test]
fn compose_waits_for_health_and_lets_workers_drain() {
    let compose = compose();
    for (name, service) in compose["services"].as_object().unwrap() {
        assert!(service["healthcheck"]["test"].is_array(), "{name} has no health check");
        if name != "redis" {
            assert_eq!(service["depends_on"]["redis"]["condition"], "service_healthy", "{name}");
            assert_eq!(service["cap_drop"][0], "ALL", "{name} keeps capabilities");
        }
    }
    let grace =
        humantime::parse_duration(compose["services"]["worker"]["stop_grace_period"].as_str().unwrap())
            .unwrap();
    let seal = ("RAPIDBRIDGE_SEAL__KEY".to_owned(), "00".repeat(32));
    let settings = rapidbridge::settings::Settings::load(None, std::iter::once(seal)).unwrap();
    assert!(grace > settings.worker.drain_timeout, "workers are killed before they have drained");
}

#[test]
fn every_variable_is_a_setting() {
    let known = rapidbridge::settings::variables();
    for file in ["docker-compose.yml", ".env.example"] {
        let text = read(file);
        let named = variables(&text);
        assert!(named.len() > 3, "{file} names {named:?}");
        for name in named {
            assert!(known.iter().any(|known| known == name), "{file} sets {name}, which is no setting");
        }
    }
}

#[test]
fn every_value_of_compose_is_possible() {
    let compose = compose();
    for service in ["scheduler", "worker"] {
        let environment = compose["services"][service]["environment"].as_object().unwrap();
        let values = environment.iter().map(|(name, value)| {
            let value = match value.as_str().unwrap() {
                text if text.contains("SEAL__KEY") => "00".repeat(32),
                text if text.contains("API__TOKENS") => "0123456789abcdef".to_owned(),
                // `${NAME:-default}`
                text => text
                    .split_once(":-")
                    .map_or(text, |(_, default)| default.trim_end_matches('}'))
                    .to_owned(),
            };
            (name.clone(), value)
        });
        rapidbridge::settings::Settings::load(None, values)
            .unwrap_or_else(|error| panic!("{service}: {error}"));
    }
}

#[test]
fn the_image_has_all_programs_and_no_root() {
    let dockerfile = read("Dockerfile");
    let last_stage = dockerfile.rsplit("\nFROM ").next().unwrap();
    let user =
        last_stage.lines().rev().find_map(|line| line.strip_prefix("USER ")).expect("the image runs as root");
    assert!(!user.starts_with('0') && !user.starts_with("root"), "the image runs as {user}");
    assert!(last_stage.contains("ca-certificates"), "without certificates no source can be reached");
    for program in ["rapidbridge", "rapidbridge-scheduler", "rapidbridge-worker"] {
        assert!(dockerfile.contains(&format!("target/release/{program} ")), "the image has no {program}");
    }
    assert!(
        read(".dockerignore").lines().any(|line| line == "*"),
        "the build's context takes whatever lies around"
    );
}

#[test]
fn both_commands_are_there_and_run_by_ci() {
    let makefile = read("Makefile");
    for target in ["demo:", "test:", "check:", "help:"] {
        assert!(makefile.lines().any(|line| line.starts_with(target)), "make has no {target}");
    }
    assert!(read(".ci/run").contains("make test"));
}
