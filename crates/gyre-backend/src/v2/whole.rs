//! Numbers that are to travel in a narrower type than they have here.

use gyre_wire::Datatype;

use super::Place;
use crate::error::BackendError;

/// A number that is to travel as one of the integers, or as true or false.
pub(super) fn whole(value: f64, datatype: Datatype, place: Place<'_>) -> Result<i64, BackendError> {
    let (least, greatest) = datatype.whole_range().unwrap_or((0.0, 1.0));
    if value.fract() == 0.0 && value >= least && value <= greatest {
        return Ok(value as i64);
    }
    let Place { column, row } = place;
    Err(BackendError::Input(if value.is_nan() {
        format!("feature {column:?}, row {row}: is missing, and the model takes {} here", datatype.name())
    } else {
        format!("feature {column:?}, row {row}: {value} is no {}", datatype.name())
    }))
}

/// A number that is to travel in single precision.
pub(super) fn single(value: f64, place: Place<'_>) -> Result<f32, BackendError> {
    let single = value as f32;
    if value.is_finite() && single.is_infinite() {
        let Place { column, row } = place;
        return Err(BackendError::Input(format!(
            "feature {column:?}, row {row}: {value} is too large for FP32"
        )));
    }
    Ok(single)
}
