//! The socket: binding, accepting, and going down without dropping anybody.
//!
//! Each accepted connection takes one of a bounded number of [`places`]; what it may do is said in [`connection`]. On shutdown
//! the server first says that it is not ready any more, for as long as whoever balances loads needs to notice; then the
//! listener closes, and connections finish the request that they are at, within a bound of time ([`Drain`]).

use std::future::Future;
use std::net::{SocketAddr, TcpListener as Listener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use gyre_core::Span;
use gyre_store::StoreError;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tracing::{error, info, warn};

use crate::App;
use crate::connection::{Connection, Entrance};
use crate::front::Front;
use crate::guard::Names;
use crate::messenger::Messenger;
use crate::places::{self, Places};
use crate::tls::{Expiry, Renewal, Tls};
use crate::workers::Workers;

/// How long it is waited for news of the journal at a time: the end of the server waits no longer than that.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often artifacts that nobody refers to are deleted, and how long they are kept after the last reference.
const COLLECT: Duration = Duration::from_secs(3_600);
const GRACE: Span = Span::from_millis(24 * 3_600_000);
/// How often it is looked whether the certificate has changed.
const RENEW: Duration = Duration::from_secs(1);
/// Pause after a failed accept (out of file descriptors, say), so as not to spin.
const RECOVER: Duration = Duration::from_millis(50);

/// How the server goes down once it is asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// How long it goes on as before, but for saying that it is not ready: until whoever balances loads sends nothing more.
    pub delay: Duration,
    /// How long requests that are under way then may take to finish.
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay: Duration::ZERO, timeout: Duration::from_secs(10) }
    }
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address that others can reach, without encryption.
    #[error(
        "{0} can be reached from other machines, and passwords and tokens would go there in plain text. Listen on \
         127.0.0.1 (or [::1]), or say how it is protected: --tls-cert and --tls-key for TLS here, --behind-proxy when a \
         proxy in front speaks it, --insecure-http when you trust the network"
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
    drain: Drain,
    places: Arc<Places>,
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
        let (drain, places) = (Drain::default(), Places::new(places::most()));
        Ok(Self { listener, local, front, drain, places })
    }

    /// The same, going down in another way.
    #[must_use]
    pub fn draining(self, drain: Drain) -> Self {
        Self { drain, ..self }
    }

    /// The same with `most` connections at a time rather than as many as the system's limits suggest.
    #[must_use]
    pub fn with_connections(self, most: usize) -> Self {
        Self { places: Places::new(most.max(1)), ..self }
    }

    /// How many connections there may be at a time.
    pub fn connections(&self) -> usize {
        self.places.most()
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
        app.shared = Handle::try_current().ok();
        let app = Arc::new(app);
        let (store, egress, clock) =
            (Arc::clone(&app.store), Arc::clone(&app.egress), Arc::clone(&app.clock));
        let messenger = Messenger::start(store, egress, clock, app.pace)?;
        let names = Names { hosts: app.front.hosts.clone(), addresses: !self.local.ip().is_loopback() };
        Ok(Prepared { listener: self.listener, names, app, messenger, seen })
    }

    /// Serves `app` until `shutdown` is over, then lets requests finish, as [`Drain`] says.
    ///
    /// # Errors
    /// What [`Server::check`] says; [`ServeError::Socket`] when the listener cannot be used.
    pub async fn run(self, app: App, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let (drain, places) = (self.drain, Arc::clone(&self.places));
        // The store answers with blocking calls, which must not be made where requests are driven.
        let ready = tokio::task::spawn_blocking(move || self.prepare(app)).await;
        let Prepared { listener, names, app, messenger, seen } =
            ready.map_err(|_| ServeError::Socket(std::io::Error::other("the preparation broke off")))??;
        let listener = TcpListener::from_std(listener)?;
        let collecting = tokio::spawn(collect(Arc::clone(&app)));
        let following = app.store.on_postgres().then(|| tokio::spawn(follow(Arc::clone(&app), seen)));
        let renewing = app.front.tls.clone().map(|tls| tokio::spawn(renew(tls)));
        let mut hall = Hall {
            listener,
            places,
            entrance: Arc::new(Entrance::new(Arc::clone(&app), names)),
            graceful: GracefulShutdown::new(),
            open: tokio::sync::watch::Sender::new(()),
            workers: Workers::start()?,
        };
        tokio::select! {
            () = hall.receive() => {}
            () = shutdown => {}
        }
        app.draining.store(true, Ordering::Relaxed);
        info!(delay = ?drain.delay, timeout = ?drain.timeout, "going down: no longer ready");
        if !drain.delay.is_zero() {
            // The one who asked for the delay waits until it is over.
            let _ = tokio::time::timeout(drain.delay, hall.receive()).await;
        }
        let Hall { listener, graceful, open, workers, .. } = hall;
        drop((listener, open));
        collecting.abort();
        following.inspect(tokio::task::JoinHandle::abort);
        renewing.inspect(tokio::task::JoinHandle::abort);
        // What is not done by then is cut off.
        let _ = tokio::time::timeout(drain.timeout, graceful.shutdown()).await;
        // May wait for a webhook that is just being told.
        let ended = tokio::task::spawn_blocking(move || {
            workers.stop();
            drop(messenger);
        });
        let _ = ended.await;
        Ok(())
    }
}

/// Where connections come in.
struct Hall {
    listener: TcpListener,
    places: Arc<Places>,
    entrance: Arc<Entrance>,
    graceful: GracefulShutdown,
    /// Gone when the server closes.
    open: tokio::sync::watch::Sender<()>,
    workers: Workers,
}

impl Hall {
    /// Lets clients in, one after the other, without end.
    async fn receive(&mut self) {
        loop {
            match self.listener.accept().await {
                // Answers are written whole; waiting to fill a packet would only delay them.
                Ok((stream, peer)) if stream.set_nodelay(true).is_ok() => self.seat(stream, peer).await,
                Ok(_) => {}
                Err(_) => tokio::time::sleep(RECOVER).await,
            }
        }
    }

    async fn seat(&self, stream: TcpStream, peer: SocketAddr) {
        let place = self.places.take().await;
        let (seat, entrance) = (Arc::clone(&place.seat), Arc::clone(&self.entrance));
        let (watcher, closing) = (self.graceful.watcher(), self.open.subscribe());
        let serve = async move |stream| {
            Connection { stream, peer, seat, entrance, watcher }.serve(closing).await;
            drop(place);
        };
        // What cannot be handed over is closed, as if it had broken.
        let _ = self.workers.seat(stream, serve);
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

/// Has a changed certificate in force, and says what became of it, and when the one in force runs out.
async fn renew(tls: Arc<Tls>) {
    let mut every = tokio::time::interval(RENEW);
    let mut said = Expiry::Far;
    loop {
        every.tick().await;
        let expiry = tls.expiry(SystemTime::now());
        if std::mem::replace(&mut said, expiry) != expiry {
            match expiry {
                Expiry::Far => {}
                Expiry::Days(days) => warn!(days, "the certificate will soon run out; renew it"),
                Expiry::Past => error!("the certificate has run out, and clients will refuse it; renew it"),
            }
        }
        let tls = Arc::clone(&tls);
        match tokio::task::spawn_blocking(move || tls.renew()).await {
            Ok(Renewal::Same) => {}
            Ok(Renewal::Renewed(fingerprint)) => info!(%fingerprint, "a changed certificate is in force"),
            Ok(Renewal::Refused(error)) => {
                warn!(%error, "the changed certificate is not used, the one before goes on");
            }
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
