//! Tokens and cost of a whole trace, from those of its spans.
//!
//! Some libraries write on a parent the sum of what its children used. So a span counts only when none of its ancestors
//! has numbers of its own.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Number, Value};

/// A span, as far as it matters here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) span_id: String,
    pub(crate) parent_id: Option<String>,
    /// Its numbers, when it has any.
    pub(crate) numbers: Option<Map<String, Value>>,
}

/// The keys of tokens: those that always are in a sum, and those that are when a span has them.
pub(crate) const TOKENS: (&[&str], &[&str]) = (
    &["input_tokens", "output_tokens", "total_tokens"],
    &["cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation_input_tokens_above_1hr"],
);
/// The keys of cost, in USD.
pub(crate) const COST: (&[&str], &[&str]) = (&["input_cost", "output_cost", "total_cost"], &[]);

/// The sum over the spans that count; nothing when none has numbers.
pub(crate) fn total(nodes: &[Node], (always, sometimes): (&[&str], &[&str])) -> Option<Map<String, Value>> {
    let ids: HashSet<&str> = nodes.iter().map(|node| node.span_id.as_str()).collect();
    let mut children: HashMap<&str, Vec<&Node>> = HashMap::new();
    let mut waiting: Vec<&Node> = Vec::new();
    for node in nodes {
        match node.parent_id.as_deref().filter(|parent| ids.contains(parent)) {
            Some(parent) => children.entry(parent).or_default().push(node),
            None => waiting.push(node),
        }
    }
    let mut sums: BTreeMap<&str, f64> = always.iter().map(|key| (*key, 0.0)).collect();
    let mut found = false;
    // A span that has numbers speaks for all below it; a span is reached once, for it has one parent.
    while let Some(node) = waiting.pop() {
        let Some(numbers) = &node.numbers else {
            waiting.extend(children.remove(node.span_id.as_str()).unwrap_or_default());
            continue;
        };
        found = true;
        for key in always.iter().chain(sometimes) {
            if let Some(number) =
                numbers.get(*key).and_then(Value::as_f64).filter(|number| number.is_finite())
            {
                *sums.entry(key).or_default() += number;
            }
        }
    }
    found.then(|| {
        let keys = always.iter().chain(sometimes);
        keys.filter_map(|key| Some(((*key).to_owned(), number(*sums.get(key)?)))).collect()
    })
}

/// A whole number where it is one and may be: tokens are counted, money is not.
fn number(sum: f64) -> Value {
    if sum.fract() == 0.0 && sum.abs() < 9.0e15 {
        return (sum as i64).into();
    }
    Number::from_f64(sum).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(id: &str, parent: Option<&str>, input: Option<i64>) -> Node {
        let numbers = input.map(|n| {
            let numbers = json!({"input_tokens": n, "output_tokens": 1, "total_tokens": n + 1});
            numbers.as_object().cloned().unwrap()
        });
        Node { span_id: id.to_owned(), parent_id: parent.map(str::to_owned), numbers }
    }

    #[test]
    fn a_parent_with_numbers_speaks_for_its_children() {
        let nodes = [
            node("root", None, None),
            node("agent", Some("root"), Some(30)),
            node("call", Some("agent"), Some(10)),
            node("other", Some("root"), Some(5)),
            node("orphan", Some("elsewhere"), Some(1)),
        ];
        let sum = total(&nodes, TOKENS).unwrap();
        assert_eq!(Value::Object(sum), json!({"input_tokens": 36, "output_tokens": 3, "total_tokens": 39}));
        assert_eq!(total(&nodes[..1], TOKENS), None);
    }

    #[test]
    fn spans_that_are_their_own_ancestors_end_nothing() {
        let nodes =
            [node("a", Some("b"), Some(1)), node("b", Some("a"), None), node("c", Some("c"), Some(1))];
        assert_eq!(total(&nodes, TOKENS), None);
    }
}
