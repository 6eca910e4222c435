//! What is allowed and yet probably not meant.

use super::{NodeKind, SyncJob, references};

/// A remark about a job that can be applied all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The place in the document (`resources[2].config`).
    pub path: String,
    /// What is odd.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl SyncJob {
    /// What is probably not meant, in the order of the nodes.
    pub fn advice(&self) -> Vec<Advice> {
        let mut found = Vec::new();
        let mut add = |path: String, message: String, hint: &str| {
            found.push(Advice { path, message, hint: hint.to_owned() });
        };
        let mut keyless = self.state_key.is_none();
        for (index, node) in self.nodes.iter().enumerate() {
            let place = format!("resources[{index}]");
            let is_state = matches!(
                node.kind,
                NodeKind::GetState { .. } | NodeKind::UpdateState { .. } | NodeKind::DeleteState { .. }
            );
            if is_state && std::mem::take(&mut keyless) {
                let message = "without state_key all runs of this job share their state cells".to_owned();
                add(
                    place.clone(),
                    message,
                    "state_key: \"{{args.integrated_account_id}}\" gives each account its own",
                );
            }
            if matches!(node.kind, NodeKind::UpdateState { .. }) && !self.is_below_event(index) {
                let message = format!("{:?} is written before all was read and acknowledged", node.name);
                let hint = "let it depend on an event: type: event, config: { name: complete }";
                add(place, message, hint);
            }
        }
        found
    }

    fn is_below_event(&self, index: usize) -> bool {
        let is_event = |above: &usize| matches!(self.nodes[*above].kind, NodeKind::Event(_));
        references::ancestors(&self.nodes, index).iter().any(is_event)
    }
}
