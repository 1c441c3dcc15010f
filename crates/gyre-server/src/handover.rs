//! Work that may take long, away from the thread that its connection lives on ([`crate::workers`]).
//!
//! A future that is handed over goes on in the runtime that the server was started in, with everything that is known of its
//! request: the trail that it leaves and the trace that it is part of. When whoever waits for it goes away, it ends.

use std::future::Future;
use std::panic::resume_unwind;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::trail;

/// A task that ends when nobody waits for it any more.
struct Ending<T>(JoinHandle<T>);

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs `future` on `shared`, and waits for it; a panic goes on here.
pub(crate) async fn hand_over<F>(shared: &Handle, future: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    let (trail, parent) = (trail::current(), gyre_backend::context::current());
    let future = async move {
        match parent {
            Some(parent) => gyre_backend::context::within(parent, future).await,
            None => future.await,
        }
    };
    let mut task = Ending(match trail {
        Some(trail) => shared.spawn(trail.along(future)),
        None => shared.spawn(future),
    });
    match (&mut task.0).await {
        Ok(output) => output,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime goes down, and the connection with it.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::http::HeaderValue;
    use tokio::runtime::Builder;
    use tokio::sync::oneshot;

    use super::*;
    use crate::trail::Trail;

    #[test]
    fn what_is_known_of_a_request_goes_with_it_to_another_thread() {
        let shared = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let own = Builder::new_current_thread().enable_all().build().unwrap();
        let seen =
            || async { (std::thread::current().id(), gyre_backend::context::current(), trail::current()) };
        let here = std::thread::current().id();
        let (there, parent, kept) = own.block_on(hand_over(shared.handle(), seen()));
        assert!(there != here && parent.is_none() && kept.is_none());
        let trail = Arc::new(Trail::default());
        let header = HeaderValue::from_static("00-1-2-3");
        let asked = gyre_backend::context::within(header.clone(), hand_over(shared.handle(), seen()));
        let (there, parent, kept) = own.block_on(Arc::clone(&trail).along(asked));
        assert!(there != here && parent == Some(header));
        assert!(Arc::ptr_eq(&kept.unwrap(), &trail));
    }

    #[test]
    fn what_nobody_waits_for_ends() {
        let shared = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let own = Builder::new_current_thread().enable_all().build().unwrap();
        let (alive, ended) = oneshot::channel::<()>();
        own.block_on(async {
            let (began, begun) = oneshot::channel();
            let work = hand_over(shared.handle(), async move {
                began.send(()).unwrap();
                let _alive = alive;
                std::future::pending::<()>().await;
            });
            tokio::select! {
                () = work => unreachable!("it never ends by itself"),
                begun = begun => begun.unwrap(),
            }
            assert!(ended.await.is_err(), "it was dropped");
        });
    }
}
