//! Which webhooks a run of a job delivers to: those that its destinations name, made from the run's arguments.

use super::{Destination, Node, NodeKind, SyncJob};
use crate::clock::Millis;
use crate::definition::problem::{Problem, Problems};
use crate::expression::{Expression, World};
use crate::id::{AccountId, WebhookId};
use crate::json::Json;
use crate::template::{Roots, Template};

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

/// What a run is made with, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Its arguments.
    pub args: Json,
    /// Every webhook it delivers to, those that were asked for first.
    pub webhooks: Vec<WebhookId>,
    /// Which of them the job's destinations name.
    pub destinations: Vec<Delivers>,
}

impl SyncJob {
    /// Completes what is asked of a run that is created `now`, and checks it: its arguments, one by one and together,
    /// and its webhooks.
    ///
    /// # Errors
    /// Everything that is wrong with them, by the names that a request has for them (`args.start`, `webhook_id`).
    pub fn prepare(
        &self,
        args: &Json,
        account: &AccountId,
        webhooks: &[WebhookId],
        now: Millis,
    ) -> Result<Prepared, Problems> {
        let args = self.arguments_for(args, account, webhooks.first())?;
        self.validate_arguments(&args, now)?;
        let destinations = self.webhooks(&args, now)?;
        let mut all = webhooks.to_vec();
        for delivers in &destinations {
            if !all.contains(&delivers.webhook) {
                all.push(delivers.webhook.clone());
            }
        }
        if all.is_empty() {
            let hint = match self.has_destinations() {
                true => {
                    "none of the job's destinations takes part in this run: give what their run_if asks for"
                }
                false => "the id of the webhook to deliver to",
            };
            return Err(Problems::one(Problem::of_request("webhook_id", "is missing", Some(hint))));
        }
        Ok(Prepared { args, webhooks: all, destinations })
    }

    /// Whether the job says itself where records go. If it doesn't, they go to the run's webhook.
    pub fn has_destinations(&self) -> bool {
        self.destinations().next().is_some()
    }

    /// The webhooks of its destinations, made from a run's complete arguments. A destination is left out whose `run_if`
    /// is not true, or which has a `run_if` and whose webhook is made from an argument that is not given. A `run_if` that
    /// reads more than arguments decides later. `now` is the time at which the run was created, whoever asks and
    /// whenever, so that all get the same.
    ///
    /// # Errors
    /// Each destination whose webhook can't be told, by its name.
    pub fn webhooks(&self, args: &Json, now: Millis) -> Result<Vec<Delivers>, Problems> {
        let world = World { now, seed: 0 };
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        for (index, node, destination) in self.destinations() {
            let condition = node.run_if.as_ref().filter(|run_if| self.decides_now(run_if));
            match webhook(node, destination, condition, args, &world) {
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

    /// Whether all that an expression reads is known before a run starts: arguments, but for those that a request loops
    /// on, which are seen one by one then.
    fn decides_now(&self, expression: &Expression) -> bool {
        let loops = || self.nodes.iter().filter_map(|node| node.request()?.loop_on.as_ref());
        let is_known = |path: &Vec<String>| match path.as_slice() {
            [root] => root == "args" && loops().next().is_none(),
            [root, name, ..] => root == "args" && !loops().any(|looped| looped.contains(name)),
            [] => false,
        };
        let reads = expression.reads();
        !reads.everything && reads.paths.iter().all(is_known)
    }

    /// The webhooks that its destinations name as they stand, without placeholders.
    pub fn fixed_webhooks(&self) -> impl Iterator<Item = &str> {
        self.destinations().map(|(_, _, it)| &it.webhook).filter(|id| id.is_literal()).map(Template::source)
    }

    pub(in crate::definition) fn destinations(&self) -> impl Iterator<Item = (usize, &Node, &Destination)> {
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

fn webhook(
    node: &Node,
    destination: &Destination,
    condition: Option<&Expression>,
    args: &Json,
    world: &World,
) -> Told {
    if let Some(run_if) = condition {
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
    let webhook: Result<WebhookId, _> = text.parse();
    let webhook = webhook.map_err(|error| (error.to_string(), "give the id of a webhook".to_owned()))?;
    Ok(Some(webhook))
}
