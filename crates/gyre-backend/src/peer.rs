//! A model's server as somebody to talk to over HTTP/1.1: connections that are kept, deadlines, answers of bounded size.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::context::TRACEPARENT;
use crate::dial::Dialer;
use crate::error::{AnswerError, BackendError};
use crate::pool::{Line, Pool};
use crate::wire::Outgoing;
use gyre_wire::HEADER_LENGTH;

/// Headers that belong to one connection, not to what goes over it (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Credentials for us, which are nobody else's affair.
const OURS: [&str; 2] = ["authorization", "cookie"];

/// A body on its way to a model's server.
pub(crate) type Sent = Either<Full<Bytes>, UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>>;

/// A server that can be asked.
pub(crate) struct Peer {
    pool: Pool,
    host: HeaderValue,
    /// What goes in front of the protocol's paths.
    prefix: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    is_remote: bool,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Peer {
    /// The server at `base`, reached by `dialer`, with `headers` in each request.
    pub(crate) fn new(dialer: Dialer, base: &Uri, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        let is_remote = matches!(dialer, Dialer::Remote(_));
        let prefix = base.path().trim_end_matches('/').to_owned();
        let host = base.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        let host = host.unwrap_or(HeaderValue::from_static("localhost"));
        Self { pool: Pool::new(dialer), host, prefix, headers, is_remote }
    }

    /// Whether it is not a process of ours.
    pub(crate) fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// Asks for predictions. A request is sent again once when the server closed the connection without an answer: it may
    /// have done so just as the request was on its way, and a prediction can be asked for twice.
    pub(crate) async fn post(
        &self,
        outgoing: &Outgoing,
        parent: Option<&HeaderValue>,
        limit: usize,
        deadline: Instant,
    ) -> Result<Reply, BackendError> {
        let request = || {
            let mut request = Request::new(Either::Left(Full::new(outgoing.body.clone())));
            *request.method_mut() = Method::POST;
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(outgoing.content_type));
            if let Some(length) = outgoing.header {
                request
                    .headers_mut()
                    .insert(HeaderName::from_static(HEADER_LENGTH), HeaderValue::from(length));
            }
            if let Some(parent) = parent {
                request.headers_mut().insert(TRACEPARENT, parent.clone());
            }
            request
        };
        match self.whole(request(), &outgoing.path, limit, deadline).await {
            Err(BackendError::Lost(_)) => self.whole(request(), &outgoing.path, limit, deadline).await,
            reply => reply,
        }
    }

    /// Asks for what is at `path`.
    pub(crate) async fn get(
        &self,
        path: &str,
        limit: usize,
        deadline: Instant,
    ) -> Result<Reply, BackendError> {
        self.whole(Request::new(Either::Left(Full::default())), path, limit, deadline).await
    }

    /// Sends a request and reads the whole answer, up to `limit` bytes.
    async fn whole(
        &self,
        request: Request<Sent>,
        path: &str,
        limit: usize,
        deadline: Instant,
    ) -> Result<Reply, BackendError> {
        let reply = async {
            let (response, line) = self.send(request, path).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, limit).collect().await.map_err(|error| {
                match error.downcast_ref::<LengthLimitError>() {
                    Some(_) => BackendError::Answer(AnswerError::TooLarge { limit }),
                    None => BackendError::Lost(error.to_string()),
                }
            })?;
            self.pool.give_back(line);
            Ok(Reply { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        let late = BackendError::Deadline { while_: "while the model was answering" };
        timeout_at(deadline, reply).await.unwrap_or(Err(late))
    }

    /// Passes a caller's request on, without what belongs to the caller's connection or to us.
    pub(crate) async fn pass(
        &self,
        mut request: Request<Sent>,
        deadline: Instant,
    ) -> Result<(Response<Incoming>, Line), BackendError> {
        let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
        without_hops(request.headers_mut());
        for name in OURS {
            request.headers_mut().remove(name);
        }
        *request.version_mut() = http::Version::HTTP_11;
        let late = BackendError::Deadline { while_: "while the model was answering" };
        let (mut response, line) =
            timeout_at(deadline, self.send(request, &path)).await.unwrap_or(Err(late))?;
        without_hops(response.headers_mut());
        Ok((response, line))
    }

    /// Takes a connection back whose answer has been read to its end.
    pub(crate) fn give_back(&self, line: Line) {
        self.pool.give_back(line);
    }

    async fn send(
        &self,
        mut request: Request<Sent>,
        path: &str,
    ) -> Result<(Response<Incoming>, Line), BackendError> {
        let path = format!("{}{path}", self.prefix).parse();
        *request.uri_mut() =
            path.map_err(|error| BackendError::Input(format!("the path cannot be sent: {error}")))?;
        request.headers_mut().insert(HOST, self.host.clone());
        for (name, value) in &self.headers {
            request.headers_mut().insert(name, value.clone());
        }
        self.pool.send(request).await
    }
}

fn without_hops(headers: &mut HeaderMap) {
    // `Connection` names further headers of its kind.
    let named: Vec<HeaderName> = headers
        .get_all(http::header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// What a caller may send.
pub(crate) fn sent<B>(body: B) -> Sent
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    Either::Right(body.map_err(Into::into).boxed_unsync())
}

/// The address of a process of ours, as far as HTTP must see one.
pub(crate) fn local(dialer: Dialer) -> Arc<Peer> {
    Arc::new(Peer::new(dialer, &Uri::from_static("http://localhost"), Vec::new()))
}
