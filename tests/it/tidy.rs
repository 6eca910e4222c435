//! The house's own rules, held by tests: which room may know which, and what no file may contain.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The module plan: each room of the library, and the rooms it may import. Imports go one way; the engine knows neither
/// queue nor HTTP, and the scheduler knows neither engine, source nor delivery. A new arrow is a decision made here.
const PLAN: [(&str, &[&str]); 29] = [
    ("aside", &[]),
    ("backoff", &[]),
    ("clock", &[]),
    ("egress", &[]),
    ("id", &[]),
    ("json", &[]),
    ("mac", &[]),
    ("nearest", &[]),
    ("seal", &["mac"]),
    ("schedule", &["clock", "id"]),
    ("template", &["json", "nearest"]),
    ("expression", &["clock", "json", "nearest"]),
    ("settings", &["egress", "id", "seal"]),
    ("retry_after", &["clock"]),
    ("observe", &["settings"]),
    ("definition", &["clock", "expression", "id", "json", "nearest", "schedule", "template"]),
    ("run", &["clock", "definition", "id", "json"]),
    ("plan", &["definition", "expression", "json", "template"]),
    (
        "engine",
        &["aside", "backoff", "clock", "definition", "expression", "id", "json", "plan", "run", "template"],
    ),
    (
        "source",
        &[
            "aside",
            "backoff",
            "clock",
            "definition",
            "egress",
            "engine",
            "expression",
            "id",
            "json",
            "retry_after",
            "template",
        ],
    ),
    (
        "delivery",
        &["backoff", "clock", "definition", "egress", "engine", "id", "json", "mac", "retry_after", "run"],
    ),
    ("store", &["backoff", "clock", "definition", "id", "json", "run", "schedule", "seal", "settings"]),
    ("live", &["clock", "definition", "engine", "id", "json", "seal", "source", "store"]),
    (
        "worker",
        &[
            "backoff",
            "clock",
            "definition",
            "delivery",
            "egress",
            "engine",
            "id",
            "json",
            "live",
            "mac",
            "nearest",
            "observe",
            "plan",
            "retry_after",
            "run",
            "schedule",
            "seal",
            "settings",
            "source",
            "store",
            "template",
        ],
    ),
    ("scheduler", &["backoff", "clock", "definition", "id", "json", "run", "schedule", "settings", "store"]),
    (
        "api",
        &[
            "clock",
            "definition",
            "egress",
            "engine",
            "id",
            "json",
            "live",
            "nearest",
            "plan",
            "run",
            "seal",
            "settings",
            "source",
            "store",
        ],
    ),
    (
        "process",
        &["api", "clock", "egress", "observe", "scheduler", "seal", "settings", "source", "store", "worker"],
    ),
    ("playground", &["clock", "id", "json", "settings"]),
    ("redis_server", &["clock", "settings"]),
];

/// A file that can't be read from the top in one go wants to be two.
const LINES_MAX: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder` for which `wanted` holds, as paths from the repository's root.
fn files(folder: &str, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if wanted(&path) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    files(folder, &|path| path.extension().is_some_and(|extension| extension == "rs"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The modules a source file stands in: `src/store/queue/claim.rs` → store, queue, claim.
fn modules(path: &Path) -> Vec<String> {
    let inner = path.strip_prefix("src").unwrap().with_extension("");
    inner.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
}

/// A file's code as product code: without comments, and without its inline `mod tests`.
fn product_code(text: &str) -> String {
    let mut code = String::new();
    let mut in_tests = false;
    for line in text.lines() {
        in_tests |= line.starts_with("mod tests {");
        if !in_tests {
            // Cuts into strings with `//` as well, which takes no import away.
            code.push_str(line.split("//").next().unwrap_or_default());
            code.push('\n');
        }
        in_tests &= line != "}";
    }
    code
}

/// The first names of the paths that begin with `prefix`, such as `crate::`; of each path in a `{…}` group.
fn names_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let joined = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        if code[..at].ends_with(joined) {
            continue; // the end of a longer name
        }
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(members(group).into_iter().map(first_name)),
            None => drop(names.insert(first_name(rest))),
        }
    }
    // A type or a macro at the crate's root is no room.
    names.retain(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    names
}

/// The paths of a `{…}` group, given what follows its opening brace.
fn members(group: &str) -> Vec<&str> {
    let (mut paths, mut depth, mut start) = (vec![], 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' => {
                paths.push(&group[start..at]);
                break;
            }
            ',' if depth == 0 => {
                paths.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    paths
}

fn first_name(path: &str) -> String {
    path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The rooms that a file of `room` imports, however it writes them.
fn imports(path: &Path, text: &str) -> BTreeSet<String> {
    let code = product_code(text);
    let depth = modules(path).len();
    let to_root = "super::".repeat(depth);
    names_after(&code, "crate::").into_iter().chain(names_after(&code, &to_root)).collect()
}

#[test]
fn imports_follow_the_plan() {
    let plan: BTreeMap<&str, &[&str]> = PLAN.into();
    let mut wrong = vec![];
    let mut built = BTreeSet::new();
    for path in rust_files("src") {
        let room = modules(&path)[0].clone();
        if room == "lib" || room == "bin" {
            continue;
        }
        built.insert(room.clone());
        let Some(allowed) = plan.get(room.as_str()) else {
            wrong.push(format!(
                "{}: the room `{room}` is not in the plan; say there what it may import",
                path.display()
            ));
            continue;
        };
        if path.ends_with("tests.rs") || modules(&path).iter().any(|module| module == "tests") {
            continue;
        }
        for import in imports(&path, &read(&path)) {
            if import != room && !allowed.contains(&import.as_str()) {
                wrong.push(format!(
                    "{}: `{room}` may not import `{import}`; move what it needs, or change the plan for a reason",
                    path.display()
                ));
            }
        }
    }
    for (room, allowed) in PLAN {
        if !built.contains(room) {
            wrong.push(format!("the plan has a row for `{room}`, which is not there; take it out"));
        }
        for import in allowed.iter().filter(|import| !plan.contains_key(**import)) {
            wrong.push(format!("the plan lets `{room}` import `{import}`, which is no room"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_plan_has_no_cycles() {
    let mut left: BTreeMap<&str, &[&str]> = PLAN.into();
    // Takes away rooms that import nothing which is left, until no such room is left.
    while let Some(free) =
        left.iter().find(|(_, to)| to.iter().all(|room| !left.contains_key(room))).map(|(room, _)| *room)
    {
        left.remove(free);
    }
    assert!(left.is_empty(), "these rooms can reach themselves: {:?}", left.keys());
}

#[test]
fn the_programs_keep_to_their_side() {
    let sides = [
        ("worker/src", &["scheduler", "api", "playground"][..]),
        ("scheduler/src", &["worker", "engine", "source", "delivery", "playground"][..]),
    ];
    for (folder, forbidden) in sides {
        for path in rust_files(folder) {
            let used = names_after(&product_code(&read(&path)), "rapidbridge::");
            let wrong: Vec<&String> = used.iter().filter(|room| forbidden.contains(&room.as_str())).collect();
            assert!(
                wrong.is_empty(),
                "{}: this program may not use {wrong:?} of the library",
                path.display()
            );
        }
    }
}

#[test]
fn imports_are_seen_however_they_are_written() {
    let room = Path::new("src/room.rs");
    let inner = Path::new("src/room/inner.rs");
    let seen = |path, text: &str| imports(path, text).into_iter().collect::<Vec<_>>();
    assert_eq!(seen(room, "use crate::id::RunId;\nlet x = crate::clock::now();"), ["clock", "id"]);
    assert_eq!(
        seen(room, "use crate::{\n    id::{A, B},\n    json,\n    run::Run as R,\n};\nuse x::y;"),
        ["id", "json", "run"]
    );
    assert_eq!(seen(room, "use super::store::Store;"), ["store"]);
    assert_eq!(seen(inner, "use super::helper;\nuse super::super::store::Store;"), ["store"]);
    assert_eq!(seen(room, "// crate::store\n/// [`crate::api`]\nuse other_crate::worker;"), [""; 0]);
    assert_eq!(seen(room, "mod tests {\n    use crate::store::X;\n}\nuse crate::id::Y;"), ["id"]);
}

/// A setting that is documented and does nothing would be a promise broken.
#[test]
fn every_setting_is_read_by_somebody() {
    let folders = ["src", "worker/src", "scheduler/src"];
    let product = folders
        .into_iter()
        .flat_map(rust_files)
        .filter(|path| !(path.starts_with("src") && modules(path)[0] == "settings"));
    let code: String = product.map(|path| product_code(&read(&path))).collect();
    let mut wrong = vec![];
    for variable in rapidbridge::settings::variables() {
        let field = variable.rsplit("__").next().unwrap().trim_start_matches("RAPIDBRIDGE_").to_lowercase();
        let member = format!(".{field}");
        let used = code.match_indices(&member).any(|(at, _)| {
            !code[at + member.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '(')
        });
        if !used {
            wrong.push(format!("nothing reads {variable}: obey the setting, or take it out"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = ["src", "tests", "worker/src", "scheduler/src"]
        .into_iter()
        .flat_map(rust_files)
        .map(|path| (read(&path).lines().count(), path))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, path)| format!("{} has {lines} lines, more than {LINES_MAX}: split it", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn tests_neither_sleep_nor_rest() {
    // Written in two parts, so that this file does not find itself.
    let banned = [
        (concat!("#[ig", "nore"), "a test that never runs protects nothing: fix it or delete it"),
        (concat!("sleep(Dur", "ation"), "wait for the event itself, with a limit"),
    ];
    let mut wrong = vec![];
    for path in ["src", "tests", "worker/src", "scheduler/src"].into_iter().flat_map(rust_files) {
        let text = read(&path);
        for (word, hint) in banned {
            // Product code may sleep; tests may not.
            let applies = path.starts_with("tests") || word.starts_with('#');
            if applies && text.contains(word) {
                wrong.push(format!("{}: `{word}`: {hint}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let banned = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let folders = ["src", "tests", "worker", "scheduler", "docs", "scripts", ".ci", ".config", "examples"];
    let text = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let known = ["rs", "md", "toml", "yaml", "yml", "json", "sh", "lua", "snap", "html"];
        path.extension().map_or(name == "run", |extension| known.iter().any(|known| extension == *known))
    };
    let top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let top = top
        .map(|path| path.strip_prefix(root()).unwrap().to_owned())
        .filter(|path| path != Path::new(".git"));
    let all = folders.into_iter().flat_map(|folder| files(folder, &text)).chain(top);
    let wrong: Vec<String> = all
        .filter_map(|path| Some((fs::read_to_string(root().join(&path)).ok()?, path)))
        .flat_map(|(text, path)| {
            let found = banned.iter().filter(move |word| text.contains(**word));
            found.map(move |word| format!("{} contains `{word}`", path.display())).collect::<Vec<_>>()
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
