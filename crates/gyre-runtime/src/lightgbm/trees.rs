//! The blocks of trees.

use std::iter::{Enumerate, Peekable};
use std::str::{FromStr, Lines};

use crate::error::{Problem, Unread};
use crate::forest::{Comparison, Missing, RawNode, RawTree, Test, Words};
use crate::limits::Limits;

/// What a block says; lists have an entry a split or a leaf.
#[derive(Debug, Default)]
struct Block<'a> {
    leaves: usize,
    lists: Vec<(&'a str, &'a str)>,
}

/// Most lines of a block; LightGBM writes about twenty.
const MOST_KEYS: usize = 64;
/// Bits of `decision_type`.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;

/// Reads all blocks, up to the line that ends them.
pub(super) fn read(
    lines: &mut Peekable<Enumerate<Lines<'_>>>,
    targets: usize,
    features: usize,
) -> Result<Vec<RawTree>, Unread> {
    let mut trees = Vec::new();
    let mut nodes = 0usize;
    loop {
        let Some((at, line)) = lines.next() else {
            return Err(Unread::broken("file", "ends before `end of trees`; it is truncated"));
        };
        if line == "end of trees" {
            return Ok(trees);
        }
        if !line.starts_with("Tree=") {
            if line.trim().is_empty() {
                continue;
            }
            return Err(Unread::broken(format!("line {}", at + 1), "expected a tree, or the end of trees"));
        }
        let broken = |problem| Unread::broken(format!("{line} (line {})", at + 1), problem);
        let mut block = Block::default();
        while let Some((_, line)) =
            lines.next_if(|(_, line)| !line.starts_with("Tree=") && *line != "end of trees")
        {
            let Some((key, value)) = line.split_once('=') else { continue };
            match key {
                "num_leaves" => {
                    block.leaves = value.parse().map_err(|_| broken(format!("{value:?} leaves")))?
                }
                "is_linear" if value != "0" => {
                    return Err(Unread::unsupported(
                        "a tree with linear models in its leaves (linear_tree)",
                        "train with linear_tree=false, or serve it as a process",
                    ));
                }
                _ if block.lists.len() == MOST_KEYS => return Err(broken("has too many lines".into())),
                _ => block.lists.push((key, value)),
            }
        }
        nodes = nodes.saturating_add(block.leaves.saturating_mul(2));
        if nodes > Limits::DEFAULT.tree_nodes {
            return Err(Unread::TooLarge {
                what: "tree nodes",
                found: nodes,
                limit: Limits::DEFAULT.tree_nodes,
            });
        }
        // The trees of a round come one a target.
        let target = (trees.len() % targets) as u32;
        trees.push(block.tree(target, features).map_err(broken)?);
    }
}

impl Block<'_> {
    /// The numbers of a list, `count` of them.
    fn list<T: FromStr>(&self, key: &str, count: usize) -> Result<Vec<T>, Problem> {
        let text = self.lists.iter().find(|(k, _)| *k == key).map_or("", |(_, v)| *v);
        let numbers = text
            .split_ascii_whitespace()
            .map(|word| word.parse().map_err(|_| format!("{key} has {word:?}")))
            .collect::<Result<Vec<T>, _>>()?;
        if numbers.len() == count {
            Ok(numbers)
        } else {
            Err(format!("{key} has {} entries, expected {count}", numbers.len()))
        }
    }

    fn has(&self, key: &str) -> bool {
        self.lists.iter().any(|(k, v)| *k == key && !v.is_empty())
    }

    fn tree(&self, target: u32, features: usize) -> Result<RawTree, Problem> {
        let leaf = |value: &f64| RawNode::Leaf { weights: vec![(target, *value)] };
        let values: Vec<f64> = self.list("leaf_value", self.leaves)?;
        let splits = match self.leaves {
            0 => return Err("has no leaves".into()),
            leaves => leaves - 1,
        };
        if splits == 0 {
            return Ok(RawTree { nodes: values.iter().map(leaf).collect(), root: 0, cover: vec![1.0] });
        }
        let split_feature: Vec<u32> = self.list("split_feature", splits)?;
        let threshold: Vec<f64> = self.list("threshold", splits)?;
        let decision: Vec<u8> = self.list("decision_type", splits)?;
        let left: Vec<i64> = self.list("left_child", splits)?;
        let right: Vec<i64> = self.list("right_child", splits)?;
        let sets = self.sets(decision.iter().filter(|d| *d & CATEGORICAL != 0).count())?;
        // Splits first, then leaves, which are told by the complement of their number.
        let child =
            |child: i64| usize::try_from(child).unwrap_or_else(|_| splits.saturating_add(!child as usize));
        let mut nodes = Vec::with_capacity(splits + self.leaves);
        for i in 0..splits {
            let feature = split_feature[i];
            if feature as usize >= features {
                return Err(format!("split {i} looks at feature {feature}, there are {features}"));
            }
            let default_left = decision[i] & DEFAULT_LEFT != 0;
            let (test, missing) = if decision[i] & CATEGORICAL != 0 {
                let set =
                    sets.get(threshold[i] as usize).ok_or_else(|| format!("split {i} has no categories"))?;
                (Test::Member { set: set.clone(), known: None, stranger: false }, Missing::No)
            } else {
                let missing = match (decision[i] >> 2 & 3, default_left) {
                    (0, _) => Missing::IsZero,
                    (1, true) => Missing::ZeroYes,
                    (1, false) => Missing::ZeroNo,
                    (2, true) => Missing::Yes,
                    (2, false) => Missing::No,
                    _ => return Err(format!("split {i} has decision_type {}", decision[i])),
                };
                (Test::Compare(Comparison::LessOrEqual, threshold[i]), missing)
            };
            nodes.push(RawNode::Split { feature, test, missing, yes: child(left[i]), no: child(right[i]) });
        }
        nodes.extend(values.iter().map(leaf));
        let mut cover = Vec::new();
        if self.has("internal_count") && self.has("leaf_count") {
            cover = self.list("internal_count", splits)?;
            cover.extend(self.list::<f64>("leaf_count", self.leaves)?);
        }
        Ok(RawTree { nodes, root: 0, cover })
    }

    /// The sets of categories, of which a categorical split's threshold is the number.
    fn sets(&self, splits: usize) -> Result<Vec<Words>, Problem> {
        if splits == 0 {
            return Ok(Vec::new());
        }
        let text = self.lists.iter().find(|(k, _)| *k == "cat_boundaries").map_or("", |(_, v)| *v);
        let count = text.split_ascii_whitespace().count();
        let bounds: Vec<usize> = self.list("cat_boundaries", count)?;
        let words: Vec<u32> = self.list("cat_threshold", bounds.last().copied().unwrap_or(0))?;
        bounds
            .windows(2)
            .map(|pair| {
                words
                    .get(pair[0]..pair[1])
                    .map(Words::from)
                    .ok_or_else(|| "cat_boundaries do not ascend".into())
            })
            .collect()
    }
}
