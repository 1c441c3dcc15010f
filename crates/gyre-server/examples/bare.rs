//! The least that a server in Rust can do for a prediction: read the request's JSON into its types and answer a constant.
//! `bench/gateway.py` holds the gateway against it.
//!
//! `bare ADDR:PORT`

use axum::Json;
use axum::Router;
use axum::routing::post;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[allow(dead_code, reason = "read from the request, as a model would")]
struct Asked {
    id: String,
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "read from the request, as a model would")]
struct Input {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    data: Vec<f64>,
}

#[derive(Serialize)]
struct Answer {
    model_name: &'static str,
    id: String,
    outputs: [Output; 1],
}

#[derive(Serialize)]
struct Output {
    name: &'static str,
    datatype: &'static str,
    shape: [u64; 1],
    data: [f64; 1],
}

async fn answer(Json(asked): Json<Asked>) -> Json<Answer> {
    let output =
        Output { name: "prediction", datatype: "FP64", shape: [1], data: [asked.inputs.len() as f64] };
    Json(Answer { model_name: "bare", id: asked.id, outputs: [output] })
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, Router::new().route("/infer", post(answer))).await
}
