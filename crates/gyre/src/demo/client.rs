//! A client of the server, on plain keep-alive HTTP connections, as any client would be.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::failure::Failure;

/// One connection.
pub(super) struct Connection {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        Ok(Self { address, sender: connect(address).await? })
    }

    /// Posts JSON and returns the status with the body. A connection that the server has closed meanwhile, as it does with those
    /// that ask nothing for a while, is made anew.
    pub(super) async fn post(&mut self, path: &str, body: String) -> Result<(StatusCode, Bytes), Failure> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("host", self.address.to_string())
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        if self.sender.ready().await.is_err() {
            self.sender = connect(self.address).await?;
        }
        let answer = match self.sender.try_send_request(request).await {
            Ok(answer) => answer,
            Err(mut refused) => {
                // Only what was never sent comes back.
                let Some(request) = refused.take_message() else { return Err(refused.into_error().into()) };
                self.sender = connect(self.address).await?;
                self.sender.send_request(request).await?
            }
        };
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }

    /// Posts JSON that must succeed.
    pub(super) async fn ask(&mut self, path: &str, body: String) -> Result<Bytes, Failure> {
        let (status, answer) = self.post(path, body).await?;
        if status.is_success() {
            return Ok(answer);
        }
        Err(Failure::because(format!("POST {path}: {status}: {}", String::from_utf8_lossy(&answer))))
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // When it breaks, the next request says so.
        let _ = connection.await;
    });
    Ok(sender)
}
