//! A model that lives elsewhere, as the gateway sees it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gyre_core::record::Signature;
use gyre_runtime::{Scores, Table};
use http::{Request, Response, Uri};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::body::{Body, Held, Patience};
use crate::context;
use crate::dial::{Dialer, Door, Remote};
use crate::error::BackendError;
use crate::lane::{Entry, Job};
use crate::logs::Logs;
use crate::peer::{Peer, sent};
use crate::placed::Placed;
use crate::shared::{Live, Phase, Shared};
use crate::spec::{EndpointSpec, Limits, PlacedSpec, ProcessSpec, Protocol};
use crate::state::{State, Status};
use crate::supervisor::Supervisor;
use crate::v2;
use crate::wire::Wire;

/// How long calls to a URL may take to end when it is drained.
const DRAIN: Duration = Duration::from_secs(30);
/// How long a server at a URL may take to tell what its model takes; until then it is asked again for every request.
const LEARN: Duration = Duration::from_secs(10);
/// How much of what is told of a server that somebody else looks after is kept, in bytes.
const KEPT_NEWS: usize = 64 << 10;

/// A model behind a process of ours, a URL, or a server that somebody else looks after.
///
/// Dropping it stops the process as [`Backend::drain`] does, in the background; when the runtime ends first, or we are
/// killed, the process is killed.
pub struct Backend {
    shared: Arc<Shared>,
    logs: Arc<Logs>,
    draining: AtomicBool,
    kind: Kind,
    /// The model's own path at a server that speaks V2.
    own: Option<String>,
    pass: Vec<String>,
}

enum Kind {
    Process { stop: watch::Sender<bool> },
    Endpoint { url: String, learning: JoinHandle<()> },
    Placed { following: JoinHandle<()> },
}

impl Backend {
    /// Starts the command, and keeps it alive from now on. Returns at once; [`Backend::ready`] waits.
    ///
    /// # Errors
    /// [`BackendError::Spec`] when the specification contradicts itself. Whatever goes wrong with the process is told by
    /// [`Backend::state`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub fn process(spec: ProcessSpec) -> Result<Self, BackendError> {
        check(&spec.signature, &spec.protocol, &spec.limits)?;
        check_process(&spec)?;
        let shared = Shared::new(spec.signature.clone(), spec.limits.clone(), Phase::Starting);
        let mut spec = spec;
        spec.warm_up = spec
            .warm_up
            .map(|table| shared.arrange(table))
            .transpose()
            .map_err(|error| BackendError::Spec(format!("the row for the first prediction: {error}")))?;
        let (own, pass) = (own_path(&spec.protocol), std::mem::take(&mut spec.pass));
        let logs = Arc::new(Logs::new(spec.keep_log, spec.log_hook.clone()));
        let (stop, stopped) = watch::channel(false);
        let supervisor =
            Supervisor { spec, shared: Arc::clone(&shared), logs: Arc::clone(&logs), stop: stopped };
        tokio::spawn(supervisor.run());
        Ok(Self { shared, logs, draining: AtomicBool::new(false), kind: Kind::Process { stop }, own, pass })
    }

    /// A model at a URL that `door` permits. Nothing is asked before the first request.
    ///
    /// # Errors
    /// [`BackendError::Spec`], [`BackendError::Forbidden`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub fn endpoint(spec: EndpointSpec, door: Door) -> Result<Self, BackendError> {
        let EndpointSpec { url, protocol, signature, headers, roots, limits, pass } = spec;
        check(&signature, &protocol, &limits)?;
        let uri: Uri =
            url.parse().map_err(|error| BackendError::Spec(format!("{url:?} is no URL: {error}")))?;
        if uri.query().is_some() {
            return Err(BackendError::Spec(format!(
                "{url:?} has a query; only the path in front of the protocol's is taken"
            )));
        }
        let remote = Remote::new(&uri, door, &roots)?;
        let peer = Arc::new(Peer::new(Dialer::Remote(Arc::new(remote)), &uri, headers));
        let shared = Shared::new(signature, limits, Phase::Idle);
        let own = own_path(&protocol);
        let learning = tokio::spawn(learn(Arc::clone(&shared), peer, protocol));
        let (logs, kind) = (Arc::new(Logs::new(0, None)), Kind::Endpoint { url, learning });
        Ok(Self { shared, logs, draining: AtomicBool::new(false), kind, own, pass })
    }

    /// A model whose server is looked after elsewhere, by whoever sends `news` of it. Requests wait while it comes up, and
    /// are refused while it is down. It counts as ready once it is said to be there, and has predicted a first row.
    /// Addresses that are not given by construction must pass `door`.
    ///
    /// # Errors
    /// [`BackendError::Spec`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub fn placed(
        spec: PlacedSpec,
        door: Door,
        news: watch::Receiver<crate::News>,
    ) -> Result<Self, BackendError> {
        let PlacedSpec { protocol, signature, limits, pass } = spec;
        check(&signature, &protocol, &limits)?;
        let shared = Shared::new(signature, limits, Phase::Starting);
        let logs = Arc::new(Logs::new(KEPT_NEWS, None));
        let own = own_path(&protocol);
        let placed = Placed { shared: Arc::clone(&shared), logs: Arc::clone(&logs), protocol, door };
        let following = tokio::spawn(placed.follow(news));
        let kind = Kind::Placed { following };
        Ok(Self { shared, logs, draining: AtomicBool::new(false), kind, own, pass })
    }

    /// Predicts every row. Rows of several callers may go to the model in one call, but each caller gets its own answer or
    /// its own error, in the order of its rows. Columns that are no features are ignored.
    ///
    /// A model that answers with classes alone gives scores without probabilities (an empty vector).
    ///
    /// # Errors
    /// [`BackendError`]; none later than the deadline.
    pub async fn predict(&self, table: Table, deadline: Instant) -> Result<Scores, BackendError> {
        let table = self.shared.arrange(table)?;
        let (reply, answer) = oneshot::channel();
        let job = Job { table, deadline, parent: context::current(), reply: Some(reply) };
        let late = || BackendError::Deadline { while_: "while others were being answered" };
        match self.shared.lane.enter(job, self.shared.is_ready())? {
            Entry::Now(slot, job) => {
                self.shared.serve(vec![job]).await;
                drop(slot);
                // It is dropped unanswered only when its deadline had passed already.
                answer.await.unwrap_or_else(|_| Err(late()))
            }
            Entry::Later => match timeout_at(deadline, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) if Instant::now() < deadline => Err(BackendError::Stopped),
                Ok(Err(_)) | Err(_) => Err(late()),
            },
        }
    }

    /// Passes a request on as it is, to the same path at the model's server, for callers that speak its protocol; the answer
    /// comes back as it arrives. It takes its turn among the predictions, and holds a call until the body has ended.
    /// Credentials (`Authorization`, `Cookie`) and headers of the connection are not passed on. Which paths may be asked is
    /// the caller's to check ([`Backend::passes`]).
    ///
    /// # Errors
    /// [`BackendError`]; what the model's server answers is never one. The body ends with an error when patience does.
    pub async fn forward<B>(
        &self,
        request: Request<B>,
        patience: Patience,
    ) -> Result<Response<Body>, BackendError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let slot = self.shared.lane.turn(patience.first).await?;
        let live = self.shared.live(patience.first).await?;
        let (response, line) = live.peer.pass(request.map(sent), patience.first).await?;
        self.shared.lane.sign();
        let (peer, lane) = (Arc::clone(&live.peer), Arc::clone(&self.shared.lane));
        Ok(response.map(|body| Body::new(body, patience, Held { slot, line, peer }, lane)))
    }

    /// Where its server answers `verb` (`generate`) of this one model, for a server that speaks V2.
    pub fn verb(&self, verb: &str) -> Option<String> {
        self.own.as_ref().map(|path| format!("{path}/{verb}"))
    }

    /// The paths that may be asked at its server beside those of its protocol.
    pub fn passes(&self) -> &[String] {
        &self.pass
    }

    /// Waits until requests are answered; wakes a process that is idle.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] in a crash loop, [`BackendError::Deadline`], [`BackendError::Stopped`].
    pub async fn ready(&self, deadline: Instant) -> Result<(), BackendError> {
        self.shared.live(deadline).await.map(drop)
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        match self.shared.state() {
            State::Stopped => State::Stopped,
            _ if self.draining.load(Ordering::Relaxed) => State::Draining,
            state => state,
        }
    }

    /// What it is doing, with figures.
    pub fn status(&self) -> Status {
        let load = self.shared.lane.load();
        let details = self.shared.details(|details| details.clone());
        let address = match &self.kind {
            Kind::Process { .. } | Kind::Placed { .. } => details.address,
            Kind::Endpoint { url, .. } => Some(url.clone()),
        };
        Status {
            state: self.state(),
            pid: details.pid,
            address,
            restarts: details.restarts,
            last_failure: details.last_failure,
            remark: details.remark,
            memory: details.memory,
            calls: load.calls,
            waiting_requests: load.requests,
            waiting_rows: load.rows,
            call_time: load.call_time,
            waited: load.waited,
        }
    }

    /// What it takes and gives.
    pub fn signature(&self) -> &Signature {
        &self.shared.signature
    }

    /// The last lines that the process printed, oldest first, over all its restarts, or what was told of a server that
    /// somebody else looks after; none for a URL.
    pub fn log(&self) -> Vec<String> {
        self.logs.lines()
    }

    /// Takes no more requests, lets those under way and in line end, and stops the process (SIGTERM, then SIGKILL). Returns
    /// when all is over.
    pub async fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.shared.lane.close();
        match &self.kind {
            Kind::Process { stop } => {
                stop.send_replace(true);
                self.shared.stopped().await;
            }
            Kind::Endpoint { learning: task, .. } | Kind::Placed { following: task } => {
                let _ = timeout(DRAIN, self.shared.lane.quiet()).await;
                task.abort();
                self.shared.set(Phase::Stopped);
                self.shared.lane.dismiss();
            }
        }
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // A process's supervisor sees that the other end of its channel is gone.
        if let Kind::Endpoint { learning: task, .. } | Kind::Placed { following: task } = &self.kind {
            task.abort();
        }
    }
}

/// Where a server that speaks V2 has the model.
fn own_path(protocol: &Protocol) -> Option<String> {
    match protocol {
        Protocol::V2 { model, version, .. } => Some(v2::model_path(model, version.as_deref())),
        Protocol::Mlflow => None,
    }
}

/// Finds out, when somebody first needs it, what the model at a URL takes.
async fn learn(shared: Arc<Shared>, peer: Arc<Peer>, protocol: Protocol) {
    loop {
        shared.wake.notified().await;
        match Wire::learn(&protocol, &shared.signature, &peer, Instant::now() + LEARN).await {
            Ok(wire) => {
                shared.set(Phase::Ready(Arc::new(Live { peer, wire })));
                return;
            }
            Err(error) => shared.set(Phase::Unlearned(error)),
        }
    }
}

fn check(signature: &Signature, protocol: &Protocol, limits: &Limits) -> Result<(), BackendError> {
    let wrong = |problem: String| Err(BackendError::Spec(problem));
    let names = || signature.inputs.iter().map(|field| &field.name);
    if let Some((at, name)) =
        names().enumerate().find(|(at, name)| names().take(*at).any(|other| other == *name))
    {
        return wrong(format!("feature {at} of the signature has the name {name:?} of another"));
    }
    if signature.inputs.is_empty() {
        return wrong("the signature has no features".into());
    }
    if signature.classes.len() == 1 {
        return wrong("the signature has one class; none for numbers, two or more for classes".into());
    }
    if matches!(protocol, Protocol::V2 { model, .. } if model.is_empty()) {
        return wrong("the model has no name at its server".into());
    }
    for (name, value) in
        [("calls", limits.calls), ("batch_rows", limits.batch_rows), ("answer_bytes", limits.answer_bytes)]
    {
        if value == 0 {
            return wrong(format!("limits.{name} is 0, at least 1 is needed"));
        }
    }
    Ok(())
}

fn check_process(spec: &ProcessSpec) -> Result<(), BackendError> {
    let wrong = |problem: String| Err(BackendError::Spec(problem));
    if spec.command.first().is_none_or(String::is_empty) {
        return wrong("the command is empty".into());
    }
    if spec.hang_after <= spec.probe_every {
        return wrong(format!(
            "hang_after ({:?}) must be longer than probe_every ({:?}), or every idle process would count as hanging",
            spec.hang_after, spec.probe_every
        ));
    }
    if let Some(probe) = spec.probe.as_ref().filter(|probe| !probe.starts_with('/')) {
        return wrong(format!("the probe {probe:?} must be a path that begins with /"));
    }
    let other = if spec.listen == crate::spec::Listen::Socket { "{port}" } else { "{socket}" };
    let texts = spec.command.iter().chain(spec.env.iter().map(|(_, value)| value));
    if let Some(text) = texts.into_iter().find(|text| text.contains(other)) {
        return wrong(format!(
            "{text:?} asks for {other}, but it is to listen elsewhere ({:?})",
            spec.listen
        ));
    }
    Ok(())
}
