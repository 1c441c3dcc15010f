//! `/v1/traces`: spans as OpenTelemetry sends them (OTLP over HTTP, Protocol Buffers or JSON, gzip or deflate).
//!
//! What is compressed is unpacked within limits: a small body that would become a very large one is refused before it does.

use std::io::Read;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use gyre_traces::{experiments, infos, limits, otlp, spans};

use crate::app::App;
use crate::mlflow::MlflowError;
use crate::mlflow::call::Answer;
use crate::payload::{self, PayloadError};
use crate::routes::{Need, Routes};

/// The largest body, in bytes, as it comes and as it is unpacked.
const LIMIT: usize = 64 << 20;
/// How many times as large as it comes a body may be once it is unpacked, beyond [`FREE`].
const RATIO: usize = 200;
/// How large any body may be once it is unpacked, in bytes.
const FREE: usize = 1 << 20;

pub(super) fn routes(routes: &mut Routes) {
    routes.post("/v1/traces", Need::Write, log);
}

async fn log(State(app): State<Arc<App>>, request: Request<Body>) -> Answer {
    let headers = request.headers().clone();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let experiment = text("x-mlflow-experiment-id").ok_or_else(|| {
        MlflowError::invalid(
            "the header x-mlflow-experiment-id is missing: which experiment are the spans of?",
        )
    })?;
    let experiment = experiments::number(experiment)?;
    let run = text("x-mlflow-run-id").map(str::to_owned);
    let is_json = is_json(&headers)?;
    let coding = text(CONTENT_ENCODING.as_str()).unwrap_or("identity").trim().to_ascii_lowercase();
    let body = payload::whole(request, LIMIT).await?;
    let read = app
        .read(move |_| {
            let body = unpack(body, &coding)?;
            let spans = if is_json { otlp::from_json(&body) } else { otlp::from_protobuf(&body) };
            Ok::<_, MlflowError>(spans?)
        })
        .await??;
    app.write(move |tx| {
        let rooted = spans::log(tx, experiment, read)?;
        if let Some(run) = run.filter(|run| !run.is_empty()) {
            for some in rooted.chunks(limits::LINKS) {
                infos::link_to_run(tx, some, &run)?;
            }
        }
        Ok(())
    })
    .await?;
    Ok(accepted(is_json))
}

/// The answer that everything was taken: an empty `ExportTraceServiceResponse`.
fn accepted(is_json: bool) -> Response {
    let (body, kind) = if is_json { ("{}", "application/json") } else { ("", "application/x-protobuf") };
    let mut response = (StatusCode::OK, body).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn is_json(headers: &HeaderMap) -> Result<bool, MlflowError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("(none)");
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/x-protobuf" => Ok(false),
        "application/json" => Ok(true),
        other => {
            let other: String = other.chars().take(80).collect();
            Err(MlflowError::with_status(
                StatusCode::BAD_REQUEST,
                &format!(
                    "the content type is `{other}`, expected application/x-protobuf or application/json"
                ),
            ))
        }
    }
}

fn unpack(body: Bytes, coding: &str) -> Result<Bytes, MlflowError> {
    match coding {
        "identity" | "" => Ok(body),
        "gzip" => within(MultiGzDecoder::new(&body[..]), body.len()),
        // By RFC 9110 `deflate` is the zlib format; some senders leave its head away.
        "deflate" => match within(ZlibDecoder::new(&body[..]), body.len()) {
            Err(Unpack::Broken(_)) => within(DeflateDecoder::new(&body[..]), body.len()),
            other => other,
        },
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(MlflowError::with_status(
                StatusCode::BAD_REQUEST,
                &format!("the content encoding is `{other}`, expected gzip or deflate"),
            ));
        }
    }
    .map_err(|error| match error {
        Unpack::Large(limit) => PayloadError::TooLarge(limit).into(),
        Unpack::Broken(error) => MlflowError::with_status(
            StatusCode::BAD_REQUEST,
            &format!("the body cannot be unpacked as {coding}: {error}"),
        ),
    })
}

enum Unpack {
    Large(usize),
    Broken(std::io::Error),
}

fn within(mut packed: impl Read, size: usize) -> Result<Bytes, Unpack> {
    let limit = size.saturating_mul(RATIO).clamp(FREE, LIMIT);
    let mut unpacked = Vec::new();
    packed.by_ref().take(limit as u64 + 1).read_to_end(&mut unpacked).map_err(Unpack::Broken)?;
    if unpacked.len() > limit { Err(Unpack::Large(limit)) } else { Ok(unpacked.into()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let text = b"spans and spans and spans";
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(text).unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(text).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(text).unwrap();
        for (packed, coding) in [
            (gzip.finish().unwrap(), "gzip"),
            (zlib.finish().unwrap(), "deflate"),
            (raw.finish().unwrap(), "deflate"),
            (text.to_vec(), "identity"),
        ] {
            assert_eq!(&unpack(packed.into(), coding).unwrap()[..], text, "{coding}");
        }
        assert!(unpack(Bytes::from_static(text), "gzip").is_err());
        assert!(unpack(Bytes::from_static(text), "br").is_err());
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        for _ in 0..80 {
            gzip.write_all(&[0; 1 << 20]).unwrap();
        }
        let bomb = gzip.finish().unwrap();
        assert!(bomb.len() < 100_000);
        assert_eq!(
            unpack(bomb.into(), "gzip").unwrap_err().into_response().status(),
            StatusCode::PAYLOAD_TOO_LARGE
        );
    }
}
