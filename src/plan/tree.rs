//! A plan as a person reads it.

use std::fmt;

use super::{Plan, PlanKind, PlanNode, Target};

impl fmt::Display for Plan {
    /// The plan as a tree: steps in their order, flows and deliveries below them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, steps) in
            [("", &self.roots), ("when all was read", &self.on_complete), ("when it fails", &self.on_error)]
        {
            if steps.is_empty() {
                continue;
            }
            if !title.is_empty() {
                writeln!(f, "{title}:")?;
            }
            self.steps(f, steps, 0, "")?;
        }
        Ok(())
    }
}

impl Plan {
    fn steps(&self, f: &mut fmt::Formatter<'_>, steps: &[usize], depth: usize, how: &str) -> fmt::Result {
        steps.iter().try_for_each(|step| self.node(f, *step, depth, how))
    }

    fn node(&self, f: &mut fmt::Formatter<'_>, index: usize, depth: usize, how: &str) -> fmt::Result {
        let node = &self.nodes[index];
        writeln!(f, "{:indent$}{how}{} ({})", "", node.name, described(node), indent = depth * 2)?;
        let below = depth + 1;
        for target in &node.targets {
            writeln!(f, "{:indent$}→ {}", "", self.receiver(*target), indent = below * 2)?;
        }
        for flow in &node.flows {
            match &self.nodes[*flow].kind {
                PlanKind::Spool(collects) if collects.overflows => {
                    writeln!(f, "{:indent$}→ {}, merged", "", self.receivers(*flow), indent = below * 2)?;
                }
                PlanKind::Spool(_) => {
                    writeln!(f, "{:indent$}collected by {}", "", self.nodes[*flow].name, indent = below * 2)?;
                }
                PlanKind::Transform(_)
                | PlanKind::AddContext(_)
                | PlanKind::Request(_)
                | PlanKind::GetState { .. }
                | PlanKind::UpdateState { .. }
                | PlanKind::DeleteState { .. }
                | PlanKind::Event(_)
                | PlanKind::Destination(_) => self.node(f, *flow, below, "")?,
            }
        }
        self.steps(f, &node.each_record, below, if node.has_records() { "for each record: " } else { "" })?;
        self.steps(f, &node.each_batch, below, "for each batch: ")
    }
}

impl Plan {
    fn receiver(&self, target: Target) -> &str {
        match target {
            Target::All => "the run's webhooks",
            Target::Destination(destination) => &self.nodes[destination].name,
        }
    }

    fn receivers(&self, index: usize) -> String {
        let targets = self.nodes[index].targets.iter();
        targets.map(|target| self.receiver(*target)).collect::<Vec<_>>().join(", ")
    }
}

fn described(node: &PlanNode) -> String {
    match &node.kind {
        PlanKind::Request(request) => {
            let mut text = format!("{} {}", node.method, node.resource);
            if let Some(path) = &request.loop_on {
                text.push_str(&format!(", for each of {}", path.join(".")));
            }
            if request.recurse.is_some() {
                text.push_str(", recursing");
            }
            text
        }
        PlanKind::Spool(collects) if collects.overflows => "what is left to be merged".to_owned(),
        PlanKind::Spool(_) => "spool".to_owned(),
        PlanKind::GetState { .. } => "reads a state cell".to_owned(),
        PlanKind::UpdateState { .. } => "writes a state cell".to_owned(),
        PlanKind::DeleteState { .. } => "deletes a state cell".to_owned(),
        PlanKind::Event(moment) => format!("event {}", moment.as_str()),
        PlanKind::Transform(_) => "transform".to_owned(),
        PlanKind::AddContext(_) => "adds to the context".to_owned(),
        PlanKind::Destination(_) => "destination".to_owned(),
    }
}
