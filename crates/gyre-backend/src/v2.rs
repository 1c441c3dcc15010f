//! The Open Inference Protocol, version 2: which tensors a model takes, and requests and answers in JSON.
//!
//! A server's metadata says which inputs its model has; what they are called decides how a table's columns go in: each as a
//! tensor of its own, or all as one matrix. Servers that say nothing get columns of shape `[rows, 1]`.

mod binary;
mod whole;

use std::fmt::Write as _;

use gyre_core::record::{Field, Kind};
use gyre_runtime::{Column, Name, Table};
use gyre_wire::{Datatype, Elements, HEADER_LENGTH};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::cells::{self, Flat, Tensor};
use crate::error::{AnswerError, BackendError};
use crate::wire::{Outgoing, number};

/// The extension whose name in a server's metadata says that it takes and gives binary tensors.
const BINARY: &str = "binary_tensor_data";

/// How to ask one model at one server.
#[derive(Debug)]
pub(crate) struct V2 {
    path: String,
    layout: Layout,
    binary: bool,
}

/// How columns become tensors.
#[derive(Debug, PartialEq)]
enum Layout {
    /// Each column is a tensor, in the order of the signature.
    Columns(Vec<Port>),
    /// All columns are one matrix.
    Matrix(Port),
}

#[derive(Debug, PartialEq)]
struct Port {
    name: String,
    datatype: Datatype,
    /// 1: `[rows]`; 2: `[rows, columns]`.
    rank: usize,
}

/// `GET /v2`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ServerMetadata {
    #[serde(default)]
    extensions: Vec<String>,
}

/// `GET /v2/models/NAME`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ModelMetadata {
    #[serde(default)]
    inputs: Vec<TensorMetadata>,
}

#[derive(Debug, Deserialize)]
struct TensorMetadata {
    name: String,
    datatype: String,
    #[serde(default)]
    shape: Vec<i64>,
}

/// The path of a model: `/v2/models/NAME` with its version.
pub(crate) fn model_path(model: &str, version: Option<&str>) -> String {
    let mut path = format!("/v2/models/{}", utf8_percent_encode(model, NON_ALPHANUMERIC));
    if let Some(version) = version {
        let _ = write!(path, "/versions/{}", utf8_percent_encode(version, NON_ALPHANUMERIC));
    }
    path
}

impl V2 {
    /// How a model at `path` takes these features, after what its server tells. `matrix` names the one input that takes
    /// them all, where that is known from elsewhere.
    pub(crate) fn new(
        path: &str,
        matrix: Option<&str>,
        features: &[Field],
        server: &ServerMetadata,
        model: &ModelMetadata,
    ) -> Result<Self, BackendError> {
        let binary = server.extensions.iter().any(|extension| extension == BINARY);
        let layout = layout(matrix, features, &model.inputs).map_err(BackendError::Spec)?;
        Ok(Self { path: format!("{path}/infer"), layout, binary })
    }

    /// The request for all rows of these tables, whose columns are in the order of the signature.
    pub(crate) fn request(&self, tables: &[&Table]) -> Result<Outgoing, BackendError> {
        let rows: usize = tables.iter().map(|table| table.rows()).sum();
        let width = tables.first().map_or(0, |table| table.columns().len());
        let mut head = String::with_capacity(256 + 16 * rows * width);
        let mut tail = Vec::new();
        head.push_str(if self.binary {
            r#"{"parameters":{"binary_data_output":true},"inputs":["#
        } else {
            r#"{"inputs":["#
        });
        let mut tensor = |port: &Port, columns: &[usize], first: bool| {
            if !first {
                head.push(',');
            }
            head.push_str(r#"{"name":"#);
            head.push_str(&quoted(&port.name));
            let _ = match port.rank {
                1 => write!(head, r#","shape":[{rows}]"#),
                _ => write!(head, r#","shape":[{rows},{}]"#, columns.len()),
            };
            let _ = write!(head, r#","datatype":"{}""#, port.datatype.name());
            if self.binary {
                let before = tail.len();
                cells(tables, columns, |cell, place| binary::write(&mut tail, port.datatype, cell, place))?;
                let _ = write!(head, r#","parameters":{{"binary_data_size":{}}}}}"#, tail.len() - before);
            } else {
                if port.datatype == Datatype::Bytes {
                    // What MLServer needs to see texts in them; others do not look at it.
                    head.push_str(r#","parameters":{"content_type":"str"}"#);
                }
                head.push_str(r#","data":["#);
                let mut first = true;
                cells(tables, columns, |cell, place| {
                    if !std::mem::take(&mut first) {
                        head.push(',');
                    }
                    json(&mut head, port.datatype, cell, place)
                })?;
                head.push_str("]}");
            }
            Ok::<_, BackendError>(())
        };
        match &self.layout {
            Layout::Columns(ports) => {
                for (at, port) in ports.iter().enumerate() {
                    tensor(port, &[at], at == 0)?;
                }
            }
            Layout::Matrix(port) => tensor(port, &(0..width).collect::<Vec<_>>(), true)?,
        }
        head.push_str("]}");
        let header = self.binary.then_some(head.len());
        let mut body = head.into_bytes();
        body.append(&mut tail);
        let content_type = if self.binary { "application/octet-stream" } else { "application/json" };
        Ok(Outgoing { path: self.path.clone(), content_type, header, body: body.into() })
    }
}

/// The outputs in an answer; `header` is the length of its JSON where tensors follow in binary.
pub(crate) fn outputs(body: &[u8], header: Option<usize>) -> Result<Vec<Tensor>, AnswerError> {
    #[derive(Deserialize)]
    struct Answer {
        outputs: Vec<Output>,
    }
    #[derive(Deserialize)]
    struct Output {
        name: String,
        datatype: String,
        shape: Vec<usize>,
        #[serde(default)]
        data: Option<Flat>,
        #[serde(default)]
        parameters: Parameters,
    }
    #[derive(Deserialize, Default)]
    struct Parameters {
        binary_data_size: Option<usize>,
    }
    let format = |problem: String| AnswerError::Format(problem);
    let (head, mut tail) = match header {
        None => (body, &[][..]),
        Some(length) => body.split_at_checked(length).ok_or_else(|| {
            format(format!("{HEADER_LENGTH} is {length}, but the answer has only {} bytes", body.len()))
        })?,
    };
    let mut repaired = Vec::new();
    let answer: Answer = cells::read(head, &mut repaired).map_err(|error| format(error.to_string()))?;
    let mut tensors = Vec::with_capacity(answer.outputs.len());
    for Output { name, datatype, shape, data, parameters } in answer.outputs {
        let kind = Datatype::named(&datatype).map_err(|error| format(format!("output {name:?}: {error}")))?;
        let cells = match (data, parameters.binary_data_size) {
            (Some(flat), _) => typed(flat.cells, kind).map_err(|found| {
                format(format!("output {name:?} is declared {datatype}, but holds {found}"))
            })?,
            (None, Some(size)) => {
                let (bytes, rest) = tail
                    .split_at_checked(size)
                    .ok_or_else(|| format(format!("output {name:?} has fewer than its {size} bytes")))?;
                tail = rest;
                gyre_wire::read(kind, bytes)
                    .map_err(|problem| format(format!("output {name:?} ({datatype}): {problem}")))?
            }
            (None, None) => return Err(format(format!("output {name:?} has no data"))),
        };
        tensors.push(Tensor { name, shape, cells });
    }
    Ok(tensors)
}

/// JSON does not tell `1.0` from a probability of one, nor `1` from a class: the declared datatype does.
fn typed(cells: Elements, datatype: Datatype) -> Result<Elements, &'static str> {
    match (cells, datatype) {
        (cells, _) if cells.is_empty() => Ok(cells),
        (Elements::Integers(values), kind) if kind.is_float() => {
            Ok(Elements::Numbers(values.into_iter().map(|value| value as f64).collect()))
        }
        (Elements::Numbers(values), kind) if kind.is_integer() => {
            // What does not fit 64 bits is no class either; 2^53 bounds what a double holds exactly.
            let whole = |value: f64| {
                (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0).then_some(value as i64)
            };
            let integers = values.iter().map(|&value| whole(value)).collect::<Option<Vec<_>>>();
            Ok(integers.map_or(Elements::Numbers(values), Elements::Integers))
        }
        (cells @ Elements::Texts(_), Datatype::Bytes) => Ok(cells),
        (cells @ Elements::Truths(_), Datatype::Bool) => Ok(cells),
        (Elements::Integers(values), Datatype::Bool) if values.iter().all(|value| matches!(value, 0 | 1)) => {
            Ok(Elements::Truths(values.into_iter().map(|value| value == 1).collect()))
        }
        (cells @ Elements::Integers(_), kind) if kind.is_integer() => Ok(cells),
        (cells @ Elements::Numbers(_), kind) if kind.is_float() => Ok(cells),
        (cells, _) => Err(cells.kind()),
    }
}

fn layout(matrix: Option<&str>, features: &[Field], inputs: &[TensorMetadata]) -> Result<Layout, String> {
    let named = |name: &str| inputs.iter().find(|input| input.name == name);
    let all_by_name = !features.is_empty() && features.iter().all(|field| named(&field.name).is_some());
    let matrix = match (matrix, inputs) {
        (Some(name), inputs) if inputs.is_empty() || named(name).is_some() => Some((name, named(name))),
        (Some(name), _) => return Err(format!("the model has no input {name:?}; it has {}", names(inputs))),
        (None, [only]) if !all_by_name => Some((only.name.as_str(), Some(only))),
        _ => None,
    };
    if let Some((name, input)) = matrix {
        if let Some(&width) = input.and_then(|input| input.shape.get(1))
            && width > 0
            && usize::try_from(width) != Ok(features.len())
        {
            return Err(format!(
                "input {name:?} takes {width} columns, the signature has {}",
                features.len()
            ));
        }
        let mut port = Port { name: name.to_owned(), datatype: Datatype::Fp64, rank: 2 };
        for field in features {
            port.datatype = datatype(name, input, field.kind)?;
        }
        return Ok(Layout::Matrix(port));
    }
    if inputs.is_empty() || all_by_name {
        let port = |field: &Field| {
            let input = named(&field.name);
            let rank = input.map_or(2, |input| input.shape.len());
            if !matches!(rank, 1 | 2) {
                return Err(format!("input {:?} has {rank} dimensions, expected 1 or 2", field.name));
            }
            Ok(Port { name: field.name.clone(), datatype: datatype(&field.name, input, field.kind)?, rank })
        };
        return Ok(Layout::Columns(features.iter().map(port).collect::<Result<_, _>>()?));
    }
    let expected: Vec<&str> = features.iter().map(|field| field.name.as_str()).collect();
    Err(format!("the model takes the inputs {}, the signature has {expected:?}", names(inputs)))
}

fn names(inputs: &[TensorMetadata]) -> String {
    format!("{:?}", inputs.iter().take(50).map(|input| input.name.as_str()).collect::<Vec<_>>())
}

fn datatype(name: &str, input: Option<&TensorMetadata>, kind: Kind) -> Result<Datatype, String> {
    let Some(input) = input else {
        return Ok(match kind {
            Kind::Number => Datatype::Fp64,
            Kind::Text => Datatype::Bytes,
        });
    };
    let datatype = Datatype::named(&input.datatype).ok();
    match (datatype, kind) {
        (Some(Datatype::Fp16 | Datatype::Bf16), _) => {
            Err(format!("input {name:?} takes {}, which cannot be sent; let it take FP32", input.datatype))
        }
        (Some(Datatype::Bytes), Kind::Text) => Ok(Datatype::Bytes),
        (Some(datatype), Kind::Number) if datatype != Datatype::Bytes => Ok(datatype),
        _ => Err(format!("input {name:?} takes {}, the signature says {kind:?}", input.datatype)),
    }
}

/// One value of a table on its way out.
#[derive(Clone, Copy)]
enum Cell<'a> {
    Number(f64),
    /// A missing text is an empty one, as in gyre's own engine.
    Text(&'a str),
}

/// Where a value stands, for messages.
#[derive(Clone, Copy)]
struct Place<'a> {
    column: &'a Name,
    row: usize,
}

/// Every value of some columns, row-major, table after table.
fn cells<'a>(
    tables: &[&'a Table],
    columns: &[usize],
    mut each: impl FnMut(Cell<'a>, Place<'a>) -> Result<(), BackendError>,
) -> Result<(), BackendError> {
    for table in tables {
        let columns: Vec<&(Name, Column)> =
            columns.iter().filter_map(|&column| table.columns().get(column)).collect();
        for row in 0..table.rows() {
            for (name, column) in &columns {
                let cell = match column {
                    Column::Numeric(values) => Cell::Number(values.get(row).copied().unwrap_or(f64::NAN)),
                    Column::Text(values) => {
                        Cell::Text(values.get(row).and_then(Option::as_deref).unwrap_or_default())
                    }
                };
                each(cell, Place { column: name, row })?;
            }
        }
    }
    Ok(())
}

/// Writes a value as JSON of its datatype. NaN, which stands for nothing, becomes `null`.
fn json(out: &mut String, datatype: Datatype, cell: Cell<'_>, place: Place<'_>) -> Result<(), BackendError> {
    match cell {
        Cell::Text(text) => out.push_str(&quoted(text)),
        Cell::Number(value) if datatype == Datatype::Fp32 => {
            let single = whole::single(value, place)?;
            number(out, single.into(), Some(single));
        }
        Cell::Number(value) if datatype.is_float() => number(out, value, None),
        Cell::Number(value) => {
            let whole = whole::whole(value, datatype, place)?;
            if datatype == Datatype::Bool {
                out.push_str(if whole == 0 { "false" } else { "true" });
            } else {
                let _ = write!(out, "{whole}");
            }
        }
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
