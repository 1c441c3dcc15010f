//! One connection: its encryption, the version of HTTP that it speaks, and its requests one after the other.
//!
//! A client is bounded in all that it could do by doing nothing: a time for the handshake and one for the head of a request,
//! one for reading an answer ([`crate::stall`]), and for each body one in [`crate::payload`]. Handshakes cost a
//! signature each, so only so many are made at once.

mod leftover;
mod told;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, Version, header};
use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use leftover::Leftover;

use crate::app::App;
use crate::guard::Names;
use crate::handover::hand_over;
use crate::inference::grpc::SERVICE;
use crate::places::{AtWork, Seat};
use crate::provenance::watch::Peer;
use crate::stall::Stalling;
use crate::telemetry::context;
use crate::tls::Tls;
use crate::{door, guard, headers, mlflow, routes, workers};

/// How long the head of a request may take, and a connection may be idle between two.
const HEAD: Duration = Duration::from_secs(15);
/// How long a client may read nothing of an answer that is on its way.
const STALL: Duration = Duration::from_secs(60);
/// How long the handshake of TLS may take, with the wait for its turn.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at a time.
const HANDSHAKES: usize = 128;
/// The longest head of a request of HTTP/1, and the buffers of its connection, in bytes.
const BUFFER: usize = 64 << 10;
/// Requests at a time on a connection of HTTP/2.
const STREAMS: u32 = 256;
/// The longest headers of a request of HTTP/2, in bytes.
const HEADERS: u32 = 16 << 10;
/// How often it is asked whether the other end of a connection of HTTP/2 is still there, and how long it may take to say so.
const ALIVE: Duration = Duration::from_secs(30);
const ANSWERS: Duration = Duration::from_secs(20);
/// Requests that a client may take back before they were looked at, and that may be refused, until its connection of HTTP/2
/// is closed: taking back costs it nothing (CVE-2023-44487, RUSTSEC-2024-0003).
const TAKEN_BACK: usize = 20;
const REFUSED: usize = 1_024;
/// The longest body of a prediction that takes microseconds, in bytes: a hundred rows or so.
pub(crate) const QUICK: usize = 16 << 10;
/// Pause while a client has sent a part of its first words.
const PAUSE: Duration = Duration::from_millis(50);
/// The first byte of TLS: a record of the handshake (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// What is said to who speaks plain text where TLS is spoken.
const SAY_HTTPS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\
    content-length: 71\r\n\r\nthis port speaks TLS: ask for the same with https:// instead of http://";

/// The target of the events that tell of requests.
pub const ACCESS: &str = "gyre_server::access";

/// What every request passes.
pub(crate) struct Entrance {
    pub(crate) app: Arc<App>,
    pub(crate) names: Names,
    pub(crate) router: Router,
    handshakes: Semaphore,
}

impl Entrance {
    pub(crate) fn new(app: Arc<App>, names: Names) -> Self {
        let router = routes::router(Arc::clone(&app));
        Self { app, names, router, handshakes: Semaphore::new(HANDSHAKES) }
    }
}

/// An accepted connection.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) seat: Arc<Seat>,
    pub(crate) entrance: Arc<Entrance>,
    pub(crate) watcher: Watcher,
}

impl Connection {
    /// Serves it until the client goes, or has to; until it has said its first word, also no longer than the server is
    /// there.
    pub(crate) async fn serve(self, mut closing: tokio::sync::watch::Receiver<()>) {
        let seat = Arc::clone(&self.seat);
        tokio::select! {
            () = self.greet(&mut closing) => {}
            () = seat.leaves() => {}
        }
    }

    async fn greet(self, closing: &mut tokio::sync::watch::Receiver<()>) {
        let Self { stream, peer, seat, entrance, watcher } = self;
        let local = entrance.app.watch.as_ref().and_then(|_| stream.local_addr().ok());
        let watched = local.map(|local| Arc::new(Peer::new(peer, local)));
        let guest = Guest { peer, watched, seat, entrance, host: guard::Known::new() };
        let tls = guest.entrance.app.front.tls.clone();
        let beginning = async {
            match &tls {
                None => {
                    let version = tokio::time::timeout(HEAD, speaks(&stream)).await.ok()??;
                    Some((Wire::Plain(stream), version))
                }
                Some(tls) => {
                    let encrypted = encrypt(stream, tls, &guest.entrance.handshakes);
                    let stream = tokio::time::timeout(HANDSHAKE, encrypted).await.ok()??;
                    let version = match stream.get_ref().1.alpn_protocol() {
                        Some(b"h2") => Version::HTTP_2,
                        _ => Version::HTTP_11,
                    };
                    Some((Wire::Tls(Box::new(stream)), version))
                }
            }
        };
        let begun = tokio::select! {
            begun = beginning => begun,
            // Who has not said a word is not waited for.
            _ = closing.changed() => None,
        };
        // A connection that breaks is the client's affair; nobody is left to be told.
        let _ = match begun {
            None => Ok(()),
            Some((Wire::Plain(stream), version)) => converse(stream, version, guest, watcher).await,
            Some((Wire::Tls(stream), version)) => converse(stream, version, guest, watcher).await,
        };
    }
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

/// Who is at the other end.
struct Guest {
    peer: SocketAddr,
    watched: Option<Arc<Peer>>,
    seat: Arc<Seat>,
    entrance: Arc<Entrance>,
    /// The name under which the client asks.
    host: guard::Known,
}

/// Makes the handshake; none when that fails, and when the client speaks plain text, which it is told.
async fn encrypt(
    mut stream: TcpStream,
    tls: &Tls,
    handshakes: &Semaphore,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let mut first = [0];
    if stream.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    if first != [HANDSHAKE_RECORD] {
        // What was sent is taken in, or closing the connection would take back the answer too.
        let mut request = vec![0; BUFFER];
        if stream.read(&mut request).await.ok()? == 0 {
            return None;
        }
        stream.write_all(SAY_HTTPS).await.ok()?;
        stream.shutdown().await.ok()?;
        return None;
    }
    let _turn = handshakes.acquire().await.ok()?;
    TlsAcceptor::from(tls.config()).accept(stream).await.ok()
}

/// Speaks with a client until it goes, in the version of HTTP that it begins with.
async fn converse<S>(stream: S, version: Version, guest: Guest, watcher: Watcher) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let guest = Arc::new(guest);
    let service = service_fn(move |request| answer(Arc::clone(&guest), request));
    let stream = TokioIo::new(Stalling::new(stream, STALL));
    if version == Version::HTTP_2 {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEADERS)
            .max_pending_accept_reset_streams(TAKEN_BACK)
            .max_local_error_reset_streams(REFUSED)
            .keep_alive_interval(ALIVE)
            .keep_alive_timeout(ANSWERS)
            .serve_connection(stream, service);
        return watcher.watch(connection).await;
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(64)
        .max_header_size(BUFFER)
        .serve_connection(stream, service);
    watcher.watch(connection).await
}

/// The version of HTTP that a client begins to speak; none when it goes without a word. HTTP/2 begins with words of its
/// own (RFC 9113, section 3.4), which no request of HTTP/1 begins with.
async fn speaks(stream: &TcpStream) -> Option<Version> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0";
    let mut first = [0; PREFACE.len()];
    let mut before = 0;
    loop {
        let read = stream.peek(&mut first).await.ok().filter(|read| *read > 0)?;
        let seen = first.get(..read)?;
        if !PREFACE.starts_with(seen) {
            return Some(Version::HTTP_11);
        }
        if read == PREFACE.len() {
            return Some(Version::HTTP_2);
        }
        if read == before {
            // What is there stays readable, so the socket would not be waited for.
            tokio::time::sleep(PAUSE).await;
        }
        before = read;
    }
}

async fn answer(guest: Arc<Guest>, mut request: Request<Incoming>) -> Result<Response<Held>, Infallible> {
    let Some(work) = guest.seat.work() else {
        // The connection is being closed to make room, as if the request had come a moment later.
        return std::future::pending().await;
    };
    if let Some(inner) = mlflow::below(request.uri()) {
        *request.uri_mut() = inner;
    }
    if request.version() == Version::HTTP_2 && !request.headers().contains_key(header::HOST) {
        // HTTP/2 says it in `:authority` (RFC 9113, section 8.3.1).
        let host = request.uri().authority().and_then(|host| HeaderValue::try_from(host.as_str()).ok());
        host.and_then(|host| request.headers_mut().insert(header::HOST, host));
    }
    let who = Arc::as_ptr(&guest).addr();
    let app = Arc::clone(&guest.entrance.app);
    let response = match &app.shared {
        Some(shared) if !is_quick(&request) => hand_over(shared, respond(guest, request)).await?,
        _ => {
            let response = respond(guest, request).await?;
            workers::answered(who);
            response
        }
    };
    Ok(response.map(|body| Held { body, _work: work }))
}

/// Whether a request takes microseconds: a prediction of some rows. Messages of gRPC do not say how long they are; those that
/// are long go on elsewhere once they are read.
fn is_quick(request: &Request<Incoming>) -> bool {
    let path = request.uri().path();
    let predicts = path.ends_with("/infer") || path.ends_with("/invocations");
    let is_short = request.body().size_hint().upper().is_some_and(|size| size <= QUICK as u64);
    (predicts && is_short) || path.starts_with(SERVICE)
}

async fn respond(guest: Arc<Guest>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let app = &guest.entrance.app;
    if app.tells || app.telemetry.is_some() {
        told::answer(&guest, request).await
    } else if let Some(parent) = request.headers().get(context::TRACEPARENT).cloned() {
        // Whoever the models are asked for is passed on as it is.
        gyre_backend::context::within(parent, route(&guest, request)).await
    } else {
        route(&guest, request).await
    }
}

/// From the door to a route and back.
async fn route(guest: &Guest, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let entrance = &guest.entrance;
    let (mut request, leftover) = Leftover::of(request);
    let (method, path) = (request.method(), request.uri().path());
    let fit = guard::check(&entrance.names, &guest.host, method, request.uri(), request.headers());
    let mut response = match fit {
        Err(turned) => {
            let refused = routes::refuse(path, turned.status(), &turned.to_string());
            drop(request);
            refused
        }
        Ok(()) => {
            let caller = door::caller(&entrance.app, guest.peer, method, request.headers()).await;
            request.extensions_mut().insert(caller);
            if let Some(watched) = &guest.watched {
                request.extensions_mut().insert(Arc::clone(watched));
            }
            entrance.router.clone().oneshot(request).await?
        }
    };
    if let Some(leftover) = leftover {
        leftover.clear(&mut response).await;
    }
    headers::keep_in_place(response.headers_mut(), &entrance.app.front);
    Ok(response)
}

/// The body of an answer. Until it is gone its connection is at work.
struct Held {
    body: Body,
    _work: AtWork,
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
