//! The same protocol over gRPC: the service `inference.GRPCInferenceService`, on the same port as everything else.
//!
//! A client speaks HTTP/2 from its first byte on; the socket tells by that. Every method is a route, with what it asks of its
//! caller, as any other. Elements of tensors come either in the field of their datatype or, as Triton's client sends them,
//! all as bytes; answers come as bytes.

mod messages;
mod unary;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, StatusCode};
use axum::response::Response;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use gyre_core::Version;
use gyre_gateway::gateway::PATIENCE;
use gyre_wire::Datatype;
use prost::Message as _;
use tokio::time::Instant;
use tonic::server::Grpc;
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstCodec;

use super::ask::{AskError, Parts, Wanted};
use super::tensor::{Tensor, TensorError, Values};
use super::warnings::{WARNINGS, warnings};
use super::{EXTENSIONS, Refused, Target, binary, deadline, describe, reply, repository, statistics};
use crate::app::App;
use crate::caller::Caller;
use crate::connection::QUICK;
use crate::handover::hand_over;
use crate::routes::{Need, Routes};
use crate::trail;
use messages::{
    ChangeRequest, Choice, ConfigPort, ConfigResponse, Contents, Empty, IndexRequest, IndexResponse,
    IndexedModel, InferRequest, InferResponse, InferStatistics, Live, ModelConfig, ModelMetadata, ModelName,
    ModelStatistics, Parameter, Ready, ServerMetadata, Stat, StatisticsResponse, StreamResponse,
    TensorMetadata,
};
use unary::unary;

/// How long a stream may last at most.
const STREAM: Duration = Duration::from_secs(24 * 3_600);
/// How long no message may come over it.
const QUIET: Duration = Duration::from_secs(300);

/// Where the methods of the service lie.
pub(crate) const SERVICE: &str = "/inference.GRPCInferenceService/";

pub(super) fn routes(routes: &mut Routes) {
    let mut add = |method: &str| format!("{SERVICE}{method}");
    let [live, ready, server, model_ready, model] =
        ["ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata"].map(&mut add);
    let [infer, stream, config, counted] =
        ["ModelInfer", "ModelStreamInfer", "ModelConfig", "ModelStatistics"].map(&mut add);
    let [index, load, unload] =
        ["RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"].map(&mut add);
    routes
        .add(Method::POST, &live, Need::Open, server_live)
        .add(Method::POST, &ready, Need::Open, server_ready)
        .add(Method::POST, &server, Need::Open, server_metadata)
        .post(&model_ready, Need::Read, ready_model)
        .post(&model, Need::Read, model_metadata)
        .post(&infer, Need::Read, model_infer)
        .post(&stream, Need::Read, model_stream_infer)
        .post(&config, Need::Read, model_config)
        .post(&counted, Need::Read, model_statistics)
        .post(&index, Need::Read, repository_index)
        .post(&load, Need::Approve, repository_load)
        .post(&unload, Need::Approve, repository_unload);
}

/// A refusal before any method has seen the request.
pub(crate) fn refuse(status: StatusCode, message: &str) -> Response {
    let code = match status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Code::Unimplemented,
        status => code_of(status),
    };
    unary::failed(&Status::new(code, message))
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        Self::new(code_of(refused.status), refused.message)
    }
}

/// What a status of HTTP is to gRPC.
fn code_of(status: StatusCode) -> Code {
    match status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::PAYLOAD_TOO_LARGE => Code::ResourceExhausted,
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Code::DeadlineExceeded,
        status if status.is_server_error() => Code::Internal,
        _ => Code::InvalidArgument,
    }
}

fn invalid(error: impl ToString) -> Status {
    Status::invalid_argument(error.to_string())
}

async fn server_live(request: Request<Body>) -> Response {
    unary(request, async |_: Empty| Ok(Live { live: true })).await
}

async fn server_ready(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    unary(request, async |_: Empty| Ok(Ready { ready: super::is_ready(&app) })).await
}

async fn server_metadata(request: Request<Body>) -> Response {
    let metadata = ServerMetadata {
        name: "gyre".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        extensions: EXTENSIONS.map(str::to_owned).to_vec(),
    };
    unary(request, async |_: Empty| Ok(metadata)).await
}

/// The model, and the version when one is named.
fn target(model: String, version: &str) -> Result<Target, Status> {
    let version = match version {
        "" => None,
        version => Some(version.parse::<Version>().map_err(|_| {
            let found: String = version.chars().take(40).collect();
            Status::not_found(format!("`{found}` is not a version: versions are whole numbers from 1"))
        })?),
    };
    Ok(Target { model, version })
}

async fn ready_model(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    unary(request, async |asked: ModelName| {
        let target = target(asked.name, &asked.version)?;
        Ok(Ready { ready: describe::check_up(&app, &target).is_ok() })
    })
    .await
}

async fn model_metadata(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let tensor = |port: describe::Port<'_>| TensorMetadata {
        name: port.name.to_owned(),
        datatype: port.datatype.to_owned(),
        shape: port.shape(),
    };
    unary(request, async |asked: ModelName| {
        let target = target(asked.name, &asked.version)?;
        let describe::Shown { versions, signature, .. } = describe::shown(&app, &target)?;
        Ok(ModelMetadata {
            name: target.model,
            versions: versions.iter().map(ToString::to_string).collect(),
            platform: "gyre".to_owned(),
            inputs: describe::inputs(&signature).map(tensor).collect(),
            outputs: describe::outputs(&signature).map(tensor).collect(),
        })
    })
    .await
}

async fn model_config(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let kind = |port: &describe::Port<'_>| if port.datatype == "BYTES" { 13 } else { 12 };
    unary(request, async |asked: ModelName| {
        let target = target(asked.name, &asked.version)?;
        let describe::Shown { signature, .. } = describe::shown(&app, &target)?;
        let input = describe::inputs(&signature).map(|port| ConfigPort {
            name: port.name.to_owned(),
            data_type: kind(&port),
            input_dims: port.shape(),
            output_dims: Vec::new(),
        });
        let output = describe::outputs(&signature).map(|port| ConfigPort {
            name: port.name.to_owned(),
            data_type: kind(&port),
            input_dims: Vec::new(),
            output_dims: port.shape(),
        });
        let config = ModelConfig {
            name: target.model,
            platform: "gyre".to_owned(),
            input: input.collect(),
            output: output.collect(),
            backend: "gyre".to_owned(),
        };
        Ok(ConfigResponse { config: Some(config) })
    })
    .await
}

async fn model_statistics(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let one = |counted: statistics::Counted| {
        let statistics::Counted { model, version, totals } = counted;
        ModelStatistics {
            name: model,
            version: version.to_string(),
            last_inference: totals.last.map_or(0, |last| u64::try_from(last.as_millis()).unwrap_or(0)),
            inference_count: totals.rows,
            execution_count: totals.calls(),
            inference_stats: Some(InferStatistics {
                success: Some(Stat { count: totals.succeeded, ns: nanos(totals.succeeded_time) }),
                fail: Some(Stat { count: totals.failed, ns: nanos(totals.failed_time) }),
                queue: Some(Stat { count: totals.waited.requests, ns: nanos(totals.waited.time) }),
                compute_infer: Some(Stat { count: totals.calls(), ns: nanos(totals.worked()) }),
            }),
        }
    };
    unary(request, async |asked: ModelName| {
        let counted = if asked.name.is_empty() {
            statistics::all(&app)
        } else {
            statistics::of(&app, &target(asked.name, &asked.version)?)?
        };
        Ok(StatisticsResponse { model_stats: counted.into_iter().map(one).collect() })
    })
    .await
}

async fn repository_index(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let one = |model: repository::Indexed| IndexedModel {
        name: model.name,
        version: model.version.map_or(String::new(), |version| version.to_string()),
        state: if model.ready { "READY" } else { "UNAVAILABLE" }.to_owned(),
        reason: model.reason.to_owned(),
    };
    unary(request, async |asked: IndexRequest| {
        let models = repository::list(&app, asked.ready).into_iter().map(one).collect();
        Ok(IndexResponse { models })
    })
    .await
}

async fn repository_load(State(app): State<Arc<App>>, caller: Caller, request: Request<Body>) -> Response {
    unary(request, async |asked: ChangeRequest| {
        repository::check_parameters(asked.parameters.keys())?;
        repository::change(&app, asked.model_name, move |desk, model| desk.load(model, &caller.actor))
            .await?;
        Ok(Empty {})
    })
    .await
}

async fn repository_unload(State(app): State<Arc<App>>, caller: Caller, request: Request<Body>) -> Response {
    unary(request, async |asked: ChangeRequest| {
        let unload = move |desk: &gyre_loop::Desk, model: &_| desk.unload(model, &caller.actor).map(drop);
        repository::change(&app, asked.model_name, unload).await?;
        Ok(Empty {})
    })
    .await
}

async fn model_infer(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let deadline = deadline::of(request.headers()).map_err(invalid);
    unary(request, async |asked: InferRequest| infer_somewhere(app, asked, deadline?).await).await
}

/// Many rows keep no other connection waiting.
async fn infer_somewhere(
    app: Arc<App>,
    asked: InferRequest,
    deadline: Instant,
) -> Result<InferResponse, Status> {
    match app.shared.clone() {
        Some(shared) if asked.encoded_len() > QUICK => {
            hand_over(&shared, async move { infer(&app, asked, deadline).await }).await
        }
        _ => infer(&app, asked, deadline).await,
    }
}

/// Answers every message of a stream with one, in their order; what is wrong with one of them is said in its answer. A stream
/// ends when its client says so, when the time is over that the client gave it, and when no message has come for
/// [`QUIET`].
async fn model_stream_infer(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let end = match deadline::given(request.headers()) {
        Ok(given) => Instant::now() + given.unwrap_or(STREAM).min(STREAM),
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error),
    };
    let service = tower::service_fn(move |request: tonic::Request<Streaming<InferRequest>>| {
        let app = Arc::clone(&app);
        let one = move |asked: Result<InferRequest, Status>| {
            let app = Arc::clone(&app);
            async move {
                Ok(match infer_somewhere(app, asked?, Instant::now() + PATIENCE).await {
                    Ok(response) => {
                        StreamResponse { error_message: String::new(), infer_response: Some(response) }
                    }
                    Err(status) => {
                        StreamResponse { error_message: status.message().to_owned(), infer_response: None }
                    }
                })
            }
        };
        let answers: BoxStream<'static, Result<StreamResponse, Status>> =
            until(end, request.into_inner()).then(one).boxed();
        std::future::ready(Ok::<_, Status>(tonic::Response::new(answers)))
    });
    let codec = ProstCodec::<StreamResponse, InferRequest>::default();
    let mut grpc = Grpc::new(codec).max_decoding_message_size(super::LIMIT);
    grpc.streaming(service, request).await.map(Body::new)
}

/// What comes until `end`, and never later than [`QUIET`] after what came before it.
fn until(
    end: Instant,
    asked: Streaming<InferRequest>,
) -> impl Stream<Item = Result<InferRequest, Status>> + Send + 'static {
    stream::unfold(Some(asked), move |open| async move {
        let mut asked = open?;
        let quiet = Instant::now() + QUIET;
        match tokio::time::timeout_at(quiet.min(end), asked.next()).await {
            Ok(message) => message.map(|message| (message, Some(asked))),
            Err(_) if quiet < end => {
                let told = format!("no message came for {} s; begin another stream", QUIET.as_secs());
                Some((Err(Status::deadline_exceeded(told)), None))
            }
            Err(_) => {
                let told = "the time of this stream is over; begin another one";
                Some((Err(Status::deadline_exceeded(told)), None))
            }
        }
    })
}

async fn infer(app: &App, asked: InferRequest, deadline: Instant) -> Result<InferResponse, Status> {
    let target = target(asked.model_name, &asked.model_version)?;
    let raw = asked.raw_input_contents;
    if !raw.is_empty() && raw.len() != asked.inputs.len() {
        let (found, expected) = (raw.len(), asked.inputs.len());
        return Err(invalid(format!(
            "raw_input_contents has {found} entries for {expected} inputs; send one for each input, or none"
        )));
    }
    let mut raw = raw.into_iter();
    let tensors = asked.inputs.into_iter().map(|input| tensor(input, raw.next()));
    let text = |name: &str| asked.parameters.get(name).and_then(Parameter::as_text);
    let wanted = asked.outputs.into_iter().map(|output| match output.parameters.get("classification") {
        Some(Parameter { choice: Some(Choice::Int64(count)) }) if *count > 0 => {
            Err(AskError::Classification(output.name))
        }
        _ => Ok((output.name, true)),
    });
    let parts = Parts {
        // A text that is not there is empty here.
        id: Some(asked.id).filter(|id| !id.is_empty()).map(Cow::Owned),
        event_time: text("event_time").map(Cow::Borrowed),
        key: text("key").map(Cow::Borrowed),
        tensors: tensors.collect::<Result<_, _>>().map_err(invalid)?,
        wanted: Wanted { named: wanted.collect::<Result<_, _>>().map_err(invalid)?, binary: true },
    };
    let ports = || app.gateway.ports(&target.model, target.version);
    let mut prepared = parts.prepare(|| app.clock.now(), ports).map_err(invalid)?;
    // What a rule calls a header is a parameter of the request here.
    prepared.request.headers = app.gateway.headers(&target.model, text);
    super::check_outputs(app, &target.model, &prepared.wanted)?;
    let rows = prepared.request.ids.len();
    let asked = app.gateway.ask(&target.model, target.version, prepared.request, deadline);
    let answers = trail::noting(&target.model, rows, asked).await.map_err(Refused::from)?;
    let version = answers.first().map_or(0, |answer| answer.version);
    let signature = app.gateway.signature(&target.model, version);
    let (mut outputs, mut contents) = (Vec::new(), Vec::new());
    for output in reply::outputs(&answers, signature.as_deref(), &prepared.wanted) {
        let mut bytes = Vec::new();
        binary::write(&output.cells, &mut bytes);
        contents.push(bytes.into());
        outputs.push(messages::Tensor {
            name: output.name.to_owned(),
            datatype: output.datatype.name().to_owned(),
            shape: output.shape.lengths().iter().map(|length| *length as i64).collect(),
            ..messages::Tensor::default()
        });
    }
    let route = ("gyre-route".to_owned(), Parameter::text(reply::route(&answers)));
    let warned = warnings(&answers.odd).map(|odd| (WARNINGS.to_owned(), Parameter::text(odd)));
    Ok(InferResponse {
        model_name: target.model,
        model_version: reply::versions(&answers),
        id: prepared.id,
        parameters: [route].into_iter().chain(warned).collect(),
        outputs,
        raw_output_contents: contents,
    })
}

/// An input with its elements, from the field of its datatype or from `raw`.
fn tensor(input: messages::Tensor, raw: Option<bytes::Bytes>) -> Result<Tensor<'static>, TensorError> {
    let messages::Tensor { name, datatype, shape, parameters, contents } = input;
    let datatype = Datatype::named(&datatype)
        .map_err(|unknown| TensorError::Datatype { name: name.clone(), unknown })?;
    let problem = |problem: String| TensorError::Raw { name: name.clone(), problem };
    let values = match (contents, raw) {
        (Some(_), Some(_)) => {
            return Err(problem(
                "it has contents, and there are raw_input_contents too; send either".to_owned(),
            ));
        }
        (None, Some(raw)) => gyre_wire::read(datatype, &raw).map(Values::of),
        (contents, None) => elements(datatype, contents.unwrap_or_default()),
    };
    let values = values.map_err(problem)?;
    // A negative length becomes one that nothing has.
    let shape = shape.into_iter().map(|length| u64::try_from(length).unwrap_or(u64::MAX)).collect();
    let role = parameters.get("role").and_then(Parameter::as_text).map(|role| Cow::Owned(role.to_owned()));
    let mut tensor = Tensor::new(name.into(), datatype, shape, values)?;
    tensor.role = role;
    Ok(tensor)
}

fn elements(datatype: Datatype, contents: Contents) -> Result<Values, String> {
    let numbers = match datatype {
        Datatype::Bool => contents.bools.into_iter().map(|truth| f64::from(u8::from(truth))).collect(),
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => {
            contents.ints.into_iter().map(f64::from).collect()
        }
        Datatype::Int64 => contents.int64s.into_iter().map(|number| number as f64).collect(),
        Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 => {
            contents.uints.into_iter().map(f64::from).collect()
        }
        Datatype::Uint64 => contents.uint64s.into_iter().map(|number| number as f64).collect(),
        Datatype::Fp32 => contents.fp32s.into_iter().map(f64::from).collect(),
        Datatype::Fp64 => contents.fp64s,
        Datatype::Fp16 | Datatype::Bf16 => {
            return Err(format!(
                "{} has no contents of its own; send it in raw_input_contents",
                datatype.name()
            ));
        }
        Datatype::Bytes => {
            let text = |(at, bytes): (usize, Vec<u8>)| match String::from_utf8(bytes) {
                Ok(text) => Ok(Some(text.into())),
                Err(_) => Err(format!("element {at} is not UTF-8 text")),
            };
            let texts = contents.bytes.into_iter().enumerate().map(text);
            return Ok(Values::Texts(texts.collect::<Result<_, _>>()?));
        }
    };
    Ok(Values::numbers(numbers))
}
