//! A job's plan as people see it: its nodes as a tree.

use super::{Generation, NodeKind, Request, SyncJob, references};

impl SyncJob {
    /// The nodes as a tree, a line each: below each node those that depend on it. A node with several parents stands
    /// below its first, and says which others it has.
    pub fn outline(&self) -> String {
        let generation = match self.generation {
            Generation::Flat => "flat list",
            Generation::Graph => "graph",
        };
        let reads = self.integration.as_ref().map_or("several integrations", |name| name.as_str());
        let mut lines = vec![format!("{} ({generation}, reads from {reads})", self.id.as_str())];
        let roots: Vec<usize> =
            (0..self.nodes.len()).filter(|index| self.nodes[*index].parents.is_empty()).collect();
        self.draw(&roots, "", &mut lines);
        lines.join("\n")
    }

    fn draw(&self, nodes: &[usize], indent: &str, lines: &mut Vec<String>) {
        for (position, &index) in nodes.iter().enumerate() {
            let last = position + 1 == nodes.len();
            let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            lines.push(format!("{indent}{branch}{}", self.line(index)));
            let children: Vec<usize> = (0..self.nodes.len())
                .filter(|child| self.nodes[*child].parents.first() == Some(&index))
                .collect();
            self.draw(&children, &format!("{indent}{below}"), lines);
        }
    }

    fn line(&self, index: usize) -> String {
        let node = &self.nodes[index];
        let mut line = format!("{}: {}", node.name, self.what(index));
        if let [_, others @ ..] = node.parents.as_slice()
            && !others.is_empty()
        {
            line.push_str(&format!(", also below {}", self.names(others)));
        }
        if let Some(run_if) = &node.run_if {
            line.push_str(&format!(", if {}", run_if.source().trim()));
        }
        line
    }

    fn what(&self, index: usize) -> String {
        match &self.nodes[index].kind {
            NodeKind::Request(request) => self.request(index, request),
            NodeKind::Transform { persist, .. } => format!("transform{}", self.delivered(*persist)),
            NodeKind::AddContext { .. } => "add to the context".to_owned(),
            NodeKind::Spool { persist, records_max, .. } => {
                format!("spool up to {records_max} records{}", self.delivered(*persist))
            }
            NodeKind::Destination(destination) => {
                format!("send {} to webhook {}", self.names(&destination.takes), destination.webhook)
            }
            NodeKind::Event(moment) => format!("when the run reaches {}", moment.as_str()),
            NodeKind::GetState { key, .. } => format!("read state {key}"),
            NodeKind::UpdateState { key, .. } => format!("write state {key}"),
            NodeKind::DeleteState { key } => format!("delete state {key}"),
        }
    }

    fn request(&self, index: usize, request: &Request) -> String {
        let mut text = format!("{} {}", request.method, request.resource);
        if let Some(path) = &request.loop_on {
            text.push_str(&format!(", once for each of {}", path.join(".")));
        } else if self.is_asked_for_each_record(index) {
            text.push_str(", once for each record");
        }
        if let Some(recurse) = &request.recurse {
            text.push_str(&format!(", again for its records up to {} deep", recurse.depth_max));
        }
        if request.changes.as_ref().is_some_and(|changes| changes.compare) {
            text.push_str(", changes only");
        }
        if let Some(incremental) = &request.incremental {
            text.push_str(&format!(", new by {}", incremental.cursor_field.join(".")));
        }
        text + self.delivered(request.persist)
    }

    fn delivered(&self, persist: bool) -> &'static str {
        match (self.has_destinations(), persist) {
            (true, _) => "",
            (false, true) => " → webhook",
            (false, false) => " (not delivered)",
        }
    }

    fn names(&self, indexes: &[usize]) -> String {
        indexes.iter().map(|index| self.nodes[*index].name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// In a graph only what mentions a record is asked for each.
    fn is_asked_for_each_record(&self, index: usize) -> bool {
        match self.generation {
            Generation::Flat => !self.nodes[index].parents.is_empty(),
            Generation::Graph => !references::used(self, index).is_empty(),
        }
    }
}
