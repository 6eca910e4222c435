//! The example's definitions, with this demo's addresses and secrets filled in. They are the files that the README
//! walks through, built in, so that the demo works from any folder.

use anyhow::Context;
use rapidbridge::playground::{Helpdesk, Receiver, receiver};
use serde_json::Value;

const FILES: [(&str, &str); 5] = [
    ("integration.yaml", include_str!("../../../../examples/helpdesk/integration.yaml")),
    ("account.yaml", include_str!("../../../../examples/helpdesk/account.yaml")),
    ("webhook.yaml", include_str!("../../../../examples/helpdesk/webhook.yaml")),
    ("sync-job.yaml", include_str!("../../../../examples/helpdesk/sync-job.yaml")),
    ("trigger.yaml", include_str!("../../../../examples/helpdesk/trigger.yaml")),
];

/// How often the demo's trigger is due.
pub(super) const EVERY: &str = "2s";

/// All documents, for `helpdesk` and `receiver`.
pub(super) fn read(helpdesk: &Helpdesk, receiver: &Receiver) -> anyhow::Result<Vec<Value>> {
    let values = [
        ("${HELPDESK_URL}", helpdesk.url()),
        ("${HELPDESK_TOKEN}", helpdesk.settings().token.clone()),
        ("${WEBHOOK_URL}", receiver.url()),
        ("${WEBHOOK_SECRET}", receiver::Settings::default().secret),
    ];
    let document = |(file, text): &(&str, &str)| {
        let filled = values.iter().fold((*text).to_owned(), |text, (name, value)| text.replace(name, value));
        serde_saphyr::from_str(&filled).with_context(|| format!("examples/helpdesk/{file}"))
    };
    let mut documents: Vec<Value> = FILES.iter().map(document).collect::<anyhow::Result<_>>()?;
    // Nobody wants to wait a minute for the first slot.
    trigger_of(&mut documents)["every"] = EVERY.into();
    Ok(documents)
}

/// The same with the trigger switched off.
pub(super) fn without_trigger(mut documents: Vec<Value>) -> Vec<Value> {
    trigger_of(&mut documents)["enabled"] = Value::Bool(false);
    documents
}

/// The last of [`FILES`].
fn trigger_of(documents: &mut [Value]) -> &mut Value {
    let last = documents.len() - 1;
    &mut documents[last]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_example_files_are_filled_in_completely() {
        let helpdesk = Helpdesk::start(rapidbridge::playground::helpdesk::Settings::default()).await.unwrap();
        let receiver = Receiver::start(receiver::Settings::default()).await.unwrap();
        let documents = read(&helpdesk, &receiver).unwrap();
        let kinds: Vec<_> = documents.iter().map(|document| document["kind"].as_str().unwrap()).collect();
        assert_eq!(
            kinds,
            ["integration", "integrated_account", "webhook", "sync_job", "sync_job_cron_trigger"]
        );
        assert_eq!(documents[4]["every"], EVERY);
        assert_eq!(documents[1]["context"]["base_url"], helpdesk.url());
        assert!(documents.iter().all(|document| !document.to_string().contains("${")));
        assert_eq!(without_trigger(documents)[4]["enabled"], false);
    }
}
