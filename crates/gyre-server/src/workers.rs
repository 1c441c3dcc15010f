//! The threads that connections live on.
//!
//! A connection stays on one thread, which reads a request, predicts and writes the answer without handing anything to
//! another: waking a thread takes longer than a prediction does, and a runtime whose threads share their tasks wakes them all
//! the time. In return nothing on these threads may take long. What may is answered by the runtime that the server was started
//! in, whose threads do share ([`crate::handover`]): everything but predictions of some rows.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, oneshot};

/// A client that asks again within this time waits for nothing but our answers.
const CLOSE: Duration = Duration::from_micros(200);
/// How long the thread of such a client stays awake after an answer.
const AWAKE: Duration = Duration::from_micros(50);

/// The threads.
pub(crate) struct Workers(Vec<Worker>);

struct Worker {
    runtime: Handle,
    /// Connections that live there.
    connections: Arc<AtomicUsize>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// A connection's place on its thread, until it is dropped.
struct Living(Arc<AtomicUsize>);

impl Drop for Living {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Workers {
    /// As many threads as there are cores.
    ///
    /// # Errors
    /// When the system has none to give.
    pub(crate) fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (0..cores).map(Worker::start).collect::<io::Result<_>>().map(Self)
    }

    /// Has `serve` speak with the client of `stream`, on the thread that has the fewest connections.
    ///
    /// # Errors
    /// When the connection cannot be handed over.
    pub(crate) fn seat<F>(
        &self,
        stream: TcpStream,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // There is at least one.
        let Some(worker) = self.0.iter().min_by_key(|worker| worker.connections.load(Relaxed)) else {
            return Ok(());
        };
        let stream = stream.into_std()?;
        worker.connections.fetch_add(1, Relaxed);
        let living = Living(Arc::clone(&worker.connections));
        worker.runtime.spawn(async move {
            // A connection that breaks at once is the client's affair.
            if let Ok(stream) = TcpStream::from_std(stream) {
                serve(stream).await;
            }
            drop(living);
        });
        Ok(())
    }

    /// Ends the threads, and whatever still lives on them.
    pub(crate) fn stop(self) {
        for Worker { stop, thread, .. } in self.0 {
            // A thread that is gone already has nothing to stop.
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

impl Worker {
    fn start(at: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new().name(format!("gyre-io-{at}")).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    // That whoever would say so is gone says the same.
                    _ = stopped => {}
                    () = stay_awake() => {}
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, connections: Arc::default(), stop, thread })
    }
}

thread_local! {
    /// Who was answered last on this thread, and when.
    static LAST: Cell<Option<(usize, Instant)>> = const { Cell::new(None) };
    static BELL: Rc<Notify> = Rc::default();
}

/// An answer to connection `who` goes out on this thread.
///
/// A thread that has nothing to do sleeps, and where cores are virtual its awakening takes longer than a prediction. A lone
/// client that asks again as soon as it is answered would wait for that each time; for it the thread stays awake a little.
/// Where others ask in between there is enough to do, and where the client takes its time there is nothing to gain.
pub(crate) fn answered(who: usize) {
    let now = Instant::now();
    if LAST.replace(Some((who, now))).is_some_and(|(last, at)| last == who && now.duration_since(at) < CLOSE)
    {
        BELL.with(|bell| bell.notify_one());
    }
}

/// Keeps the thread from sleeping when it is called to.
async fn stay_awake() {
    let bell = BELL.with(Rc::clone);
    loop {
        bell.notified().await;
        while LAST.get().is_some_and(|(_, at)| at.elapsed() < AWAKE) {
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn connections_go_where_there_are_fewest_and_stay_there() {
        let workers = Workers((0..2).map(|at| Worker::start(at).unwrap()).collect());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
        let mut held = Vec::new();
        for _ in 0..6 {
            held.push(TcpStream::connect(address).await.unwrap());
            let (stream, _) = listener.accept().await.unwrap();
            let told = told.clone();
            let name = || std::thread::current().name().map(str::to_owned);
            let serve = async move |stream: TcpStream| {
                told.send((name(), true)).unwrap();
                let before = name();
                stream.readable().await.unwrap();
                told.send((before.clone(), before == name())).unwrap();
            };
            workers.seat(stream, serve).unwrap();
        }
        let mut names = std::collections::BTreeMap::new();
        for _ in 0..6 {
            *names.entry(tells.recv().await.unwrap().0.unwrap()).or_insert(0) += 1;
        }
        assert_eq!(names, [("gyre-io-0".to_owned(), 3), ("gyre-io-1".to_owned(), 3)].into());
        drop(held);
        for _ in 0..6 {
            assert!(tells.recv().await.unwrap().1);
        }
        tokio::task::spawn_blocking(move || workers.stop()).await.unwrap();
    }
}
