//! What no graph may say, looked for before a foreign library sees it.
//!
//! onnxruntime follows a graph that says "my weights lie in this other file" to the file, for a graph that came as bytes
//! from the folder that the server runs in; so data in other files is refused, wherever in the file it is said: in the
//! graph, in the bodies of loops and branches, in functions, in sparse tensors. A graph can also ask for tensors of any
//! size with a few bytes; where such a size is written in the file it is held against the native engine's limit. Sizes that
//! only come about as the graph runs are not seen here.
//!
//! The messages below are the parts of `onnx.proto3` that this takes. Whatever else a file holds is skipped, not copied.

use std::collections::HashMap;

use bytes::Bytes;
use gyre_runtime::Limits;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "20")]
    training: Vec<Training>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<Function>,
}

#[derive(Clone, PartialEq, Message)]
struct Training {
    #[prost(message, optional, tag = "1")]
    initialization: Option<Graph>,
    #[prost(message, optional, tag = "2")]
    algorithm: Option<Graph>,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(message, repeated, tag = "7")]
    node: Vec<Node>,
    #[prost(message, repeated, tag = "11")]
    defaults: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    constants: Vec<Tensor>,
    #[prost(message, repeated, tag = "15")]
    sparse: Vec<Sparse>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    operator: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "5")]
    tensor: Option<Tensor>,
    #[prost(message, optional, tag = "6")]
    graph: Option<Graph>,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<Graph>,
    #[prost(message, optional, tag = "22")]
    sparse: Option<Sparse>,
    #[prost(message, repeated, tag = "23")]
    sparses: Vec<Sparse>,
}

#[derive(Clone, PartialEq, Message)]
struct Sparse {
    #[prost(message, optional, tag = "1")]
    values: Option<Tensor>,
    #[prost(message, optional, tag = "2")]
    indices: Option<Tensor>,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(int64, repeated, tag = "7")]
    int64s: Vec<i64>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "bytes", tag = "9")]
    raw: Bytes,
    #[prost(message, repeated, tag = "13")]
    external: Vec<Entry>,
    #[prost(int32, tag = "14")]
    location: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// Most numbers of a constant that is read as a shape.
const SHAPE: usize = 64;

/// What was found out about a graph.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Whether how long it runs depends on its inputs' values: it has loops.
    pub(crate) loops: bool,
}

/// Looks through a file.
///
/// # Errors
/// What the file must not say, with its place.
pub(crate) fn check(file: &Bytes) -> Result<Seen, String> {
    let model = Model::decode(file.clone()).map_err(|error| format!("it cannot be read: {error}"))?;
    let mut seen = Seen { loops: false };
    let mut nodes = 0;
    let trained = model.training.iter().flat_map(|t| t.initialization.iter().chain(&t.algorithm));
    for graph in model.graph.iter().chain(trained) {
        graph.check(&mut seen, &mut nodes)?;
    }
    for function in &model.functions {
        let own = constants(&[], &function.node);
        for node in &function.node {
            node.check(&own, &mut seen, &mut nodes)?;
        }
        function.defaults.iter().try_for_each(|default| default.check(&mut seen, &mut nodes))?;
    }
    Ok(seen)
}

impl Graph {
    fn check(&self, seen: &mut Seen, nodes: &mut usize) -> Result<(), String> {
        self.constants.iter().try_for_each(Tensor::check)?;
        self.sparse.iter().try_for_each(Sparse::check)?;
        let constants = constants(&self.constants, &self.node);
        self.node.iter().try_for_each(|node| node.check(&constants, seen, nodes))
    }
}

/// Whole numbers that are written in a graph, by the name of their tensor.
fn constants<'a>(tensors: &'a [Tensor], nodes: &'a [Node]) -> HashMap<&'a str, Vec<i64>> {
    let mut found: HashMap<&str, Vec<i64>> = HashMap::new();
    for tensor in tensors {
        found.extend(tensor.numbers().map(|numbers| (tensor.name.as_str(), numbers)));
    }
    for node in nodes.iter().filter(|node| node.operator == "Constant") {
        let numbers = node.attribute.iter().find_map(|attribute| match attribute.name.as_str() {
            "value" => attribute.tensor.as_ref()?.numbers(),
            "value_ints" if attribute.ints.len() <= SHAPE => Some(attribute.ints.clone()),
            _ => None,
        });
        if let (Some(numbers), Some(name)) = (numbers, node.output.first()) {
            found.insert(name, numbers);
        }
    }
    found
}

impl Node {
    fn check(
        &self,
        constants: &HashMap<&str, Vec<i64>>,
        seen: &mut Seen,
        nodes: &mut usize,
    ) -> Result<(), String> {
        *nodes += 1;
        let most = Limits::DEFAULT.graph_nodes;
        if *nodes > most {
            return Err(format!("it has more than {most} nodes"));
        }
        seen.loops |= matches!(self.operator.as_str(), "Loop" | "Scan" | "SequenceMap");
        let limit = Limits::DEFAULT.tensor_elements;
        if let Some(asked) = self.makes(constants).filter(|asked| *asked > limit as u128) {
            let Node { name, operator, .. } = self;
            return Err(format!(
                "node {name} ({operator}) makes a tensor of {asked} elements, the limit is {limit}"
            ));
        }
        self.attribute.iter().try_for_each(|attribute| attribute.check(seen, nodes))
    }

    /// Elements that the node makes at least, where the file says so.
    fn makes(&self, constants: &HashMap<&str, Vec<i64>>) -> Option<u128> {
        let input = |at: usize| constants.get(self.input.get(at)?.as_str());
        let attribute = |name: &str| self.attribute.iter().find(|a| a.name == name).map(|a| &a.ints);
        let number = |at: usize| Some(i128::from(*input(at)?.first()?));
        match self.operator.as_str() {
            "ConstantOfShape" => Some(product(input(0)?)),
            "Expand" | "Tile" | "Reshape" => Some(product(input(1)?)),
            "RandomNormal" | "RandomUniform" => Some(product(attribute("shape")?)),
            "OneHot" => Some(number(1)?.unsigned_abs()),
            "Range" => {
                let (from, to, by) = (number(0)?, number(1)?, number(2)?);
                Some((to - from).checked_div(by)?.max(0).unsigned_abs())
            }
            "Resize" => Some(product(input(3)?)),
            "Pad" => input(1)?.iter().map(|pad| u128::from(pad.unsigned_abs())).max(),
            _ => None,
        }
    }
}

/// Dimensions of less than one say something else than a size.
fn product(dims: &[i64]) -> u128 {
    dims.iter().fold(1u128, |n, dim| n.saturating_mul(u128::try_from((*dim).max(1)).unwrap_or(1)))
}

impl Attribute {
    fn check(&self, seen: &mut Seen, nodes: &mut usize) -> Result<(), String> {
        self.tensor.iter().chain(&self.tensors).try_for_each(Tensor::check)?;
        self.sparse.iter().chain(&self.sparses).try_for_each(Sparse::check)?;
        self.graph.iter().chain(&self.graphs).try_for_each(|graph| graph.check(seen, nodes))
    }
}

impl Sparse {
    fn check(&self) -> Result<(), String> {
        self.values.iter().chain(&self.indices).try_for_each(Tensor::check)
    }
}

impl Tensor {
    fn check(&self) -> Result<(), String> {
        if self.location == 0 && self.external.is_empty() {
            return Ok(());
        }
        let file = self.external.iter().find(|entry| entry.key == "location");
        let file = file.map_or(String::new(), |entry| format!(" ({:?})", entry.value));
        Err(format!(
            "the data of tensor {:?} lies in another file{file}; save the model as one file \
             (`onnx.save_model(model, path, save_as_external_data=False)`)",
            self.name
        ))
    }

    /// Its numbers, when it is a shape or the like: few whole numbers.
    fn numbers(&self) -> Option<Vec<i64>> {
        const INT64: i32 = 7;
        if self.data_type != INT64 {
            return None;
        }
        if !self.int64s.is_empty() {
            return (self.int64s.len() <= SHAPE).then(|| self.int64s.clone());
        }
        let (words, rest) = self.raw.as_chunks::<8>();
        (rest.is_empty() && words.len() <= SHAPE)
            .then(|| words.iter().map(|word| i64::from_le_bytes(*word)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(graph: Graph) -> Bytes {
        Model { graph: Some(graph), ..Model::default() }.encode_to_vec().into()
    }

    fn node(operator: &str, input: &[&str], attribute: Vec<Attribute>) -> Node {
        let input = input.iter().map(ToString::to_string).collect();
        Node { operator: operator.into(), name: "n".into(), input, attribute, ..Node::default() }
    }

    fn body(graph: Graph) -> Vec<Attribute> {
        vec![Attribute { name: "body".into(), graph: Some(graph), ..Attribute::default() }]
    }

    fn ints(name: &str, numbers: &[i64]) -> Tensor {
        let raw = numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>().into();
        Tensor { name: name.into(), data_type: 7, dims: vec![numbers.len() as i64], raw, ..Tensor::default() }
    }

    #[test]
    fn data_in_other_files_is_refused_wherever_it_hides() {
        let entry = Entry { key: "location".into(), value: "/etc/passwd".into() };
        let external = Tensor { name: "w".into(), external: vec![entry], location: 1, ..Tensor::default() };
        let sparse = Sparse { values: None, indices: Some(external.clone()) };
        let attribute = |set: fn(&mut Attribute, Tensor)| {
            let mut attribute = Attribute::default();
            set(&mut attribute, external.clone());
            vec![attribute]
        };
        let constant = Graph { constants: vec![external.clone()], ..Graph::default() };
        let inner = Graph { node: vec![node("If", &[], body(constant.clone()))], ..Graph::default() };
        let graphs = [
            constant.clone(),
            Graph { sparse: vec![sparse], ..Graph::default() },
            Graph { node: vec![node("Loop", &[], body(inner))], ..Graph::default() },
            Graph { node: vec![node("C", &[], attribute(|a, t| a.tensor = Some(t)))], ..Graph::default() },
            Graph { node: vec![node("C", &[], attribute(|a, t| a.tensors = vec![t]))], ..Graph::default() },
        ];
        for graph in graphs {
            let problem = check(&file(graph)).unwrap_err();
            assert!(problem.contains("another file (\"/etc/passwd\")"), "{problem}");
        }
        let function = Function { node: vec![node("C", &[], body(constant.clone()))], ..Function::default() };
        let training = Training { algorithm: Some(constant), ..Training::default() };
        for model in [
            Model { functions: vec![function], ..Model::default() },
            Model { training: vec![training], ..Model::default() },
        ] {
            assert!(check(&model.encode_to_vec().into()).is_err());
        }
    }

    #[test]
    fn tensors_beyond_the_limit_are_refused_where_the_file_says_their_size() {
        let large = [1 << 20, 1 << 20];
        for (operator, inputs) in [
            ("ConstantOfShape", &["shape"][..]),
            ("Expand", &["x", "shape"]),
            ("Tile", &["x", "shape"]),
            ("Resize", &["x", "", "", "shape"]),
            ("Range", &["zero", "end", "one"]),
            ("OneHot", &["x", "end", "x"]),
            ("Pad", &["x", "end"]),
        ] {
            let constants =
                vec![ints("shape", &large), ints("zero", &[0]), ints("end", &[1 << 40]), ints("one", &[1])];
            let graph = Graph { constants, node: vec![node(operator, inputs, vec![])], ..Graph::default() };
            let problem = check(&file(graph)).unwrap_err();
            assert!(problem.contains(operator) && problem.contains("1099511627776"), "{problem}");
        }
        let shape = Attribute { name: "shape".into(), ints: large.to_vec(), ..Attribute::default() };
        let random = Graph { node: vec![node("RandomNormal", &[], vec![shape])], ..Graph::default() };
        assert!(check(&file(random)).is_err());
        let made = Attribute { name: "value".into(), tensor: Some(ints("", &large)), ..Attribute::default() };
        let made = Node { output: vec!["c".into()], ..node("Constant", &[], vec![made]) };
        let inside = Graph { node: vec![made, node("ConstantOfShape", &["c"], vec![])], ..Graph::default() };
        assert!(
            check(&file(Graph { node: vec![node("Loop", &[], body(inside))], ..Graph::default() })).is_err()
        );
    }

    #[test]
    fn what_is_usual_passes_and_loops_are_seen() {
        let constants = vec![ints("shape", &[-1, 64, 7, 7]), ints("pads", &[0, 0, 1, 1])];
        let nodes = vec![node("Reshape", &["x", "shape"], vec![]), node("Pad", &["x", "pads"], vec![])];
        let plain = Graph { constants, node: nodes, ..Graph::default() };
        assert_eq!(check(&file(plain.clone())), Ok(Seen { loops: false }));
        let looped = Graph {
            node: vec![node(
                "If",
                &[],
                body(Graph { node: vec![node("Loop", &[], body(plain))], ..Graph::default() }),
            )],
            ..Graph::default()
        };
        assert_eq!(check(&file(looped)), Ok(Seen { loops: true }));
        assert!(check(&Bytes::from_static(b"\x3a\xff")).unwrap_err().contains("cannot be read"));
    }
}
