//! A version ready to answer: its model, its signature, its counters, its log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use gyre_backend::Instant as Deadline;
use gyre_core::record::{Kind, Route, Signature};
use gyre_core::{Digest, ModelName, Timestamp, Version};
use gyre_onnxruntime::{AskError, LocalModel};
use gyre_runtime::{
    Column, ExplainError, Explanation, FeatureKind, Hints, Name, RunError, ScoreError, Scores, Table, Task,
};

use crate::cache::{self, Cache, CachePolicy};
use crate::engine::{Engine, EngineError, Remote};
use crate::error::{InferError, LoadError, Refusal, blames_the_model};
use crate::evidence::Counters;
use crate::log::{Batch, ModelLog, gather};
use crate::request::{Answer, Request, prediction};
use crate::rules::{Checked, Counting, FeatureRules};
use crate::stream::{Outcome, StreamTally};
use crate::totals::{Tally, Totals};

use super::PATIENCE;

/// A version that has been checked and run once; `L` is its log, once it has one.
pub(crate) struct Loaded<L = Arc<ModelLog>> {
    pub(crate) model: ModelName,
    pub(crate) version: Version,
    pub(super) signature: Arc<Signature>,
    pub(super) names: Arc<[Name]>,
    artifact: Digest,
    engine: Engine,
    pub(super) counters: ArcSwap<Counters>,
    tally: Tally,
    streams: StreamTally,
    /// Answers that are kept, where the model says so.
    cache: ArcSwapOption<Cache>,
    /// What its features may hold.
    pub(super) rules: ArcSwap<FeatureRules>,
    log: L,
}

/// Rows with their predictions, all of one version.
pub(super) struct Scored {
    batch: Batch,
    /// The rows that the model was asked, ascending; none when it was all of them.
    asked: Option<Vec<usize>>,
}

impl Loaded<()> {
    /// Loads a version, holds it against its signature, and runs it once, so that its first request finds it warm.
    pub(super) fn prepare(
        model: &ModelName,
        version: Version,
        signature: Signature,
        artifact: &[u8],
        digest: Digest,
    ) -> Result<Self, LoadError> {
        let features: Vec<&str> = signature.inputs.iter().map(|field| field.name.as_str()).collect();
        let classes: Vec<&str> = signature.classes.iter().map(String::as_str).collect();
        let hints = Hints { features: &features, classes: &classes };
        let local = LocalModel::load(artifact, &hints).map_err(|error| match error {
            gyre_onnxruntime::LoadError::Signature(error) => {
                LoadError::Ports { model: model.clone(), version, error }
            }
            error => LoadError::Model { model: model.clone(), version, error },
        })?;
        // Whoever builds tables of a request relies on it.
        let names = || signature.inputs.iter().map(|field| &field.name);
        if let Some((_, twice)) =
            names().enumerate().find(|(at, name)| names().take(*at).any(|other| other == *name))
        {
            let problem = format!("two features are called `{twice}`");
            return Err(LoadError::Signature { model: model.clone(), version, problem });
        }
        agree(&local, &signature).map_err(|problem| LoadError::Signature {
            model: model.clone(),
            version,
            problem,
        })?;
        let loaded = Self::with(model, version, signature, digest, Engine::Local(local));
        loaded.warm_up().map_err(|error| LoadError::Warmup { model: model.clone(), version, error })?;
        Ok(loaded)
    }

    /// A version that runs elsewhere; `artifact` is the digest of the description of where.
    pub(super) fn elsewhere(model: &ModelName, version: Version, artifact: Digest, remote: Remote) -> Self {
        let signature = remote.backend().signature().clone();
        Self::with(model, version, signature, artifact, Engine::Remote(remote))
    }

    fn with(
        model: &ModelName,
        version: Version,
        signature: Signature,
        artifact: Digest,
        engine: Engine,
    ) -> Self {
        Self {
            model: model.clone(),
            version,
            names: signature.inputs.iter().map(|field| field.name.as_str().into()).collect(),
            signature: Arc::new(signature),
            artifact,
            engine,
            counters: ArcSwap::default(),
            tally: Tally::default(),
            streams: StreamTally::default(),
            cache: ArcSwapOption::empty(),
            rules: ArcSwap::default(),
            log: (),
        }
    }

    /// Runs one made-up row. What only says that the model does not like that row is no reason to refuse the model;
    /// what says that no row could go well is. A model elsewhere was asked a first row by whoever started it.
    fn warm_up(&self) -> Result<(), AskError> {
        let Engine::Local(local) = &self.engine else { return Ok(()) };
        let column = |kind| match kind {
            Kind::Number => Column::Numeric(vec![0.0]),
            Kind::Text => Column::Text(vec![Some("".into())]),
        };
        let columns = self.names.iter().zip(&self.signature.inputs);
        let columns = columns.map(|(name, field)| (name.clone(), column(field.kind)));
        let Ok(table) = Table::new(columns) else { return Ok(()) };
        match local.score_within(&table, PATIENCE) {
            Err(AskError::Score(
                ScoreError::Value { .. } | ScoreError::NonFinite { .. } | ScoreError::Run(_),
            )) => Ok(()),
            Ok(_) | Err(AskError::Failed(_) | AskError::Busy(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The same, with the log that its predictions go to.
    pub(super) fn logging_to(self, log: Arc<ModelLog>) -> Loaded {
        Loaded {
            model: self.model,
            version: self.version,
            signature: self.signature,
            names: self.names,
            artifact: self.artifact,
            engine: self.engine,
            counters: self.counters,
            tally: self.tally,
            streams: self.streams,
            cache: self.cache,
            rules: self.rules,
            log,
        }
    }
}

impl Loaded {
    /// Whether `other` comes from the same bytes under the same signature.
    pub(super) fn same_as(&self, other: &Loaded<()>) -> bool {
        self.is_of(&other.artifact, &other.signature)
    }

    /// Whether it comes from these bytes under this signature.
    pub(super) fn is_of(&self, artifact: &Digest, signature: &Signature) -> bool {
        self.artifact == *artifact && *self.signature == *signature
    }

    /// Its process or URL, when it has one.
    pub(crate) fn remote(&self) -> Option<&Remote> {
        match &self.engine {
            Engine::Local(_) => None,
            Engine::Remote(remote) => Some(remote),
        }
    }

    /// Holds the rows of a request whose inputs were bound to `places` against the rules: `rows` of them, or all.
    pub(super) fn check(
        &self,
        request: &Request,
        places: &[usize],
        rows: Option<&[usize]>,
        counting: Counting,
    ) -> Result<Checked, Refusal> {
        let column = |at: usize| Some(&request.inputs.get(*places.get(at)?)?.values);
        self.rules.load().check(self.version, column, rows, counting)
    }

    /// Predicts all rows of a request whose inputs were bound to `places`, and checked.
    pub(super) async fn score_all(
        &self,
        route: Route,
        request: Request,
        places: &[usize],
        odd: &Checked,
        deadline: Deadline,
    ) -> Result<Scored, InferError> {
        let mut inputs: Vec<Option<Column>> =
            request.inputs.into_iter().map(|input| Some(input.values)).collect();
        let columns = places.iter().filter_map(|place| inputs.get_mut(*place)?.take()).collect();
        self.score(route, request.ids, request.time, columns, odd, deadline).await
    }

    /// Predicts some rows of a request whose inputs were bound to `places`, and checked.
    pub(super) async fn score_rows(
        &self,
        route: Route,
        request: &Request,
        places: &[usize],
        rows: &[usize],
        odd: &Checked,
        deadline: Deadline,
    ) -> Result<Scored, InferError> {
        let columns = places.iter().filter_map(|place| request.inputs.get(*place));
        let columns = columns.map(|input| gather(&input.values, rows)).collect();
        let ids = rows.iter().filter_map(|row| request.ids.get(*row).cloned()).collect();
        self.score(route, ids, request.time, columns, odd, deadline).await
    }

    /// Predicts rows whose `columns` are in the signature's order, and counts.
    async fn score(
        &self,
        route: Route,
        ids: Vec<Arc<str>>,
        time: Timestamp,
        mut columns: Vec<Column>,
        odd: &Checked,
        deadline: Deadline,
    ) -> Result<Scored, InferError> {
        let refused =
            |refusal| InferError::Refused { model: self.model.clone(), version: self.version, refusal };
        let table = |columns: Vec<Column>| {
            Table::of_distinct(self.names.iter().cloned().zip(columns))
                .map_err(|error| refused(Refusal::Twice(error.to_string())))
        };
        // The log keeps what the caller sent, for that is what drift is measured on.
        let sent = if odd.imputes { Some(table(columns.clone())?) } else { None };
        odd.impute(&mut columns);
        let table = table(columns)?;
        let started = Instant::now();
        let (outcome, asked) = self.ask(&table, deadline).await;
        let latency = started.elapsed();
        match outcome {
            Ok(scores) => {
                let answered = asked.as_ref().map_or(ids.len(), Vec::len);
                if answered > 0 {
                    self.count(answered, 0, latency, time);
                }
                if asked.is_some() {
                    self.tally.looked_up(ids.len() - answered, answered);
                }
                let latency_us = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
                let (version, signature) = (self.version, Arc::clone(&self.signature));
                let table = sent.unwrap_or(table);
                let batch = Batch { ids, time, version, signature, route, table, scores, latency_us };
                Ok(Scored { batch, asked })
            }
            // The request's fault, found only by the model.
            Err(EngineError::Local(AskError::Score(
                error @ (ScoreError::Value { .. }
                | ScoreError::MissingFeature(_)
                | ScoreError::FeatureType { .. }
                | ScoreError::Run(RunError::TooLarge { .. })),
            ))) => Err(refused(Refusal::Value(error))),
            Err(EngineError::Local(error)) => {
                // A queue that is full is not the model's fault.
                if !matches!(error, AskError::Busy(_)) {
                    self.count(ids.len(), ids.len(), latency, time);
                }
                Err(InferError::Model { model: self.model.clone(), version: self.version, error })
            }
            Err(EngineError::Remote(error)) => {
                if blames_the_model(&error) {
                    self.count(ids.len(), ids.len(), latency, time);
                }
                Err(InferError::Elsewhere { model: self.model.clone(), version: self.version, error })
            }
        }
    }

    /// Answers by what is kept, and by the model for the rest. Says which rows the model was asked; none when all, without
    /// a look at what is kept.
    async fn ask(
        &self,
        table: &Table,
        deadline: Deadline,
    ) -> (Result<Scores, EngineError>, Option<Vec<usize>>) {
        let Some(cache) = self.cache.load_full() else {
            return (self.engine.score(table, deadline).await, None);
        };
        let now = Instant::now();
        let looked = cache.look_up(table, now);
        let unknown = looked.unknown();
        let asked = match unknown.len() {
            0 => None,
            all if all == table.rows() => Some(self.engine.score(table, deadline).await),
            _ => Some(self.engine.score(&cache::part(table, &unknown), deadline).await),
        };
        let asked = match asked.transpose() {
            Ok(asked) => asked,
            Err(error) => return (Err(error), Some(unknown)),
        };
        match cache.complete(looked, asked.as_ref(), now) {
            Some(scores) => (Ok(scores), Some(unknown)),
            // A model whose answers do not go together is asked as if there were no cache.
            None => (self.engine.score(table, deadline).await, None),
        }
    }

    /// Has answers kept, or not any more; what is kept by the same policy stays.
    pub(super) fn keep(&self, policy: Option<CachePolicy>) {
        if self.cache.load().as_ref().map(|cache| cache.policy()) != policy {
            self.cache.store(policy.map(|policy| Arc::new(Cache::new(policy))));
        }
    }

    /// Takes the predictions of a request apart whose inputs were bound to `places`.
    pub(super) fn explain(
        &self,
        request: Request,
        places: &[usize],
        odd: &Checked,
    ) -> Result<Explanation, InferError> {
        let unexplained =
            |reason| InferError::Unexplained { model: self.model.clone(), version: self.version, reason };
        let Engine::Local(local) = &self.engine else {
            return Err(unexplained("it runs outside of gyre's process".to_owned()));
        };
        let mut inputs: Vec<Option<Column>> =
            request.inputs.into_iter().map(|input| Some(input.values)).collect();
        let mut columns: Vec<Column> =
            places.iter().filter_map(|place| inputs.get_mut(*place)?.take()).collect();
        odd.impute(&mut columns);
        let refused =
            |refusal| InferError::Refused { model: self.model.clone(), version: self.version, refusal };
        let table = Table::new(self.names.iter().cloned().zip(columns))
            .map_err(|error| refused(Refusal::Twice(error.to_string())))?;
        local.explain(&table).map_err(|error| match error {
            ExplainError::Unavailable(reason) => unexplained(reason),
            ExplainError::Score(error) => refused(Refusal::Value(error)),
        })
    }

    /// Counts a request that it cannot take, although the version in charge can.
    pub(super) fn failed(&self, request: &Request) {
        self.count(request.ids.len(), request.ids.len(), Duration::ZERO, request.time);
    }

    /// Counts a request that was passed on; evidence for a rollout is what speaks of the version.
    pub(crate) fn count_stream(&self, outcome: Outcome, first: Duration, bytes: u64) {
        self.streams.observe(outcome, first, bytes);
        match outcome {
            Outcome::Whole => self.counters.load().observe(1, 0, first),
            Outcome::Failed => self.counters.load().observe(1, 1, first),
            Outcome::Refused | Outcome::Abandoned => {}
        }
    }

    /// What it has done since it was loaded.
    pub(super) fn totals(&self) -> Totals {
        let waited = self.remote().map(|remote| remote.backend().status().waited).unwrap_or_default();
        Totals { streams: self.streams.totals(), waited, ..self.tally.totals() }
    }

    fn count(&self, rows: usize, failed: usize, latency: Duration, time: Timestamp) {
        self.counters.load().observe(rows as u64, failed as u64, latency);
        self.tally.observe(rows as u64, failed == 0, latency, time);
    }

    /// Hands predictions to the log; never waits.
    pub(super) fn submit(&self, scored: Scored) {
        self.log.submit(scored.batch);
    }
}

impl Scored {
    /// The rows' ids.
    pub(super) fn ids(&self) -> &[Arc<str>] {
        &self.batch.ids
    }

    /// The answers, in the order of the rows.
    pub(super) fn answers(&self) -> impl Iterator<Item = Answer> {
        let Batch { version, route, scores, .. } = &self.batch;
        (0..scores.rows()).map(|row| {
            let (output, scores) = prediction(scores, row);
            let cached = self.asked.as_ref().is_some_and(|asked| asked.binary_search(&row).is_err());
            Answer { version: *version, route: *route, output, scores, cached }
        })
    }

    /// Whether the model was asked anything.
    pub(super) fn is_evidence(&self) -> bool {
        self.asked.as_ref().is_none_or(|asked| !asked.is_empty())
    }
}

/// Whether the model reads and gives what the signature says.
fn agree(model: &LocalModel, signature: &Signature) -> Result<(), String> {
    for feature in model.features() {
        let kind = match feature.kind {
            FeatureKind::Numeric | FeatureKind::Integer => Kind::Number,
            FeatureKind::Text => Kind::Text,
        };
        let Some(field) = signature.inputs.iter().find(|field| *field.name == *feature.name) else {
            return Err(format!("the model reads `{}`, which the signature does not have", feature.name));
        };
        if field.kind != kind {
            let found = if kind == Kind::Text { "text" } else { "numbers" };
            return Err(format!(
                "the model reads `{}` as {found}, the signature says otherwise",
                feature.name
            ));
        }
    }
    for field in &signature.inputs {
        if !model.features().iter().any(|feature| *feature.name == *field.name) {
            return Err(format!("the signature has `{}`, which the model does not read", field.name));
        }
    }
    let classes: Vec<String> = match model.task() {
        Task::Regression => Vec::new(),
        Task::Classification { classes } => classes.iter().map(ToString::to_string).collect(),
    };
    if classes != signature.classes {
        return Err(format!(
            "the model gives the classes {classes:?}, the signature says {:?}",
            signature.classes
        ));
    }
    Ok(())
}
