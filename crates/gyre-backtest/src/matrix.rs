//! Every model's losses, computed once, by several threads, and kept for the next time.
//!
//! The cells of the matrix are the models (decision × training window). A cell is filled when it is first asked for, or ahead
//! of time by [`Matrix::prepare`], and appended to a file named by everything that it depends on: the history's digest, the
//! settings that a fit sees, and the program's version. A backtest that was broken off goes on where it was; one with other
//! costs or policies finds its models made.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use gyre_core::Digest;
use gyre_core::fact::Drift;
use gyre_core::spec::Window;
use gyre_data::files::FileError;
use gyre_monitor::ReferenceProfile;
use serde::{Deserialize, Serialize};

use crate::error::BacktestError;
use crate::history::History;
use crate::known::{Fit, Fitted, Losses};
use crate::settings::Settings;
use crate::similarity;
use crate::timeline::{Division, Timeline};
use crate::trainer::Trainer;

/// The cache's format; the trainer's results are part of it.
const FORMAT: u32 = 3;

/// What becomes of fits while they are made: how many of how many are done.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// The losses of all models of a history.
pub struct Matrix<'a> {
    history: &'a History,
    settings: &'a Settings,
    timeline: Timeline,
    of_rows: Vec<u32>,
    weights: Vec<f32>,
    /// As they are judged: without the withheld rows.
    cells: Cells,
    /// As they serve with `retrain.refit`: trained on the withheld rows too.
    refits: Cells,
    cache: Option<Cache>,
    /// The first thing that went wrong; what was to be computed counts as missing then, and nobody gets to see the result.
    trouble: Mutex<Option<BacktestError>>,
    profile: Mutex<Option<(Fit, ReferenceProfile)>>,
}

/// Models, each with its losses, or why it could not be trained.
type Cells = BTreeMap<Fit, OnceLock<Result<Fitted, String>>>;

/// A cell as it is kept.
#[derive(Serialize, Deserialize)]
struct Line {
    at: usize,
    window: Window,
    #[serde(default)]
    refit: bool,
    fitted: Option<Fitted>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

struct Cache {
    path: PathBuf,
    file: Mutex<File>,
}

impl<'a> Matrix<'a> {
    /// Divides the time and finds what is already kept under `cache`; nothing is trained yet.
    ///
    /// # Errors
    /// [`BacktestError`] when the settings or the history do not allow a backtest, or the cache cannot be opened.
    pub fn new(
        history: &'a History,
        settings: &'a Settings,
        cache: Option<&Path>,
    ) -> Result<Self, BacktestError> {
        settings.check()?;
        let division = Division {
            window: settings.window,
            delay: settings.delay,
            warm_up: settings.warm_up,
            holdout: settings.holdout,
        };
        let (timeline, of_rows) = Timeline::divide(history, &division)?;
        let weights = similarity::weights(history, &timeline, &of_rows);
        let fits = (0..timeline.decisions())
            .flat_map(|at| (0..settings.candidates.len()).map(move |choice| Fit { at, choice }));
        let cells: Cells = fits.map(|fit| (fit, OnceLock::new())).collect();
        let refits = cells.clone();
        let cache = cache.map(|dir| Cache::open(dir, &name(history, settings))).transpose()?;
        let matrix = Self {
            history,
            settings,
            timeline,
            of_rows,
            weights,
            cells,
            refits,
            cache,
            trouble: Mutex::new(None),
            profile: Mutex::new(None),
        };
        matrix.load()?;
        Ok(matrix)
    }

    fn load(&self) -> Result<(), BacktestError> {
        let Some(cache) = &self.cache else { return Ok(()) };
        let file = File::open(&cache.path).map_err(FileError::on("read", &cache.path))?;
        for line in BufReader::new(file).lines() {
            let line = line.map_err(FileError::on("read", &cache.path))?;
            // The last line may have been broken off; its model is trained again.
            let Ok(line) = serde_json::from_str::<Line>(&line) else { continue };
            let fits = line.fitted.as_ref().is_none_or(|fitted| {
                fitted.seen.len() == self.timeline.slices.len() && fitted.late.len() == fitted.seen.len()
            });
            let choice = self.settings.candidates.iter().position(|window| *window == line.window);
            let cells = if line.refit { &self.refits } else { &self.cells };
            let cell = choice.and_then(|choice| cells.get(&Fit { at: line.at, choice }));
            if let (Some(cell), true) = (cell, fits) {
                // What was there before stays.
                let _ = cell.set(line.fitted.ok_or_else(|| line.why.unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// Fills the cells of `fits` as they serve with as many threads as `threads`; tells `progress` after each. How they were before they
    /// were trained once more is made when somebody asks for it: few are ever judged.
    ///
    /// # Errors
    /// The first thing that went wrong.
    pub fn prepare(&self, fits: &[Fit], threads: usize, progress: Progress<'_>) -> Result<(), BacktestError> {
        let refit = self.settings.policy.refit;
        let mut open: Vec<Fit> = fits
            .iter()
            .copied()
            .filter(|fit| self.cells(refit).get(fit).is_some_and(|cell| cell.get().is_none()))
            .collect();
        // The longest trainings first, so that no thread waits long for another's last one.
        open.sort_by_key(|fit| std::cmp::Reverse((self.reach(*fit), fit.at)));
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(fits.len() - open.len()));
        progress(done.load(Ordering::Relaxed), fits.len());
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1).min(open.len().max(1)) {
                scope.spawn(|| {
                    while let Some(fit) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if self.trouble().is_some() {
                            return;
                        }
                        let _ = self.cell(*fit, refit);
                        progress(done.fetch_add(1, Ordering::Relaxed) + 1, fits.len());
                    }
                });
            }
        });
        self.finish()
    }

    /// How far back a training reaches, in milliseconds.
    fn reach(&self, fit: Fit) -> i64 {
        match self.settings.candidates.get(fit.choice) {
            Some(Window::Last(span)) => span.as_millis(),
            _ => i64::MAX,
        }
    }

    /// What went wrong since the last time it was asked for.
    ///
    /// # Errors
    /// That.
    pub fn finish(&self) -> Result<(), BacktestError> {
        self.trouble().take().map_or(Ok(()), Err)
    }

    /// All models.
    pub fn fits(&self) -> Vec<Fit> {
        self.cells.keys().copied().collect()
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<BacktestError>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note<T>(&self, result: Result<T, BacktestError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.trouble().get_or_insert(error);
                None
            }
        }
    }

    fn trainer(&self) -> Trainer<'_> {
        Trainer {
            history: self.history,
            settings: self.settings,
            timeline: &self.timeline,
            of_rows: &self.of_rows,
            weights: &self.weights,
        }
    }

    fn cells(&self, refit: bool) -> &Cells {
        if refit { &self.refits } else { &self.cells }
    }

    fn cell(&self, fit: Fit, refit: bool) -> Option<&Result<Fitted, String>> {
        let window = *self.settings.candidates.get(fit.choice)?;
        Some(self.cells(refit).get(&fit)?.get_or_init(|| self.train(fit, window, refit)))
    }

    fn train(&self, fit: Fit, window: Window, refit: bool) -> Result<Fitted, String> {
        // What went wrong is told by `finish`, and not kept.
        let trained = self.note(self.trainer().fit(fit.at, window, refit)).ok_or_else(String::new)?;
        if let Some(cache) = &self.cache {
            let (fitted, why) = (trained.as_ref().ok().cloned(), trained.as_ref().err().cloned());
            self.note(cache.keep(&Line { at: fit.at, window, refit, fitted, why }));
        }
        trained
    }

    /// The models that were asked for and could not be trained, with the trainer's words. What could not serve was not
    /// there for any policy: no policy trained it.
    pub fn untrained(&self) -> Vec<(Fit, String)> {
        let why = |(fit, cell): (&Fit, &OnceLock<Result<Fitted, String>>)| {
            Some((*fit, cell.get()?.as_ref().err()?.clone()))
        };
        self.cells(self.settings.policy.refit).iter().filter_map(why).collect()
    }
}

impl Losses for Matrix<'_> {
    fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn fitted(&self, fit: Fit) -> Option<&Fitted> {
        self.cell(fit, false)?.as_ref().ok()
    }

    fn served(&self, fit: Fit) -> Option<&Fitted> {
        self.cell(fit, self.settings.policy.refit)?.as_ref().ok()
    }

    fn refitted(&self, fit: Fit) -> Option<&Fitted> {
        self.cell(fit, true)?.as_ref().ok()
    }

    fn why_none(&self, fit: Fit) -> Option<&str> {
        Some(self.cell(fit, self.settings.policy.refit)?.as_ref().err()?.as_str())
    }

    fn drift(&self, fit: Fit, window: usize) -> Vec<Drift> {
        let (Some(reach), Some(period)) =
            (self.settings.candidates.get(fit.choice), self.timeline.windows.get(window))
        else {
            return Vec::new();
        };
        let mut kept = self.profile.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|(of, _)| *of != fit) {
            *kept = self.note(self.trainer().profile(fit.at, *reach)).map(|profile| (fit, profile));
        }
        let drift = kept.as_ref().map(|(_, profile)| self.trainer().drift(profile, *period));
        drift.and_then(|drift| self.note(drift)).unwrap_or_default()
    }
}

impl Cache {
    fn open(dir: &Path, name: &str) -> Result<Self, BacktestError> {
        std::fs::create_dir_all(dir).map_err(FileError::on("create", dir))?;
        let path = dir.join(format!("{name}.jsonl"));
        let open = OpenOptions::new().create(true).append(true).open(&path);
        let mut file = open.map_err(FileError::on("open", &path))?;
        // Ends a line that was broken off.
        file.write_all(b"\n").map_err(FileError::on("write", &path))?;
        Ok(Self { path, file: Mutex::new(file) })
    }

    fn keep(&self, line: &Line) -> Result<(), BacktestError> {
        let text = serde_json::to_string(line).map_err(|error| BacktestError::Columns(error.to_string()))?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(writeln!(file, "{text}").map_err(FileError::on("write", &self.path))?)
    }
}

/// A name for everything that a model's losses depend on.
fn name(history: &History, settings: &Settings) -> String {
    let features: Vec<(&str, &str)> =
        history.features.columns().iter().map(|(name, column)| (name.as_ref(), column.kind())).collect();
    let known: Vec<u8> = history
        .known_at
        .iter()
        .flat_map(|known| known.map_or(i64::MIN, gyre_core::Timestamp::as_millis).to_le_bytes())
        .collect();
    let times: Vec<u8> = history.times.iter().flat_map(|time| time.as_millis().to_le_bytes()).collect();
    let told = serde_json::json!([
        FORMAT,
        env!("CARGO_PKG_VERSION"),
        history.digest.to_hex(),
        Digest::of(&known).to_hex(),
        Digest::of(&times).to_hex(),
        features,
        settings.task,
        settings.metric,
        settings.window,
        settings.delay,
        settings.warm_up,
        settings.holdout,
    ]);
    Digest::of(told.to_string().as_bytes()).to_hex()[..24].to_owned()
}
