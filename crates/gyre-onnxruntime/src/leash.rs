//! A run that can be ended from another thread: at its deadline, or when nobody waits for it any more. Only that run: the
//! session is somebody else's a moment later.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ort::session::RunOptions;

/// What holds one run.
#[derive(Default)]
pub(crate) struct Leash(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    NotBegun,
    Running(Arc<RunOptions>),
    Stopped,
    Ended,
}

impl Leash {
    /// Does `run` with a session whose options these are; none when it was stopped, before or meanwhile.
    ///
    /// # Errors
    /// The options cannot be made fit for the next run.
    pub(crate) fn run<T>(
        &self,
        options: &Arc<RunOptions>,
        run: impl FnOnce() -> T,
    ) -> Result<Option<T>, ort::Error> {
        {
            let mut state = self.state();
            if matches!(*state, State::Stopped) {
                return Ok(None);
            }
            *state = State::Running(Arc::clone(options));
        }
        let done = run();
        match std::mem::replace(&mut *self.state(), State::Ended) {
            State::Stopped => {
                // The flag stays set until it is taken back, and would end the next run at once.
                options.unterminate()?;
                Ok(None)
            }
            _ => Ok(Some(done)),
        }
    }

    /// Ends the run with its present node, or before it begins. What cannot be ended goes on; nobody waits for it.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        match &*state {
            State::Running(options) => {
                let _ = options.terminate();
                *state = State::Stopped;
            }
            State::NotBegun => *state = State::Stopped,
            State::Stopped | State::Ended => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops the run when its caller goes away.
pub(crate) struct Held(pub(crate) Arc<Leash>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.stop();
    }
}
