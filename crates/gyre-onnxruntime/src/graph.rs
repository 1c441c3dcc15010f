//! A graph that onnxruntime runs, asked about rows of a table.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gyre_runtime::proto::{
    GraphProto, ModelProto, TensorTypeProto, TypeProto, TypeValue, ValueInfoProto, data_type,
};
use gyre_runtime::{Binding, Column, Data, FeatureKind, Hints, Interface, Output, Scores, Table, Tensor};
use prost::Message;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::check;
use crate::error::{AskError, Lack, LoadError};
use crate::leash::{Held, Leash};
use crate::library;
use crate::pace::Pace;
use crate::pool::{LOADING, Pool, Taken};
use crate::session::{NO_THREAD, Session, Wanted};
use crate::watchdog::{self, Act};

/// Rows of one run. A network's tensors between its layers are large; with so many rows they stay in bounds, and more at
/// once are no faster.
const ROWS: usize = 256;
/// A run that was told to end may go on until its present node is done; its caller waits this much longer for it.
const GRACE: Duration = Duration::from_millis(20);

/// A graph with its sessions; threads share it.
pub struct Graph {
    binding: Binding,
    /// Inputs in the order of the binding's tensors.
    inputs: Vec<String>,
    /// By the places of the graph's outputs.
    wanted: Vec<Option<Wanted>>,
    /// The graph was exported for one row at a time.
    row_by_row: bool,
    loops: bool,
    pool: Arc<Pool>,
    pace: Pace,
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("binding", &self.binding).finish_non_exhaustive()
    }
}

impl Graph {
    /// Makes a graph ready that the native engine does not run because of `lacks`.
    ///
    /// # Errors
    /// [`LoadError`]: its inputs and outputs are not columns and predictions, it says what it must not, onnxruntime is not
    /// there or does not take it.
    pub fn load(file: &[u8], hints: &Hints<'_>, lacks: &gyre_runtime::LoadError) -> Result<Self, LoadError> {
        let proto = ModelProto::read(file)?;
        let interface = Interface::of(&proto)?;
        let row_by_row = rows_at_a_time(&interface)?;
        let binding = Binding::new(&interface, hints)?;
        let (wanted, extra) = outputs(&proto, &interface, &binding);
        drop(proto);
        // Two messages one after the other are one with the fields of both, by the rules of the format.
        let file: Bytes = [file, &extra.encode_to_vec()].concat().into();
        let seen = check::check(&file).map_err(LoadError::Refused)?;
        let lacks = Lack::of(lacks);
        let environment = match library::environment() {
            Ok(environment) => environment,
            Err(missing) => return Err(LoadError::NoLibrary { lacks, missing }),
        };
        let pool = match Pool::new(environment, file) {
            Ok(pool) => pool,
            Err(problem) => return Err(LoadError::Onnxruntime { lacks, problem }),
        };
        let inputs = interface.inputs().iter().map(|port| port.name.clone()).collect();
        Ok(Self { binding, inputs, wanted, row_by_row, loops: seen.loops, pool, pace: Pace::new() })
    }

    /// The columns that the graph reads, and what it predicts.
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// How many sessions there are at the moment.
    pub fn sessions(&self) -> usize {
        self.pool.sessions()
    }

    /// Predicts every row, on this thread when that takes microseconds, otherwise on one that may wait. Nobody waits past
    /// `deadline`.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn score(self: &Arc<Self>, table: &Table, deadline: Instant) -> Result<Scores, AskError> {
        let rows = table.rows();
        let tensors = self.binding.tensors(table)?;
        let taken = self.pool.take(deadline).await?;
        let quick = !self.loops && self.pace.is_quick(rows);
        let leash = Arc::new(Leash::default());
        let runtime = match Handle::try_current() {
            Ok(runtime) if !quick => runtime,
            _ => return self.run(taken, tensors, rows, &leash, deadline),
        };
        let begun = Instant::now();
        let held = Held(Arc::clone(&leash));
        let graph = Arc::clone(self);
        let running = runtime.spawn_blocking(move || graph.run(taken, tensors, rows, &leash, deadline));
        let (wake, late) = oneshot::channel();
        let _watch = watchdog::at(deadline + GRACE, Act::Wake(wake));
        let answer = tokio::select! {
            biased;
            done = running => done.unwrap_or_else(|gone| Err(AskError::Failed(gone.to_string()))),
            _ = late => Err(AskError::Late(begun.elapsed())),
        };
        drop(held);
        answer
    }

    fn run(
        &self,
        mut taken: Taken,
        inputs: Vec<Tensor>,
        rows: usize,
        leash: &Arc<Leash>,
        deadline: Instant,
    ) -> Result<Scores, AskError> {
        let begun = Instant::now();
        let session = taken.session()?;
        let stop = Act::Stop(Arc::clone(leash));
        let watch = watchdog::at(deadline, stop).ok_or_else(|| AskError::Failed(NO_THREAD.to_owned()))?;
        let outputs = leash.run(&session.options(), || self.compute(session, inputs, rows));
        drop((watch, taken));
        let outputs = outputs.map_err(|error| AskError::Failed(error.to_string()))?;
        let outputs = outputs.ok_or_else(|| AskError::Late(begun.elapsed()))??;
        self.pace.took(rows, begun.elapsed());
        Ok(self.binding.read(&outputs, rows)?)
    }

    fn compute(
        &self,
        session: &mut Session,
        inputs: Vec<Tensor>,
        rows: usize,
    ) -> Result<Vec<Output>, AskError> {
        let step = if self.row_by_row { 1 } else { ROWS };
        if rows <= step {
            return session.run(&self.inputs, inputs, &self.wanted);
        }
        let mut all: Vec<Vec<Output>> = Vec::with_capacity(rows.div_ceil(step));
        for from in (0..rows).step_by(step) {
            let some = from..(from + step).min(rows);
            let part = inputs.iter().map(|tensor| rows_of(tensor, some.clone())).collect();
            all.push(session.run(&self.inputs, part, &self.wanted)?);
        }
        Ok(stacked(all))
    }

    /// Asks about one made-up row. What only says that the graph does not like that row is no reason to refuse it.
    ///
    /// # Errors
    /// What says that no row could go well: it takes too long, or answers with something else than predictions.
    pub(crate) fn try_out(self: &Arc<Self>) -> Result<(), AskError> {
        let Ok(table) = made_up(self.binding.features()) else { return Ok(()) };
        match pollster::block_on(self.score(&table, Instant::now() + LOADING)) {
            Err(error @ (AskError::Late(_) | AskError::Score(gyre_runtime::ScoreError::Output { .. }))) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }
}

/// One row of zeros and empty texts.
pub(crate) fn made_up(features: &[gyre_runtime::Feature]) -> Result<Table, gyre_runtime::TableError> {
    Table::new(features.iter().map(|feature| {
        let column = match feature.kind {
            FeatureKind::Numeric | FeatureKind::Integer => Column::Numeric(vec![0.0]),
            FeatureKind::Text => Column::Text(vec![Some("".into())]),
        };
        (Arc::clone(&feature.name), column)
    }))
}

/// Whether a graph takes one row at a time; any other fixed number is refused.
fn rows_at_a_time(interface: &Interface) -> Result<bool, LoadError> {
    let fixed = interface.inputs().iter().find_map(|port| Some((port, (*port.shape.as_ref()?.first()?)?)));
    match fixed {
        None => Ok(false),
        Some((_, 1)) => Ok(true),
        Some((port, rows)) => Err(LoadError::Signature(gyre_runtime::SignatureError::Inputs(format!(
            "input {:?} takes {rows} rows at a time, neither more nor fewer; export the model with a dynamic first \
             dimension",
            port.name
        )))),
    }
}

/// What is asked of the graph for each of its outputs that the binding reads; and what is added to the file for it.
///
/// `ZipMap` makes a list of maps of a matrix of probabilities. Its matrix is asked for, as a further output.
fn outputs(
    proto: &ModelProto,
    interface: &Interface,
    binding: &Binding,
) -> (Vec<Option<Wanted>>, ModelProto) {
    let read: Vec<usize> = binding.reads().collect();
    let nodes = proto.graph.iter().flat_map(|graph| &graph.node);
    let maps: Vec<_> = nodes.filter(|node| node.op_type == "ZipMap").collect();
    let mut extra = GraphProto::default();
    let wanted = interface.outputs().iter().enumerate().map(|(at, port)| {
        read.contains(&at).then(|| {
            let name: Arc<str> = port.name.as_str().into();
            let map = maps.iter().find(|node| node.output.first() == Some(&port.name));
            let Some(matrix) = map.and_then(|node| node.input.first()) else {
                return Wanted { from: port.name.clone(), name };
            };
            if !interface.outputs().iter().any(|port| port.name == *matrix) {
                let tensor = TensorTypeProto { elem_type: data_type::FLOAT, shape: None };
                let of = TypeProto { value: Some(TypeValue::Tensor(tensor)) };
                extra.output.push(ValueInfoProto { name: matrix.clone(), r#type: Some(of) });
            }
            Wanted { from: matrix.clone(), name }
        })
    });
    let wanted = wanted.collect();
    let graph = (!extra.output.is_empty()).then_some(extra);
    (wanted, ModelProto { graph, ..ModelProto::default() })
}

/// Some rows of a tensor, with all its other dimensions.
fn rows_of(tensor: &Tensor, rows: Range<usize>) -> Tensor {
    /// The elements of the rows.
    fn part<T: Clone>(data: &[T], rows: &Range<usize>, width: usize) -> Vec<T> {
        data.get(rows.start * width..rows.end * width).unwrap_or_default().to_vec()
    }
    let mut shape = tensor.shape().to_vec();
    let width = shape.iter().skip(1).product();
    let data = match tensor.data() {
        Data::F32(data) => Data::F32(part(data, &rows, width)),
        Data::F64(data) => Data::F64(part(data, &rows, width)),
        Data::I64(data) => Data::I64(part(data, &rows, width)),
        Data::I32(data) => Data::I32(part(data, &rows, width)),
        Data::Bool(data) => Data::Bool(part(data, &rows, width)),
        Data::Str(data) => Data::Str(part(data, &rows, width)),
    };
    if let Some(first) = shape.first_mut() {
        *first = rows.len();
    }
    Tensor::new(&shape, data).unwrap_or_else(|| Tensor::vector(Data::F32(Vec::new())))
}

/// The outputs for some rows after those for others, as outputs for all. Their elements follow one another, which is all that
/// whoever reads predictions looks at.
fn stacked(all: Vec<Vec<Output>>) -> Vec<Output> {
    let mut parts = all.into_iter();
    let Some(first) = parts.next() else { return Vec::new() };
    let mut stacked: Vec<(Arc<str>, Data)> =
        first.into_iter().map(|output| (output.name, output.tensor.into_data())).collect();
    for part in parts {
        for ((_, all), output) in stacked.iter_mut().zip(part) {
            match (all, output.tensor.into_data()) {
                (Data::F32(all), Data::F32(more)) => all.extend(more),
                (Data::F64(all), Data::F64(more)) => all.extend(more),
                (Data::I64(all), Data::I64(more)) => all.extend(more),
                (Data::I32(all), Data::I32(more)) => all.extend(more),
                (Data::Bool(all), Data::Bool(more)) => all.extend(more),
                (Data::Str(all), Data::Str(more)) => all.extend(more),
                // A graph gives one type; otherwise the number of elements will not be right.
                _ => {}
            }
        }
    }
    stacked.into_iter().map(|(name, data)| Output { name, tensor: Tensor::vector(data) }).collect()
}
