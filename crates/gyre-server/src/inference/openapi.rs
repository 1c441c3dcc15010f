//! A deployment described in OpenAPI 3.1, with examples that work when they are sent as they are. Pure.
//!
//! The signature says all of it: features become properties, the examples are zeros and empty texts of the right kinds, which
//! every model must be able to take (the gateway asks each version such a row before it takes traffic).

use gyre_core::record::{Field, Kind, Signature};
use serde_json::{Map, Value, json};

use super::reply::PROBABILITIES;

/// The document for `model`, as a version with `signature` answers.
pub(super) fn document(model: &str, version: u32, signature: &Signature) -> Value {
    let infer = format!("/v2/models/{model}/infer");
    let invoke = format!("/serve/{model}/invocations");
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("{model}, served by gyre"),
            "version": version.to_string(),
            "description": "One row or many; the answer names the version that gave it.",
        },
        "paths": {
            infer: { "post": operation("infer", "Predict, by the Open Inference Protocol, version 2", "V2Request", "V2Answer", &v2_example(signature)) },
            invoke: { "post": operation("invoke", "Predict, by MLflow's scoring protocol", "Records", "Predictions", &records_example(signature)) },
        },
        "components": { "schemas": {
            "V2Request": v2_request(signature),
            "V2Answer": v2_answer(signature),
            "Row": row(signature),
            "Records": {
                "type": "object",
                "required": ["dataframe_records"],
                "properties": { "dataframe_records": { "type": "array", "minItems": 1, "items": reference("Row") } },
            },
            "Predictions": {
                "type": "object",
                "required": ["predictions"],
                "properties": { "predictions": { "type": "array", "items": output(signature) } },
            },
            "Error": { "type": "object", "properties": { "error": { "type": "string" } } },
        } },
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn operation(id: &str, summary: &str, request: &str, answer: &str, example: &Value) -> Value {
    let content = |schema: &str| json!({ "application/json": { "schema": reference(schema) } });
    let refused = |description: &str| json!({ "description": description, "content": content("Error") });
    let body = json!({ "application/json": { "schema": reference(request), "example": example } });
    json!({
        "operationId": id,
        "summary": summary,
        "requestBody": { "required": true, "content": body },
        "responses": {
            "200": { "description": "The predictions, in the order of the rows", "content": content(answer) },
            "400": refused("What is wrong with the request"),
            "404": refused("There is no such model or version"),
            "429": refused("Too much is asked at once; see Retry-After"),
            "500": refused("The model failed"),
            "503": refused("No version takes traffic, or the model is not up"),
            "504": refused("No answer within the deadline"),
        },
    })
}

fn datatype(field: &Field) -> &'static str {
    if field.kind == Kind::Text { "BYTES" } else { "FP64" }
}

fn zero(kind: Kind) -> Value {
    if kind == Kind::Text { json!("") } else { json!(0.0) }
}

fn v2_example(signature: &Signature) -> Value {
    let tensor = |field: &Field| json!({ "name": field.name, "shape": [1, 1], "datatype": datatype(field), "data": [zero(field.kind)] });
    json!({ "id": "example", "inputs": signature.inputs.iter().map(tensor).collect::<Vec<_>>() })
}

fn records_example(signature: &Signature) -> Value {
    let record: Map<String, Value> =
        signature.inputs.iter().map(|field| (field.name.clone(), zero(field.kind))).collect();
    json!({ "dataframe_records": [record] })
}

fn row(signature: &Signature) -> Value {
    let property = |field: &Field| {
        let kind = if field.kind == Kind::Text { "string" } else { "number" };
        (field.name.clone(), json!({ "type": [kind, "null"] }))
    };
    let properties: Map<String, Value> = signature.inputs.iter().map(property).collect();
    let names: Vec<&str> = signature.inputs.iter().map(|field| field.name.as_str()).collect();
    json!({ "type": "object", "properties": properties, "required": names })
}

fn v2_request(signature: &Signature) -> Value {
    let names: Vec<&str> = signature.inputs.iter().map(|field| field.name.as_str()).collect();
    json!({
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": { "type": "string", "description": "Joins the label that comes later, and decides the version while traffic is split." },
            "parameters": { "type": "object", "properties": { "event_time": { "type": "string", "format": "date-time" } } },
            "inputs": {
                "type": "array",
                "description": "One tensor for each feature, or one matrix with all of them in their order.",
                "items": {
                    "type": "object",
                    "required": ["name", "shape", "datatype", "data"],
                    "properties": {
                        "name": { "type": "string", "examples": names },
                        "shape": { "type": "array", "items": { "type": "integer" } },
                        "datatype": { "type": "string", "examples": ["FP64", "BYTES"] },
                        "data": { "type": "array" },
                    },
                },
            },
        },
    })
}

fn output(signature: &Signature) -> Value {
    if signature.classes.is_empty() {
        json!({ "type": "number" })
    } else {
        // Classes that are whole numbers are answered as numbers by MLflow's protocol.
        json!({ "type": ["string", "integer"], "examples": signature.classes })
    }
}

fn v2_answer(signature: &Signature) -> Value {
    let mut names = vec![signature.output.as_str()];
    if !signature.classes.is_empty() {
        names.push(PROBABILITIES);
    }
    json!({
        "type": "object",
        "properties": {
            "model_name": { "type": "string" },
            "model_version": { "type": "string" },
            "id": { "type": "string" },
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": { "type": "string", "examples": names },
                        "shape": { "type": "array", "items": { "type": "integer" } },
                        "datatype": { "type": "string" },
                        "data": { "type": "array" },
                    },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_points_somewhere_and_every_feature_is_there() {
        let inputs = vec![
            Field { name: "km".to_owned(), kind: Kind::Number },
            Field { name: "carrier".to_owned(), kind: Kind::Text },
        ];
        let signature =
            Signature { inputs, output: "late".to_owned(), classes: vec!["no".into(), "yes".into()] };
        let document = document("flights", 3, &signature);
        let text = document.to_string();
        for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        let example = &document["paths"]["/v2/models/flights/infer"]["post"]["requestBody"]["content"]["application/json"]
            ["example"];
        assert_eq!(
            example["inputs"][1],
            json!({"name": "carrier", "shape": [1, 1], "datatype": "BYTES", "data": [""]})
        );
        assert_eq!(document["components"]["schemas"]["Row"]["required"], json!(["km", "carrier"]));
    }
}
