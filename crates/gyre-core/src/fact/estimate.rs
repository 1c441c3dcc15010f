//! What a model's loss will be, said before its labels come.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Period;
use crate::{ModelName, Version};

/// What a window's loss is expected to be, while its labels have not come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LossEstimate {
    /// The model.
    pub model: ModelName,
    /// Event time of the predictions.
    pub period: Period,
    /// The champion when the window ended; only what it answered is looked at.
    pub version: Version,
    /// Its predictions in the window.
    pub predictions: u64,
    /// What is expected; none when it cannot be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<LossForecast>,
    /// Why it cannot be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl LossEstimate {
    /// In words.
    pub fn summary(&self) -> String {
        let (from, to) = (self.period.from.date(), self.period.to.date());
        let said = match (&self.forecast, &self.reason) {
            (Some(LossForecast { loss, standard_error, method, .. }), _) => {
                format!("a loss of {loss:.3} \u{b1} {standard_error:.3} is expected, by {method}")
            }
            (None, Some(reason)) => format!("no loss can be expected: {reason}"),
            (None, None) => "no loss can be expected".to_owned(),
        };
        format!("{from} to {to}, version {}, {} predictions: {said}", self.version, self.predictions)
    }
}

/// An expected loss with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossForecast {
    /// The model's metric as it is expected to come true.
    pub loss: f64,
    /// Its standard error: what luck of the labels and a reference of finite size make of it. What the method itself may get
    /// wrong is not in it.
    pub standard_error: f64,
    /// Rows that it rests on.
    pub rows: u64,
    /// How it was found.
    pub method: EstimateMethod,
}

/// How a loss is estimated without labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EstimateMethod {
    /// Direct loss estimation: a second model has learned how wrong the first is.
    DirectLoss,
    /// What calibrated scores say of themselves (CBPE).
    Calibration,
    /// The same, calibrated on reference rows that look like the window's (PAPE).
    AdaptedCalibration,
}

impl fmt::Display for EstimateMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DirectLoss => "direct loss estimation",
            Self::Calibration => "calibrated scores",
            Self::AdaptedCalibration => "scores calibrated for this window",
        })
    }
}
