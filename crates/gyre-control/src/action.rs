//! What the controller asks to be done.
//!
//! An action is an effect outside the journal: work that takes time, can fail, and may be begun again after a crash.
//! What can be said in facts alone (traffic, promotion, going back) is no action: the facts commit with the decision, and
//! [`Action::Route`] makes the gateway follow.

use gyre_core::spec::Window;
use gyre_core::time::Period;
use gyre_core::{ModelName, Timestamp, Version};
use serde::{Deserialize, Serialize};

/// An effect to be carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// Score every version on the labelled rows of `period`.
    Compare {
        /// The model.
        model: ModelName,
        /// The rows' event time.
        period: Period,
    },
    /// Cut a data version, check it, run the pipeline on it, register what comes out.
    Train {
        /// The model.
        model: ModelName,
        /// How far back.
        window: Window,
        /// "Now" in event time: nothing later is seen.
        as_of: Timestamp,
    },
    /// Put the answers of a version right by recent labels, and register what comes out.
    Recalibrate {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// How far back.
        window: Window,
        /// "Now" in event time.
        as_of: Timestamp,
    },
    /// Train a version once more, on the rows that were withheld from it too, and register what comes out.
    Refit {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// How far back it reached.
        window: Window,
        /// "Now" in event time, as it was for the version.
        as_of: Timestamp,
    },
    /// Hold a version against its gates.
    Judge {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// "Now" in event time.
        as_of: Timestamp,
    },
    /// Make the gateway route as the journal says.
    Route {
        /// The model.
        model: ModelName,
    },
}

/// The name of [`Action::Route`].
pub const ROUTE: &str = "route";

impl Action {
    /// The model that it is about.
    pub fn model(&self) -> &ModelName {
        match self {
            Self::Compare { model, .. }
            | Self::Train { model, .. }
            | Self::Recalibrate { model, .. }
            | Self::Refit { model, .. }
            | Self::Judge { model, .. }
            | Self::Route { model } => model,
        }
    }

    /// Its name, for people.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Compare { .. } => "compare",
            Self::Train { .. } => "train",
            Self::Recalibrate { .. } => "recalibrate",
            Self::Refit { .. } => "refit",
            Self::Judge { .. } => "judge",
            Self::Route { .. } => ROUTE,
        }
    }
}
