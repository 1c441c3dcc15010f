//! What a window shows beside its loss and its drift: the marks by which a cause is told.

use gyre_core::fact::{Drift, Evidence};
use gyre_core::spec::Metric;

use crate::calibration::Calibrated;
use crate::mix::{self, Labelled};
use crate::profile::ReferenceProfile;
use crate::summary::{PREDICTION, WindowInput};

/// The evidence of a window with these losses and these drifts.
pub(crate) fn of(
    input: &WindowInput<'_>,
    reference: &ReferenceProfile,
    metric: Metric,
    losses: &[f64],
    drift: &[Drift],
) -> Evidence {
    let mut evidence = Evidence {
        latency_p50_us: quantile(input.latencies_us, 0.5),
        latency_p99_us: quantile(input.latencies_us, 0.99),
        quiet: quiet(input),
        explained: None,
        labels: None,
        calibration: None,
    };
    let days: Vec<i64> = input.times.iter().map(|time| time.day()).collect();
    let own = (0..days.len()).filter(|row| input.versions.get(*row) == Some(&input.champion));
    let calibrated = Calibrated::measure(&input.predictions, &input.labels, &days, own);
    evidence.calibration = calibrated.map(|now| Box::new(now.beside(reference.calibration.as_ref())));
    let Some(mix) = &reference.mix else { return evidence };
    // The table is of the champion's predictions: other versions' rows have no place in it.
    let own: Vec<f64> = losses
        .iter()
        .zip(input.versions)
        .map(|(loss, version)| if *version == input.champion { *loss } else { f64::NAN })
        .collect();
    let probability = mix::second_of_two(input.predictions.scores, input.predictions.classes);
    let probability = if probability.len() == losses.len() { probability } else { Vec::new() };
    let columns = mix::with_prediction(input.features, input.predictions.outputs, &probability);
    let rows = Labelled { columns: &columns, labels: input.labels, losses: &own };
    let moved: Vec<&str> = drift
        .iter()
        .filter(|drift| drift.drifted && drift.column != PREDICTION)
        .map(|drift| drift.column.as_str())
        .collect();
    evidence.explained = mix.explain(metric, &rows, &days, &moved);
    evidence.labels = mix.label_shift(&rows);
    evidence
}

/// The value that a share `place` of the rows does not exceed.
fn quantile(values: &[u32], place: f64) -> Option<f64> {
    let mut values = values.to_vec();
    let last = values.len().checked_sub(1)?;
    let at = (place * last as f64).round() as usize;
    values.select_nth_unstable(at.min(last));
    values.get(at).map(|value| f64::from(*value))
}

/// The share of the window's time after its last prediction.
fn quiet(input: &WindowInput<'_>) -> Option<f64> {
    let last = input.times.iter().max()?;
    let all = input.period.to.since(input.period.from).as_millis() as f64;
    let quiet = input.period.to.since(*last).as_millis() as f64 / all;
    (all > 0.0).then(|| quiet.clamp(0.0, 1.0))
}
