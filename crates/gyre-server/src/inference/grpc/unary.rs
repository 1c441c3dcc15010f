//! One message answered with one.
//!
//! Both are whole before anything is done with them, so that a call needs none of what streams need: the message is read
//! where it lies in the body, and the answer is one piece with its status behind it (gRPC over HTTP/2,
//! "Length-Prefixed-Message" and "Trailers").

use std::convert::Infallible;
use std::future::{Future, ready};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, header};
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use prost::Message;
use tonic::Status;

use super::super::LIMIT;
use super::refuse;
use crate::payload;

/// Bytes in front of a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
const STATUS: &str = "grpc-status";
const OK: HeaderValue = HeaderValue::from_static("0");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Answers one message with one. The message is read as every other body is: within a limit of bytes and of time.
pub(super) async fn unary<M, N, F>(request: Request<Body>, answer: impl FnOnce(M) -> F) -> Response
where
    M: Message + Default,
    N: Message,
    F: Future<Output = Result<N, Status>>,
{
    let body = match payload::whole(request, LIMIT + PREFIX).await {
        Ok(body) => body,
        Err(error) => return refuse(error.status(), &error.to_string()),
    };
    let answered = match message(&body) {
        Ok(asked) => answer(asked).await,
        Err(status) => Err(status),
    };
    match answered {
        Ok(said) => told(&said),
        Err(status) => failed(&status),
    }
}

/// The one message of a body.
fn message<M: Message + Default>(body: &Bytes) -> Result<M, Status> {
    let Some((&[compressed, a, b, c, d], message)) = body.split_first_chunk::<PREFIX>() else {
        return Err(Status::invalid_argument(format!(
            "the body has {} bytes, expected one message with its length in {PREFIX} bytes before it",
            body.len()
        )));
    };
    if compressed != 0 {
        return Err(Status::unimplemented("the message is compressed; send it as it is (identity)"));
    }
    let length = u32::from_be_bytes([a, b, c, d]);
    if usize::try_from(length) != Ok(message.len()) {
        let found = message.len();
        return Err(Status::invalid_argument(format!(
            "the body has {found} bytes after its prefix, which says {length}: one whole message is expected"
        )));
    }
    // Strings and bytes of the message are copies; what is kept as `Bytes` shares the body.
    M::decode(body.slice(PREFIX..)).map_err(|error| {
        Status::invalid_argument(format!("the message is not what this method takes: {error}"))
    })
}

fn told(said: &impl Message) -> Response {
    let length = said.encoded_len();
    let Ok(prefix) = u32::try_from(length) else {
        return failed(&Status::resource_exhausted("the answer is longer than a message may be"));
    };
    let mut message = BytesMut::with_capacity(PREFIX + length);
    message.put_u8(0);
    message.put_u32(prefix);
    // It has the room that it says it takes.
    said.encode_raw(&mut message);
    let trailers = HeaderMap::from_iter([(header::HeaderName::from_static(STATUS), OK)]);
    let body = Full::new(message.freeze()).with_trailers(ready(Some(Ok::<_, Infallible>(trailers))));
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    response
}

/// An answer of nothing but a status.
pub(super) fn failed(status: &Status) -> Response {
    let mut response = Response::new(Body::empty());
    // A message that no header can bear is still a refusal.
    let _ = status.add_header(response.headers_mut());
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    response
}

#[cfg(test)]
mod tests {
    use super::super::messages::{ModelName, Ready};
    use super::*;

    fn framed(flag: u8, length: u32, message: &[u8]) -> Body {
        Body::from([&[flag], &length.to_be_bytes()[..], message].concat())
    }

    async fn ask(body: Body) -> (Option<String>, Vec<u8>) {
        let response =
            unary(Request::new(body), async |asked: ModelName| Ok(Ready { ready: asked.name == "a" })).await;
        let status = |headers: &HeaderMap| Some(headers.get(STATUS)?.to_str().unwrap().to_owned());
        let told = status(response.headers());
        let body = response.into_body().collect().await.unwrap();
        (told.or_else(|| status(body.trailers()?)), body.to_bytes().to_vec())
    }

    #[tokio::test]
    async fn a_message_is_answered_and_what_is_none_is_refused() {
        assert_eq!(ask(framed(0, 3, &[10, 1, b'a'])).await, (Some("0".into()), vec![0, 0, 0, 0, 2, 8, 1]));
        // No field is said that has its default.
        assert_eq!(ask(framed(0, 0, &[])).await, (Some("0".into()), vec![0; 5]));
        let (invalid, unimplemented) = (Some("3".to_owned()), Some("12".to_owned()));
        for wrong in [
            Body::empty(),
            Body::from(vec![0, 0]),
            framed(0, 4, &[10, 1, b'a']),
            framed(0, 2, &[10, 1, b'a']),
            framed(0, u32::MAX, &[]),
            framed(0, 3, &[10, 9, b'a']),
        ] {
            assert_eq!(ask(wrong).await, (invalid.clone(), vec![]));
        }
        assert_eq!(ask(framed(1, 3, &[10, 1, b'a'])).await, (unimplemented, vec![]));
    }
}
