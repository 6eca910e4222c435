//! Which webhooks a run of a job delivers to: those that its destinations name, made from the run's arguments.

use super::{Destination, Node, NodeKind, SyncJob};
use crate::definition::problem::{Problem, Problems};
use crate::expression::{Expression, World};
use crate::id::WebhookId;
use crate::json::{self, Json};
use crate::template::Roots;

/// What an expression may read that is known before a run starts; anything else may decide only later.
const LATER: [&str; 6] =
    ["resources", "payload", "sync_job_run", "context", "previous_run_date", "tenant_id"];

/// A destination that a run has, and the webhook behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivers {
    /// The destination's name.
    pub destination: String,
    /// Its index in [`SyncJob::nodes`].
    pub node: usize,
    /// The webhook.
    pub webhook: WebhookId,
}

impl SyncJob {
    /// Whether the job says itself where records go. If it doesn't, they go to the run's webhook.
    pub fn has_destinations(&self) -> bool {
        self.destinations().next().is_some()
    }

    /// The webhooks of its destinations, made from a run's complete arguments. A destination is left out whose `run_if`
    /// is not true, or which has a `run_if` and whose webhook is made from an argument that is not given. A `run_if` that
    /// reads more than arguments decides later.
    ///
    /// # Errors
    /// Each destination whose webhook can't be told, by its name.
    pub fn webhooks(&self, args: &Json, world: &World) -> Result<Vec<Delivers>, Problems> {
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        for (index, node, destination) in self.destinations() {
            match webhook(node, destination, args, world) {
                Ok(Some(webhook)) => {
                    found.push(Delivers { destination: node.name.clone(), node: index, webhook });
                }
                Ok(None) => {}
                Err((message, hint)) => {
                    let message = format!("destination {:?}: {message}", node.name);
                    problems.push(Problem::of_request("args", &message, Some(&hint)));
                }
            }
        }
        Problems::none_of(problems).map(|()| found)
    }

    fn destinations(&self) -> impl Iterator<Item = (usize, &Node, &Destination)> {
        self.nodes.iter().enumerate().filter_map(|(index, node)| match &node.kind {
            NodeKind::Destination(destination) => Some((index, node, destination)),
            NodeKind::Request(_)
            | NodeKind::Transform { .. }
            | NodeKind::AddContext { .. }
            | NodeKind::Spool { .. }
            | NodeKind::Event(_)
            | NodeKind::GetState { .. }
            | NodeKind::UpdateState { .. }
            | NodeKind::DeleteState { .. } => None,
        })
    }
}

type Told = Result<Option<WebhookId>, (String, String)>;

fn webhook(node: &Node, destination: &Destination, args: &Json, world: &World) -> Told {
    if let Some(run_if) = node.run_if.as_ref().filter(|run_if| decides_now(run_if)) {
        let input = Json::parse(&format!("{{\"args\":{args}}}")).unwrap_or_else(|_| Json::empty_object());
        match run_if.is_true(&input, world) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => {
                return Err((format!("its run_if can't be evaluated: {error}"), "mend the job".to_owned()));
            }
        }
    }
    let scope = Roots::new().with("args", args.clone());
    let id = match destination.webhook.render(&scope) {
        Ok(Some(id)) if !matches!(id.as_str(), "null" | "\"\"") => id,
        Ok(_) | Err(_) if node.run_if.is_some() => return Ok(None),
        Ok(_) | Err(_) => {
            let message = format!("no webhook is given ({})", destination.webhook);
            let missing: Vec<String> =
                destination.webhook.paths().iter().map(|path| path.join(".")).collect();
            return Err((message, format!("give {}", missing.join(" or "))));
        }
    };
    let text = id.to_text();
    let webhook =
        text.parse().map_err(|error| (format!("{text:?} is no webhook's id: {error}"), String::new()))?;
    Ok(Some(webhook))
}

/// Whether arguments are all that an expression may read.
fn decides_now(expression: &Expression) -> bool {
    !LATER.iter().any(|name| expression.source().contains(name))
}
