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

/// The build's context is a part of the repository: every member of the workspace must be in it, and every file that the
/// programs take in.
#[test]
fn the_image_can_be_built_of_what_it_gets() {
    let ignore = read(".dockerignore");
    let admitted: Vec<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let folder = tempfile::tempdir().unwrap();
    for name in &admitted {
        let to = folder.path().join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join(name), to).unwrap();
    }
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (path, taken) in taken_in() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let whole = root.join(&path).parent().unwrap().join(&taken).canonicalize().unwrap();
        let within = whole.strip_prefix(root.canonicalize().unwrap()).unwrap();
        let is_there = admitted.iter().any(|name| within.starts_with(name));
        assert!(is_there, "{path} takes in {}, which .dockerignore leaves out", within.display());
    }
}

/// Files that sources take in when they are compiled: which source, and the path as it is written.
fn taken_in() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let written = text.split("include_str!(\"").skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(written.map(|taken| (path.display().to_string(), taken.to_owned())));
        }
    }
    assert!(found.len() > 5, "{found:?}");
    found
}

#[test]
fn both_commands_are_there_and_run_by_ci() {
    let makefile = read("Makefile");
    for target in ["demo:", "test:", "check:", "help:"] {
        assert!(makefile.lines().any(|line| line.starts_with(target)), "make has no {target}");
    }
    assert!(read(".ci/run").contains("make test"));
}
