//! What a page costs Redis: one script call, which is one round trip. Redis itself tells each command it gets.

use std::collections::BTreeMap;
use std::path::Path;

use futures::StreamExt;
use rapidbridge::playground::helpdesk::{self, Resource};

use crate::support::{Expected, PATIENCE, Setup, definitions, judge};

/// What processes do from time to time, whether pages flow or not.
const PERIODIC: [&str; 8] =
    ["tend", "renew", "XREADGROUP", "XAUTOCLAIM", "TIME", "GET", "ZRANGEBYSCORE", "XGROUP"];
/// 5,000 tickets, 20 a page.
const PAGES: usize = 250;

/// The scripts by their hash.
fn scripts() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/lua");
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let prelude = text("prelude.lua");
    let files =
        std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let hash = |flags: &str, file: &str| {
        redis::Script::new(&format!("#!lua flags={flags}\n{prelude}\n{}", text(file))).get_hash().to_owned()
    };
    let name = |file: &str| file.trim_end_matches(".lua").to_owned();
    files
        .flat_map(|file| ["", "allow-oom", "no-writes"].map(|flags| (hash(flags, &file), name(&file))))
        .collect()
}

/// The command of a line of MONITOR, or the script it calls; `None` for what a script does inside of Redis.
fn command(line: &str, scripts: &BTreeMap<String, String>) -> Option<String> {
    let (head, words) = line.split_once("] \"")?;
    if head.ends_with("lua") {
        return None;
    }
    let mut words = words.split("\" \"").map(|word| word.trim_end_matches('"'));
    let name = words.next()?.to_uppercase();
    let script = words.next().filter(|_| name == "EVALSHA").map(|hash| scripts.get(hash).cloned());
    Some(script.map_or(name, |script| script.unwrap_or_else(|| "an unknown script".to_owned())))
}

#[tokio::test]
async fn a_page_costs_one_round_trip() {
    let helpdesk = helpdesk::Settings { tickets: 20 * PAGES as u64, ..helpdesk::Settings::default() };
    let cluster = Setup { helpdesk, ..Setup::default() }.start().await;
    let few = serde_json::json!([{ "resource": "users" }]);
    cluster
        .apply(vec![definitions::job("tickets", definitions::tickets()), definitions::job("few", few)])
        .await;
    // A first run brings the scripts into Redis.
    let first = cluster.api.push("few", "acme", "backend").await;
    assert_eq!(cluster.api.ended(&first).await.status, "completed");
    let client = redis::Client::open(cluster.redis.url()).unwrap();
    let mut lines = client.get_async_monitor().await.unwrap().into_on_message::<String>();
    let watcher = tokio::spawn(async move {
        let (scripts, mut seen) = (scripts(), Vec::new());
        while let Some(line) = lines.next().await {
            let Some(command) = command(&line, &scripts) else { continue };
            let is_last = command == "finish";
            seen.push(command);
            if is_last {
                break;
            }
        }
        seen
    });
    let run = cluster.api.push("tickets", "acme", "backend").await;
    let seen = tokio::time::timeout(PATIENCE, watcher).await.unwrap().unwrap();
    assert_eq!(cluster.api.ended(&run).await.status, "completed");
    judge(&cluster.helpdesk, &cluster.receiver, &run, &[Resource::Tickets], Expected::default());
    assert_eq!(cluster.receiver.read(|ledger| ledger.run(&run).acked_seqs.len()), PAGES);

    let count = |name: &str| seen.iter().filter(|command| *command == name).count();
    // `started` is staged and acknowledged: two saves beside the pages'. `completed` is staged with the last page's.
    assert_eq!(count("save"), PAGES + 2, "saves");
    assert_eq!(["claim", "enqueue", "finish"].map(count), [1, 1, 1]);
    let between = |command: &&String| !PERIODIC.contains(&command.as_str()) && *command != "save";
    let from = seen.iter().position(|command| command == "save").unwrap();
    let others: Vec<&String> = seen[from..].iter().filter(between).collect();
    // Accounts and webhooks are read anew every two seconds, however many pages flow.
    assert!(others.len() <= PAGES / 10, "{} commands beside the saves: {others:?}", others.len());
}
