//! The answer: a tree of what led to what, for people and for programs.

use std::fmt;

use gyre_core::Timestamp;
use serde::{Deserialize, Serialize};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// An answer that was given.
    Prediction,
    /// A closed segment of the inference log.
    Segment,
    /// A model version.
    ModelVersion,
    /// A run.
    Run,
    /// A commit.
    Code,
    /// A data version.
    Data,
    /// A decision of the controller or of a person.
    Decision,
    /// A step of a rollout, a promotion, traffic moved.
    Rollout,
    /// A closed monitoring window.
    Window,
    /// The judgement of the gates.
    Gates,
    /// Any other fact.
    Fact,
}

/// One thing in the lineage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// How to ask about it: see [`Ref`](crate::lineage::Ref); a commit is named by itself.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The journal entry that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<u64>,
    /// When, in event time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// In words.
    pub text: String,
}

/// A node with what it is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// How it is connected to the node above: "trained on".
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub relation: String,
    /// The node.
    #[serde(flatten)]
    pub node: Node,
    /// What it is connected to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Self>,
}

impl Tree {
    pub(super) fn new(node: Node) -> Self {
        Self { relation: String::new(), node, children: Vec::new() }
    }

    /// The same, connected as `relation` says.
    pub(super) fn related(mut self, relation: &str) -> Self {
        relation.clone_into(&mut self.relation);
        self
    }

    /// The tree and all below it, from the top.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        let mut waiting = vec![self];
        std::iter::from_fn(move || {
            let tree = waiting.pop()?;
            waiting.extend(tree.children.iter().rev());
            Some(&tree.node)
        })
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let indent = "  ".repeat(depth);
        let relation = if self.relation.is_empty() { String::new() } else { format!("{}: ", self.relation) };
        write!(f, "{indent}{relation}{}", self.node.text)?;
        if let Some(at) = self.node.at {
            write!(f, ", {at}")?;
        }
        match self.node.entry {
            Some(entry) => writeln!(f, "  [entry {entry}]")?,
            None => writeln!(f)?,
        }
        self.children.iter().try_for_each(|child| child.write(f, depth + 1))
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}
