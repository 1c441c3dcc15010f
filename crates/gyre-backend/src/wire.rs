//! One face for both protocols: rows to a request, an answer to outputs, and the probes.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use gyre_core::record::Signature;
use gyre_runtime::Table;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use gyre_wire::HEADER_LENGTH;

use crate::cells::Tensor;
use crate::error::{AnswerError, BackendError};
use crate::mlflow;
use crate::peer::{Peer, Reply};
use crate::spec::Protocol;
use crate::v2::{V2, model_path};

/// The largest metadata that is read, in bytes.
const METADATA: usize = 1 << 20;
/// The longest message of a model server that is passed on, in characters.
const MESSAGE: usize = 500;

/// A request, but for its peer.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    /// The length of the JSON in front of binary tensors.
    pub(crate) header: Option<usize>,
    pub(crate) body: Bytes,
}

/// How to ask the model, once its server has told what it can.
#[derive(Debug)]
pub(crate) enum Wire {
    V2(V2),
    Mlflow { signature: Arc<Signature> },
}

impl Wire {
    /// Asks the server what its model takes and how it likes to be asked.
    pub(crate) async fn learn(
        protocol: &Protocol,
        signature: &Arc<Signature>,
        peer: &Peer,
        deadline: Instant,
    ) -> Result<Self, BackendError> {
        let Protocol::V2 { model, version, matrix } = protocol else {
            return Ok(Self::Mlflow { signature: Arc::clone(signature) });
        };
        let path = model_path(model, version.as_deref());
        let server = metadata(peer, "/v2", deadline).await?.unwrap_or_default();
        let model = metadata(peer, &path, deadline).await?.unwrap_or_default();
        V2::new(&path, matrix.as_deref(), &signature.inputs, &server, &model).map(Self::V2)
    }

    pub(crate) fn request(&self, tables: &[&Table]) -> Result<Outgoing, BackendError> {
        match self {
            Self::V2(v2) => v2.request(tables),
            Self::Mlflow { .. } => Ok(mlflow::request(tables)),
        }
    }

    /// The outputs in an answer that says that all went well.
    pub(crate) fn outputs(&self, reply: &Reply) -> Result<Vec<Tensor>, AnswerError> {
        match self {
            Self::V2(_) => crate::v2::outputs(&reply.body, header_length(&reply.headers)?),
            Self::Mlflow { signature } => mlflow::outputs(&reply.body, &signature.classes),
        }
    }
}

/// The path whose `200` says that the model is ready.
pub(crate) fn probe(protocol: &Protocol) -> String {
    match protocol {
        Protocol::V2 { model, version, .. } => format!("{}/ready", model_path(model, version.as_deref())),
        Protocol::Mlflow => "/ping".to_owned(),
    }
}

/// What `GET path` says; none where the server does not have it, which both kinds of metadata may lack.
async fn metadata<T: DeserializeOwned>(
    peer: &Peer,
    path: &str,
    deadline: Instant,
) -> Result<Option<T>, BackendError> {
    let reply = peer.get(path, METADATA, deadline).await?;
    match reply.status {
        StatusCode::OK => serde_json::from_slice(&reply.body).map(Some).map_err(|error| {
            BackendError::Answer(AnswerError::Format(format!("metadata at {path}: {error}")))
        }),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Ok(None),
        _ => Err(refused(&reply)),
    }
}

/// What a model server said instead of an answer.
pub(crate) fn refused(reply: &Reply) -> BackendError {
    let text = String::from_utf8_lossy(reply.body.get(..4 * MESSAGE).unwrap_or(&reply.body));
    // `error` is V2's, `message` MLflow's, `detail` what FastAPI makes.
    let json = serde_json::from_slice::<serde_json::Value>(&reply.body).ok();
    let own = json
        .as_ref()
        .and_then(|json| ["error", "message", "detail"].iter().find_map(|&key| json.get(key)?.as_str()));
    let message: String = own.unwrap_or(text.trim()).chars().take(MESSAGE).collect();
    BackendError::Refused { status: reply.status.as_u16(), message }
}

fn header_length(headers: &HeaderMap) -> Result<Option<usize>, AnswerError> {
    let Some(value) = headers.get(HEADER_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|value| value.parse().ok());
    length
        .map(Some)
        .ok_or_else(|| AnswerError::Format(format!("{HEADER_LENGTH} is {value:?}, which is no length")))
}

/// Writes a number as JSON: whole ones without a fraction, so that a reader that tells integers from floats takes them for
/// both; NaN and infinities, which JSON does not know, as `null`. `short` is the same in single precision, which needs
/// fewer digits.
pub(crate) fn number(out: &mut String, value: f64, short: Option<f32>) {
    let negative_zero = value == 0.0 && value.is_sign_negative();
    let _ = if !value.is_finite() {
        out.push_str("null");
        Ok(())
    } else if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 && !negative_zero {
        write!(out, "{}", value as i64)
    } else {
        // Debug writes the shortest digits that read back to the same number, with an exponent where that is shorter.
        match short {
            Some(short) => write!(out, "{short:?}"),
            None => write!(out, "{value:?}"),
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_read_back_the_same(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO) {
            let mut out = String::new();
            number(&mut out, value, None);
            let read: f64 = serde_json::from_str(&out).unwrap();
            prop_assert_eq!(read.to_bits(), value.to_bits(), "{}", out);
        }
    }

    #[test]
    fn messages_are_found_and_cut_short() {
        let reply = |body: &str| Reply {
            status: StatusCode::BAD_REQUEST,
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
        };
        for body in
            [r#"{"error": "no"}"#, r#"{"error_code": "X", "message": "no"}"#, r#"{"detail": "no"}"#, " no\n"]
        {
            assert_eq!(
                refused(&reply(body)).to_string(),
                "the model's server answered 400 Bad Request: no".replace(" Bad Request", "")
            );
        }
        assert!(refused(&reply(&"x".repeat(10_000))).to_string().len() < 600);
    }
}
