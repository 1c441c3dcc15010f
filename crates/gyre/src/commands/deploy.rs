//! `gyre deploy`: a version of any kind behind the gateway, by a rollout that judges itself.
//!
//! What is deployed is a version that is there already, or one that is brought along: a model's file, the command that
//! serves it (after `--`), the URL where it is served, what a Kubernetes cluster is to run, or a model that was logged on
//! the tracking server. The running server does it; nothing here decides.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use gyre_core::record::Signature;
use gyre_core::runtime::{Endpoint, Limits, Process, Protocol, Runtime};
use gyre_core::{ModelName, Span, Version};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::cluster::{self, ClusterArgs};
use super::signature;
use super::traffic::{HowArgs, version};
use crate::client::{Server, segment};
use crate::failure::Failure;
use crate::show;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gyre deploy price --file model.onnx
  gyre deploy price 4 --steps 10%,50%,100% --rollback-on 'latency_p99_ms > 50'
  gyre deploy price --protocol mlflow --signature model/MLmodel -- mlflow models serve -m model -p {port} --env-manager local
  gyre deploy price models:/price/3            # a model of the registry here: in process, where gyre reads its file
  gyre deploy price models:/price@best --serve # by MLflow's own server, whatever it is
  gyre deploy price --protocol v2 --served-as price --url https://models.example.org
  gyre deploy price --protocol v2 --image registry.example.org/price:7 --port 9000 --replicas 2
  gyre deploy price --protocol v2 --storage-uri s3://models/price/7 --model-format sklearn
  gyre deploy price 5 --strategy shadow --dry-run

A version takes traffic only after it was loaded, or its process answered. A rollout goes on by itself, and back by itself:
see `gyre status` and `gyre journal`. Commands and containers are run by a server that was started with --allow-commands, or that
asks everybody to log in.")]
pub(crate) struct DeployArgs {
    /// The model; it need not be declared in gyre.yaml.
    model: ModelName,
    /// A version that is there already (`3` or `v3`), or a model that was logged on this server: models:/NAME/VERSION,
    /// models:/NAME@ALIAS, models:/m-ID, runs:/RUN/PATH. A command after `--` gets the folder with its files as `{model}`.
    // Not called `version`, for every command has a flag of that name.
    #[arg(id = "candidate", value_name = "VERSION", value_parser = which, conflicts_with_all = ["file", "endpoint"])]
    which: Option<Which>,
    /// Have a logged model served by MLflow's own server, as a process: `mlflow models serve -m {model} -p {port}
    /// --env-manager local`, with the `mlflow` that the server finds on its PATH.
    #[arg(long = "serve", id = "by-mlflow", requires = "candidate", conflicts_with_all = ["serve", "protocol"])]
    by_mlflow: bool,
    /// A model's file, to run in process: ONNX, XGBoost (JSON or UBJ), LightGBM, skops. ONNX graphs beyond gyre's own engine
    /// are run by onnxruntime, where the server finds it (`gyre up --onnxruntime`).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["endpoint", "serve"])]
    file: Option<PathBuf>,
    /// A model that is served at this URL.
    #[arg(
        long = "url",
        id = "endpoint",
        value_name = "URL",
        conflicts_with = "serve",
        requires = "protocol"
    )]
    url: Option<String>,
    /// The command that serves the model, or the arguments of an image, after `--`; `{port}` or `{socket}` says where it is to listen.
    #[arg(last = true, id = "serve", value_name = "COMMAND", requires = "protocol")]
    command: Vec<String>,
    #[command(flatten)]
    runtime: RuntimeArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    signature: SignatureArgs,
    #[command(flatten)]
    rollout: RolloutArgs,
    /// Register the version, and give it no traffic.
    #[arg(long)]
    register_only: bool,
    #[command(flatten)]
    how: HowArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Models outside of gyre's process")]
struct RuntimeArgs {
    /// What its server speaks.
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<Spoken>,
    /// The model's name at its server; by default as here.
    #[arg(long, value_name = "NAME")]
    served_as: Option<String>,
    /// The one input that takes all features as a matrix, where the server's metadata does not say so.
    #[arg(long, value_name = "NAME")]
    matrix: Option<String>,
    /// The folder that the command runs in, relative to the project.
    #[arg(long, value_name = "DIR")]
    dir: Option<String>,
    /// A variable for the command or the container; it is kept in the journal, so no secrets here.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// A variable of the server's environment that the command gets.
    #[arg(long, value_name = "NAME")]
    pass_env: Vec<String>,
    /// The memory that the command and its children may hold, in MiB; on a cluster also as 512Mi or 2Gi.
    #[arg(long, value_name = "AMOUNT")]
    memory: Option<String>,
    /// How long the command may be idle until it is stopped; the next request wakes it.
    #[arg(long, value_name = "SPAN")]
    idle: Option<Span>,
    /// How long it may take to start: 2m by default, 10m on a cluster.
    #[arg(long, value_name = "SPAN")]
    start_within: Option<Span>,
    /// A header for the URL whose value is a variable of the server's environment, named GYRE_MODEL_….
    #[arg(long, value_name = "HEADER=VARIABLE", value_parser = pair)]
    header: Vec<(String, String)>,
    /// A path at its server to which requests come through as they are, at /serve/MODEL/…, with streamed answers; may be
    /// given several times. `generate` and `generate_stream` of V2 need none.
    #[arg(long, value_name = "PATH")]
    pass: Vec<String>,
    /// Calls under way at once: 1 for a command, 8 elsewhere by default.
    #[arg(long, value_name = "N")]
    calls: Option<u32>,
    /// Rows of waiting requests that go together in one call: 256 by default, 1 turns batching off.
    #[arg(long, value_name = "N")]
    batch_rows: Option<u32>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What the model takes and gives")]
struct SignatureArgs {
    /// A file with the signature: gyre's JSON, or MLflow's MLmodel. By default it is read from the model's file, or taken over
    /// from the champion.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// The features in the model's order, with their kinds: distance:number,carrier:text.
    #[arg(long, value_name = "NAME:KIND,…", value_delimiter = ',', conflicts_with = "signature", value_parser = signature::field)]
    inputs: Vec<gyre_core::record::Field>,
    /// The name of the prediction.
    #[arg(long, value_name = "NAME", default_value = "prediction")]
    output_name: String,
    /// The classes, in the order of the model's scores; none for a number.
    #[arg(long, value_name = "CLASS,…", value_delimiter = ',')]
    classes: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "The rollout; by default as gyre.yaml has it, or 5%, 25%, 50%, 100%")]
struct RolloutArgs {
    /// How traffic moves.
    #[arg(long, value_name = "STRATEGY")]
    strategy: Option<Strategy>,
    /// The shares of a canary; a first one of 0% is a shadow.
    #[arg(long, value_name = "PERCENT,…", value_delimiter = ',')]
    steps: Vec<String>,
    /// Requests that the version must have been asked before a step is judged.
    #[arg(long, value_name = "N")]
    min_requests: Option<u64>,
    /// The chance of sending back a version that fails no more often than the champion.
    #[arg(long, value_name = "CHANCE")]
    alpha: Option<f64>,
    /// What sends it back besides, such as 'latency_p99_ms > 50'; may be given several times.
    #[arg(long, value_name = "RULE")]
    rollback_on: Vec<String>,
    /// How long it takes all traffic, with the champion kept warm, before it is promoted.
    #[arg(long, value_name = "SPAN")]
    bake: Option<Span>,
    /// Labels that the version's predictions of a step must have got before the step may pass.
    #[arg(long, value_name = "N")]
    min_labels: Option<u64>,
    /// How long a step waits for them before the version goes back; 7d by default.
    #[arg(long, value_name = "SPAN")]
    labels_within: Option<Span>,
    #[command(flatten)]
    bandit: BanditArgs,
}

/// How a bandit learns.
#[derive(Debug, Args)]
pub(super) struct BanditArgs {
    /// Of a bandit: the share of traffic that each arm keeps; 5% by default.
    #[arg(long, value_name = "PERCENT")]
    floor: Option<String>,
    /// Of a bandit: how often the shares are made anew; 1h by default.
    #[arg(long, value_name = "SPAN")]
    every: Option<Span>,
    /// Of a bandit: the probability of being the best at which a version is promoted, 0.99 by default; 1: never.
    #[arg(long, value_name = "CHANCE")]
    promote_at: Option<f64>,
    /// Of a bandit: labels that each arm must have got before the shares move; 20 by default.
    #[arg(long, value_name = "N")]
    arm_labels: Option<u64>,
}

impl BanditArgs {
    /// What is wanted otherwise than by default; `arms` are the versions, none for the champion and the candidate. None when
    /// nothing is.
    pub(super) fn plan(&self, arms: &[Version]) -> Option<Value> {
        let mut plan = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                plan.insert(name.to_owned(), value);
            }
        };
        set("arms", (!arms.is_empty()).then(|| arms.into()));
        set("floor", self.floor.as_ref().map(|floor| percent(floor).into()));
        set("every", self.every.map(|every| every.to_string().into()));
        set("promote_at", self.promote_at.map(Into::into));
        set("min_labels", self.arm_labels.map(Into::into));
        (!plan.is_empty()).then(|| plan.into())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Spoken {
    /// Open Inference Protocol, version 2: Triton, KServe, MLServer.
    V2,
    /// MLflow's scoring protocol: `mlflow models serve`, plumber, …
    Mlflow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Strategy {
    Replace,
    BlueGreen,
    Canary,
    Shadow,
    Bandit,
}

/// What is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Which {
    /// A version of the gateway.
    Version(Version),
    /// A model that a client logged.
    Logged(String),
}

/// The command by which MLflow serves a model.
const BY_MLFLOW: [&str; 9] =
    ["mlflow", "models", "serve", "-m", "{model}", "-p", "{port}", "--env-manager", "local"];

fn which(text: &str) -> Result<Which, String> {
    if ["models:/", "runs:/"].iter().any(|scheme| text.starts_with(scheme)) {
        return Ok(Which::Logged(text.to_owned()));
    }
    version(text).map(Which::Version)
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Deserialize)]
struct Registered {
    version: Version,
}

#[derive(Deserialize)]
struct Blob {
    digest: String,
}

pub(crate) fn run(args: &DeployArgs) -> Result<(), Failure> {
    let known = match &args.which {
        Some(Which::Version(version)) => Some(*version),
        Some(Which::Logged(_)) | None => None,
    };
    args.check(known)?;
    let runtime = args.runtime()?;
    let signature = args.signature.read()?;
    let path = format!("/v1/models/{}", segment(args.model.as_str()));
    if args.how.dry_run && args.cluster.is_given() {
        return args.tell_objects(&path, &runtime);
    }
    if args.how.dry_run && known.is_none() {
        return args.tell_new(&runtime, signature.as_ref());
    }
    let server = args.how.server()?;
    let version = match known {
        Some(version) => version,
        None => args.register(&server, &path, &runtime, signature)?,
    };
    if args.register_only {
        if args.how.output.json {
            return show::json(&json!({"model": args.model, "version": version}));
        }
        let model = &args.model;
        return show::say(format!(
            "registered as version {version} of {model}: gyre deploy {model} {version}"
        ));
    }
    let body = json!({
        "version": version, "plan": args.rollout.plan(), "reason": args.how.reason, "dry_run": args.how.dry_run,
    });
    let deploy = || server.post_patiently(&format!("{path}/deploy"), &body);
    let answer = cluster::telling(&server, &path, version, deploy)?;
    if args.how.output.json {
        return show::json(&answer);
    }
    show::say(if args.how.dry_run { planned(&answer) } else { deployed(&answer) })
}

/// What a dry run found.
fn planned(answer: &Value) -> String {
    let plan = answer.get("plan");
    let steps = plan.and_then(|plan| plan.get("steps")?.as_array().cloned()).unwrap_or_default();
    let steps: Vec<String> =
        steps.iter().filter_map(Value::as_f64).map(|step| format!("{} %", step / 100.0)).collect();
    let gates = match answer.get("judged").and_then(Value::as_bool) {
        Some(true) => "it passed its gates",
        _ => "it would be held against its gates first",
    };
    format!("would roll version {} out by the steps {}; {gates}", answer["version"], steps.join(", "))
}

/// How it stands now.
fn deployed(answer: &Value) -> String {
    let (model, version) = (answer["model"].as_str().unwrap_or_default(), &answer["version"]);
    let entry = &answer["entry"];
    match answer.get("share").and_then(Value::as_f64) {
        Some(share) if share >= 100.0 => {
            format!("version {version} of {model} takes all traffic (entry {entry})")
        }
        Some(share) => format!(
            "version {version} of {model} takes {share} % of traffic (entry {entry}); the rollout goes on by itself: gyre status"
        ),
        None => format!(
            "version {version} of {model} is to be rolled out (entry {entry}), once it has passed its gates; see `gyre status` and `gyre journal`"
        ),
    }
}

impl DeployArgs {
    /// What clap cannot tell: a version that is there already is brought along by nobody.
    fn check(&self, known: Option<Version>) -> Result<(), Failure> {
        match known {
            Some(version) if self.register_only || self.by_mlflow || !self.command.is_empty() => {
                Err(Failure::because(format!(
                    "version {version} is registered already, with where it runs: name it alone"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Where the version that is brought along runs.
    fn runtime(&self) -> Result<Runtime, Failure> {
        let of = &self.runtime;
        let limits = Limits { calls: of.calls, batch_rows: of.batch_rows, queue_rows: None };
        let shared = cluster::Shared {
            protocol: of.protocol(&self.model),
            served_as: of.served_as.as_deref(),
            args: &self.command,
            env: &of.env,
            memory: of.memory.as_deref(),
            start_within: of.start_within,
            pass: &of.pass,
            limits,
        };
        if let Some(kubernetes) = self.cluster.kubernetes(shared)? {
            return Ok(Runtime::Kubernetes(Box::new(kubernetes)));
        }
        if let Some(url) = &self.url {
            let headers_from_env: BTreeMap<String, String> = of.header.iter().cloned().collect();
            let protocol = of.protocol(&self.model);
            return Ok(Runtime::Endpoint(Box::new(Endpoint {
                url: url.clone(),
                protocol,
                headers_from_env,
                pass: of.pass.clone(),
                limits,
            })));
        }
        let by_mlflow = || BY_MLFLOW.map(str::to_owned).to_vec();
        let command = if self.by_mlflow { by_mlflow() } else { self.command.clone() };
        if !command.is_empty() {
            return Ok(Runtime::Process(Box::new(Process {
                command,
                protocol: of.protocol(&self.model),
                dir: of.dir.clone(),
                env: of.env.iter().cloned().collect(),
                pass_env: of.pass_env.clone(),
                memory_mib: of.memory_mib()?,
                idle: of.idle,
                start_within: of.start_within,
                pass: of.pass.clone(),
                limits,
            })));
        }
        if self.file.is_none() && self.which.is_none() {
            return Err(Failure::because(
                "nothing to deploy: name a version or a logged model, or bring --file, --url, a command after `--`, or \
                 --image, --storage-uri or --manifest for a cluster",
            ));
        }
        Ok(Runtime::Native)
    }

    fn register(
        &self,
        server: &Server,
        path: &str,
        runtime: &Runtime,
        signature: Option<Signature>,
    ) -> Result<Version, Failure> {
        let mut body = json!({
            "runtime": runtime, "signature": signature, "to_deploy": !self.register_only,
        });
        match &self.which {
            Some(Which::Logged(from)) => body["from"] = from.as_str().into(),
            _ => body["source"] = self.source(runtime).into(),
        }
        if let Some(file) = &self.file {
            let bytes = std::fs::read(file)
                .map_err(|error| Failure::because(format!("{} cannot be read: {error}", file.display())))?;
            let blob: Blob = serde_json::from_value(server.upload("/v1/blobs", bytes)?)?;
            body["artifact"] = blob.digest.into();
        }
        let registered: Registered =
            serde_json::from_value(server.post_patiently(&format!("{path}/versions"), &body)?)?;
        Ok(registered.version)
    }

    fn source(&self, runtime: &Runtime) -> String {
        match (&self.file, &self.which) {
            (Some(file), _) => file.display().to_string(),
            (None, Some(Which::Logged(from))) if runtime.is_native() => from.clone(),
            (None, Some(Which::Logged(from))) => format!("{from} by {runtime}"),
            (None, _) => runtime.to_string(),
        }
    }

    /// Says what objects a version would have on the cluster; `kubectl diff -f -` and its like read them.
    fn tell_objects(&self, path: &str, runtime: &Runtime) -> Result<(), Failure> {
        let body = json!({"runtime": runtime, "dry_run": true});
        let answer = self.how.server()?.post(&format!("{path}/versions"), &body)?;
        if self.how.output.json { show::json(&answer) } else { show::say(cluster::manifest(&answer)) }
    }

    fn tell_new(&self, runtime: &Runtime, signature: Option<&Signature>) -> Result<(), Failure> {
        if self.how.output.json {
            return show::json(&json!({
                "model": self.model, "runtime": runtime, "signature": signature, "plan": self.rollout.plan(), "dry_run": true,
            }));
        }
        let takes = signature.map_or_else(
            || "with the signature that it brings, or the champion's".to_owned(),
            |signature| format!("which takes {} features", signature.inputs.len()),
        );
        show::say(format!(
            "would register {} as a version of {}, {takes}, and roll it out",
            self.source(runtime),
            self.model
        ))
    }
}

impl RuntimeArgs {
    fn memory_mib(&self) -> Result<Option<u64>, Failure> {
        let wrong = |_| Failure::because("--memory takes a number of MiB for a command, such as 512");
        self.memory.as_deref().map(str::parse).transpose().map_err(wrong)
    }

    fn protocol(&self, model: &ModelName) -> Protocol {
        match self.protocol {
            Some(Spoken::V2) => Protocol::V2 {
                model: self.served_as.clone().unwrap_or_else(|| model.to_string()),
                version: None,
                matrix: self.matrix.clone(),
            },
            Some(Spoken::Mlflow) | None => Protocol::Mlflow,
        }
    }
}

impl SignatureArgs {
    fn read(&self) -> Result<Option<Signature>, Failure> {
        let mut found = match &self.signature {
            Some(path) => Some(signature::read(path)?),
            None if self.inputs.is_empty() => None,
            None => Some(Signature {
                inputs: self.inputs.clone(),
                output: self.output_name.clone(),
                classes: Vec::new(),
            }),
        };
        match &mut found {
            Some(signature) if !self.classes.is_empty() => signature.classes.clone_from(&self.classes),
            None if !self.classes.is_empty() => {
                return Err(Failure::because("--classes goes with --inputs or --signature"));
            }
            _ => {}
        }
        Ok(found)
    }
}

impl RolloutArgs {
    /// What is wanted otherwise than the policy has it.
    fn plan(&self) -> Value {
        let mut plan = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                plan.insert(name.to_owned(), value);
            }
        };
        set("strategy", self.strategy.map(|strategy| strategy.name().into()));
        let steps: Vec<String> = self.steps.iter().map(|step| percent(step)).collect();
        set("steps", (!steps.is_empty()).then(|| steps.into()));
        set("min_requests", self.min_requests.map(Into::into));
        set("alpha", self.alpha.map(Into::into));
        set("rollback_on", (!self.rollback_on.is_empty()).then(|| self.rollback_on.clone().into()));
        set("bake", self.bake.map(|bake| bake.to_string().into()));
        set("min_labels", self.min_labels.map(Into::into));
        set("bandit", self.bandit.plan(&[]));
        set("labels_within", self.labels_within.map(|within| within.to_string().into()));
        plan.into()
    }
}

/// `5` and `5%` are the same on a command line.
pub(super) fn percent(text: &str) -> String {
    if text.ends_with('%') { text.to_owned() } else { format!("{text}%") }
}

impl Strategy {
    const fn name(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::BlueGreen => "blue_green",
            Self::Canary => "canary",
            Self::Shadow => "shadow",
            Self::Bandit => "bandit",
        }
    }
}
