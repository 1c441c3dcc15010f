//! The socket: binding, connections, and going down without dropping anybody.
//!
//! A request passes [`guard`] before any route sees it. Slow clients are bounded by the number of connections, by a time
//! for the head and, in `payload`, one for the body. On shutdown the listener closes first; connections finish the
//! request that they are at, within [`DRAIN`].

use std::convert::Infallible;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::{App, guard, routes};

/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(15);
/// How long requests may take to finish once the server goes down.
const DRAIN: Duration = Duration::from_secs(10);
/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 1_024;
/// Pause after a failed accept (out of file descriptors, say), so as not to spin.
const RECOVER: Duration = Duration::from_millis(50);

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address that others can reach.
    #[error(
        "{0} can be reached from other machines, and this version of gyre has no authentication: everybody there could \
         promote models and read data. Listen on 127.0.0.1 (or [::1]), and let a proxy that authenticates, or an SSH \
         tunnel, stand in front of it"
    )]
    NotLoopback(SocketAddr),
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
    listener: TcpListener,
    local: SocketAddr,
}

impl Server {
    /// Takes hold of `listen`; port 0 is any that is free. Connections wait until [`Server::run`].
    ///
    /// # Errors
    /// [`ServeError::NotLoopback`] for an address that other machines can reach, [`ServeError::Bind`].
    pub fn bind(listen: SocketAddr) -> Result<Self, ServeError> {
        if !listen.ip().is_loopback() {
            return Err(ServeError::NotLoopback(listen));
        }
        let refused = |error| ServeError::Bind { address: listen, error };
        let listener = TcpListener::bind(listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let local = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, local })
    }

    /// The address that it listens on, with its port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves `app` until `shutdown` is over, then lets requests finish, for at most ten seconds.
    ///
    /// # Errors
    /// [`ServeError::Socket`] when the listener cannot be used.
    pub async fn run(self, app: App, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let router = routes::router(Arc::new(app));
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS));
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
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(RECOVER).await;
                continue;
            };
            // Answers are written whole; waiting to fill a packet would only delay them.
            if stream.set_nodelay(true).is_err() {
                continue;
            }
            let router = router.clone();
            let service = service_fn(move |request| answer(router.clone(), request));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_headers(64)
                .serve_connection(TokioIo::new(stream), service);
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                // A connection that breaks is the client's affair; nobody is left to be told.
                let _ = connection.await;
                drop(place);
            });
        }
        drop(listener);
        // What is not done by then is cut off.
        let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
        Ok(())
    }
}

async fn answer(router: Router, request: Request<Incoming>) -> Result<Response, Infallible> {
    if let Err(turned) = guard::check(request.method(), request.uri(), request.headers()) {
        return Ok(routes::refuse(request.uri().path(), turned.status(), &turned.to_string()));
    }
    router.oneshot(request.map(Body::new)).await
}
