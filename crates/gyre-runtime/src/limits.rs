//! What a model may cost. A model file comes from outside; these bounds keep a hostile or broken one from taking the
//! server's memory or time, and are far above what tabular models need.

/// Bounds on a model and on one run of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest file, in bytes.
    pub file_bytes: usize,
    /// Most nodes in the graph.
    pub graph_nodes: usize,
    /// Most nodes in all trees of one ensemble.
    pub tree_nodes: usize,
    /// Most targets or classes of one ensemble or linear model.
    pub targets: usize,
    /// Most elements in one tensor, constant or computed.
    pub tensor_elements: usize,
    /// Most elements that one run may compute, all tensors together.
    pub run_elements: usize,
}

impl Limits {
    /// The bounds that the engine keeps: 512 MiB file, 10,000 graph nodes, 16 million tree nodes, 10,000
    /// classes, 64 million elements a tensor, 256 million elements a run.
    pub const DEFAULT: Limits = Limits {
        file_bytes: 512 << 20,
        graph_nodes: 10_000,
        tree_nodes: 16 << 20,
        targets: 10_000,
        tensor_elements: 64 << 20,
        run_elements: 256 << 20,
    };
}
