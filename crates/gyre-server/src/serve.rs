//! The socket: binding, connections, and going down without dropping anybody.
//!
//! A request passes [`guard`] and [`door`] before any route sees it. Slow clients are bounded by the number of connections, by a time
//! for the head and, in `payload`, one for the body. On shutdown the listener closes first; connections finish the
//! request that they are at, within [`DRAIN`].

use std::convert::Infallible;
use std::future::Future;
use std::net::{SocketAddr, TcpListener as Listener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Version, header};
use axum::response::Response;
use gyre_core::Span;
use gyre_store::StoreError;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::front::Front;
use crate::guard::Names;
use crate::messenger::Messenger;
use crate::provenance::watch::Peer;
use crate::stall::Stalling;
use crate::{App, door, guard, headers, mlflow, routes};

/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(15);
/// How long a client may read nothing of an answer that is on its way.
const STALL: Duration = Duration::from_secs(60);
/// How long it is waited for news of the journal at a time: the end of the server waits no longer than that.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often artifacts that nobody refers to are deleted, and how long they are kept after the last reference.
const COLLECT: Duration = Duration::from_secs(3_600);
const GRACE: Span = Span::from_millis(24 * 3_600_000);
/// How long requests may take to finish once the server goes down.
const DRAIN: Duration = Duration::from_secs(10);
/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 1_024;
/// Requests at a time on a connection of HTTP/2.
const STREAMS: u32 = 256;
/// The longest headers of a request of HTTP/2, in bytes.
const HEADERS: u32 = 16 << 10;
/// How often it is asked whether the other end of a connection of HTTP/2 is still there.
const ALIVE: Duration = Duration::from_secs(30);
/// Pause after a failed accept (out of file descriptors, say), so as not to spin.
const RECOVER: Duration = Duration::from_millis(50);

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address that others can reach, without encryption.
    #[error(
        "{0} can be reached from other machines, and passwords and tokens would go there in plain text. Listen on \
         127.0.0.1 (or [::1]), or say how it is protected: --behind-proxy when a proxy in front speaks TLS, \
         --insecure-http when you trust the network"
    )]
    Exposed(SocketAddr),
    /// An address that asks for a login, and nobody who could.
    #[error(
        "{0} asks everybody to log in, and there is nobody who could: make a user (`gyre access user add NAME --role \
         admin`), or a token for one (`gyre access token create NAME`), or name an identity provider (--oidc-issuer)"
    )]
    Nobody(SocketAddr),
    /// Who may come in cannot be read.
    #[error("it cannot be read who may come in: {0}")]
    Store(#[from] StoreError),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {error}{}", remedy(.error))]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// The socket broke.
    #[error("the listening socket failed: {0}")]
    Socket(#[from] std::io::Error),
}

fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "; is gyre running already? Choose another port, or port 0 for any that is free"
        }
        std::io::ErrorKind::PermissionDenied => "; choose a port above 1023",
        _ => "",
    }
}

/// A server that holds its address.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    local: SocketAddr,
    front: Front,
}

impl Server {
    /// Takes hold of `listen`, a loopback address; port 0 is any that is free. Connections wait until [`Server::run`].
    ///
    /// # Errors
    /// [`ServeError::Exposed`] for an address that other machines can reach, [`ServeError::Bind`].
    pub fn bind(listen: SocketAddr) -> Result<Self, ServeError> {
        Self::bind_as(listen, Front::default())
    }

    /// The same, with `front`.
    ///
    /// # Errors
    /// [`ServeError::Exposed`] when credentials would be sent in plain text, [`ServeError::Bind`].
    pub fn bind_as(listen: SocketAddr, front: Front) -> Result<Self, ServeError> {
        if front.is_exposed(listen) {
            return Err(ServeError::Exposed(listen));
        }
        let refused = |error| ServeError::Bind { address: listen, error };
        let listener = Listener::bind(listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let local = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, local, front })
    }

    /// The address that it listens on, with its port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Says whether somebody could come in.
    ///
    /// # Errors
    /// [`ServeError::Nobody`] when a login is asked for and nobody could; [`ServeError::Store`].
    pub fn check(&self, app: &App) -> Result<(), ServeError> {
        app.gate.reload()?;
        let anybody = self.front.oidc.is_some() || app.gate.directory().anybody(app.clock.now());
        if self.front.asks(self.local) && !anybody {
            return Err(ServeError::Nobody(self.local));
        }
        Ok(())
    }

    /// Whatever has to be asked of the store before the first request.
    fn prepare(self, mut app: App) -> Result<Prepared, ServeError> {
        let seen = app.store.journal_size();
        self.check(&app)?;
        app.asks = self.front.asks(self.local);
        app.front = self.front;
        let app = Arc::new(app);
        let (store, egress, clock) =
            (Arc::clone(&app.store), Arc::clone(&app.egress), Arc::clone(&app.clock));
        let messenger = Messenger::start(store, egress, clock, app.pace)?;
        let names = Names { hosts: app.front.hosts.clone(), addresses: !self.local.ip().is_loopback() };
        Ok(Prepared { listener: self.listener, names, app, messenger, seen })
    }

    /// Serves `app` until `shutdown` is over, then lets requests finish, for at most ten seconds.
    ///
    /// # Errors
    /// What [`Server::check`] says; [`ServeError::Socket`] when the listener cannot be used.
    pub async fn run(self, app: App, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        // The store answers with blocking calls, which must not be made where requests are driven.
        let ready = tokio::task::spawn_blocking(move || self.prepare(app)).await;
        let Prepared { listener, names, app, messenger, seen } =
            ready.map_err(|_| ServeError::Socket(std::io::Error::other("the preparation broke off")))??;
        let listener = TcpListener::from_std(listener)?;
        let collecting = tokio::spawn(collect(Arc::clone(&app)));
        let following = app.store.on_postgres().then(|| tokio::spawn(follow(Arc::clone(&app), seen)));
        let entrance = Arc::new(Entrance { router: routes::router(Arc::clone(&app)), app, names });
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let (open, closing) = tokio::sync::watch::channel(());
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = async {
                // The semaphore is never closed.
                let place = Arc::clone(&places).acquire_owned().await;
                (listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                accepted = accepted => accepted,
                () = &mut shutdown => break,
            };
            let Ok((stream, peer)) = accepted else {
                tokio::time::sleep(RECOVER).await;
                continue;
            };
            // Answers are written whole; waiting to fill a packet would only delay them.
            if stream.set_nodelay(true).is_err() {
                continue;
            }
            let entrance = Arc::clone(&entrance);
            let (watcher, mut closing) = (graceful.watcher(), closing.clone());
            tokio::spawn(async move {
                let version = tokio::select! {
                    version = tokio::time::timeout(HEAD, speaks(&stream)) => version.ok().flatten(),
                    // Who has not said a word is not waited for.
                    _ = closing.changed() => None,
                };
                if let Some(version) = version {
                    // A connection that breaks is the client's affair; nobody is left to be told.
                    let _ = converse(stream, peer, version, entrance, watcher).await;
                }
                drop(place);
            });
        }
        drop((listener, open));
        collecting.abort();
        following.inspect(tokio::task::JoinHandle::abort);
        // What is not done by then is cut off.
        let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
        // May wait for a webhook that is just being told.
        let _ = tokio::task::spawn_blocking(move || drop(messenger)).await;
        Ok(())
    }
}

/// Speaks with a client until it goes, in the version of HTTP that it begins with.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    version: Version,
    entrance: Arc<Entrance>,
    watcher: Watcher,
) -> Result<(), hyper::Error> {
    let local = entrance.app.watch.as_ref().and_then(|_| stream.local_addr().ok());
    let watched = local.map(|local| Arc::new(Peer::new(peer, local)));
    let service = service_fn(move |request| answer(Arc::clone(&entrance), peer, watched.clone(), request));
    let stream = TokioIo::new(Stalling::new(stream, STALL));
    if version == Version::HTTP_2 {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEADERS)
            .keep_alive_interval(ALIVE)
            .serve_connection(stream, service);
        return watcher.watch(connection).await;
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(64)
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
            tokio::time::sleep(RECOVER).await;
        }
        before = read;
    }
}

/// What a server begins with.
struct Prepared {
    listener: Listener,
    names: Names,
    app: Arc<App>,
    messenger: Messenger,
    /// The journal's size before it was read who may come in.
    seen: u64,
}

/// Has what other processes on the same database change about access in force here, as soon as it is known here.
async fn follow(app: Arc<App>, mut seen: u64) {
    loop {
        let on = Arc::clone(&app);
        let caught_up = tokio::task::spawn_blocking(move || {
            on.store.wait_beyond(seen, PATIENCE);
            on.gate.catch_up(seen)
        });
        match caught_up.await {
            Ok(Ok(now)) => seen = now,
            // A database that does not answer now is asked again.
            Ok(Err(_)) => tokio::time::sleep(RECOVER).await,
            Err(_) => return,
        }
    }
}

/// Deletes artifacts that nobody refers to any more, now and then.
async fn collect(app: Arc<App>) {
    let mut every = tokio::time::interval(COLLECT);
    loop {
        every.tick().await;
        // What could not be deleted is tried again next time; whoever uploads is told of the same trouble.
        let _ = app.on_disk(|app| app.artifacts.collect(app.clock.now(), GRACE)).await;
    }
}

/// What every request passes.
struct Entrance {
    app: Arc<App>,
    names: Names,
    router: Router,
}

async fn answer(
    entrance: Arc<Entrance>,
    peer: SocketAddr,
    watched: Option<Arc<Peer>>,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible> {
    if let Some(inner) = mlflow::below(request.uri()) {
        *request.uri_mut() = inner;
    }
    if request.version() == Version::HTTP_2 && !request.headers().contains_key(header::HOST) {
        // HTTP/2 says it in `:authority` (RFC 9113, section 8.3.1).
        let host = request.uri().authority().and_then(|host| HeaderValue::try_from(host.as_str()).ok());
        host.and_then(|host| request.headers_mut().insert(header::HOST, host));
    }
    let (method, path) = (request.method(), request.uri().path());
    let mut response = match guard::check(&entrance.names, method, request.uri(), request.headers()) {
        Err(turned) => routes::refuse(path, turned.status(), &turned.to_string()),
        Ok(()) => {
            let caller = door::caller(&entrance.app, peer, method, request.headers()).await;
            request.extensions_mut().insert(caller);
            if let Some(watched) = watched {
                request.extensions_mut().insert(watched);
            }
            entrance.router.clone().oneshot(request.map(Body::new)).await?
        }
    };
    headers::keep_in_place(response.headers_mut(), &entrance.app.front);
    Ok(response)
}
