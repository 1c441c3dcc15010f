//! Whether an object says that its model is ready.
//!
//! Pure: a Deployment's conditions are described in its API ("Deployment status"), an InferenceService's follow Knative's: one
//! condition `Ready` sums the others up.

use serde_json::Value;

/// What an object says of its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Health {
    /// Ready; at this URL, where the object says so. The first word says whether the URL is one within the cluster.
    Ready(Option<(bool, String)>),
    /// The cluster has not taken notice yet of how the object is now, so nothing it says is of now.
    Unseen,
    /// Not ready yet, or not any more, and why.
    NotReady(String),
    /// Not ready, and the cluster has given up.
    GivenUp(String),
}

/// What the object of this kind says.
pub(crate) fn health(kind: &str, object: &Value) -> Health {
    let number = |path: &str| object.pointer(path).and_then(Value::as_i64);
    let (made, seen) = (number("/metadata/generation"), number("/status/observedGeneration"));
    // KServe has not always told what it has seen.
    if kind == "Deployment" && seen < made {
        return Health::Unseen;
    }
    if kind == "Deployment" { deployment(object) } else { inference_service(object) }
}

fn deployment(object: &Value) -> Health {
    let available = object.pointer("/status/availableReplicas").and_then(Value::as_i64).unwrap_or(0);
    let wanted = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    if wanted == 0 {
        return Health::NotReady("it is scaled to 0 replicas".to_owned());
    }
    if condition(object, "Available").is_some_and(|of| of.is("True")) && available > 0 {
        return Health::Ready(None);
    }
    if let Some(failure) = condition(object, "ReplicaFailure").filter(|of| of.is("True")) {
        return Health::GivenUp(failure.words());
    }
    if let Some(stuck) = condition(object, "Progressing").filter(|of| of.is("False")) {
        return Health::GivenUp(stuck.words());
    }
    Health::NotReady(format!("{available} of {wanted} replicas are available"))
}

fn inference_service(object: &Value) -> Health {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).map(str::to_owned);
    match condition(object, "Ready") {
        Some(ready) if ready.is("True") => {
            let inside = text("/status/address/url").map(|url| (true, url));
            let url = inside.or_else(|| text("/status/url").map(|url| (false, url)));
            match url {
                Some(url) => Health::Ready(Some(url)),
                None => Health::NotReady("it is ready, but tells no URL".to_owned()),
            }
        }
        Some(ready) => {
            let words = ready.words();
            let others = conditions(object).filter(|of| of.kind != "Ready" && of.is("False"));
            let others: Vec<String> = others.map(|of| format!("{}: {}", of.kind, of.words())).collect();
            let failed = text("/status/modelStatus/lastFailureInfo/message");
            let words = [words].into_iter().chain(others).chain(failed).filter(|text| !text.is_empty());
            Health::NotReady(words.collect::<Vec<_>>().join("; "))
        }
        None => Health::NotReady("KServe has not taken notice of it yet".to_owned()),
    }
}

/// A condition of an object's status.
struct Condition<'a> {
    kind: &'a str,
    of: &'a Value,
}

impl Condition<'_> {
    fn is(&self, status: &str) -> bool {
        self.of.get("status").and_then(Value::as_str) == Some(status)
    }

    /// Its reason and its message.
    fn words(&self) -> String {
        let word = |name: &str| self.of.get(name).and_then(Value::as_str).unwrap_or_default();
        let (reason, message) = (word("reason"), word("message"));
        match (reason, message) {
            ("", "") => "it is not ready".to_owned(),
            ("", text) | (text, "") => text.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }
}

fn conditions(object: &Value) -> impl Iterator<Item = Condition<'_>> {
    let all = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|of| Some(Condition { kind: of.get("type")?.as_str()?, of }))
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    conditions(object).find(|of| of.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployed(seen: i64, available: i64, conditions: Value) -> Health {
        let object = json!({
            "metadata": {"generation": 2}, "spec": {"replicas": 2},
            "status": {"observedGeneration": seen, "availableReplicas": available, "conditions": conditions},
        });
        health("Deployment", &object)
    }

    #[test]
    fn a_deployment_is_ready_when_it_is_available_as_it_is_now() {
        let available =
            |status| json!([{"type": "Available", "status": status, "reason": "MinimumReplicas"}]);
        assert_eq!(deployed(2, 1, available("True")), Health::Ready(None));
        assert_eq!(deployed(1, 1, available("True")), Health::Unseen, "an older one was available");
        assert_eq!(
            deployed(2, 0, available("False")),
            Health::NotReady("0 of 2 replicas are available".into())
        );
        let stuck = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}]);
        assert_eq!(deployed(2, 0, stuck), Health::GivenUp("ProgressDeadlineExceeded: late".into()));
        assert_eq!(health("Deployment", &json!({"metadata": {"generation": 1}})), Health::Unseen);
        let none = json!({"spec": {"replicas": 0}, "status": {"conditions": available("True")}});
        assert!(matches!(health("Deployment", &none), Health::NotReady(why) if why.contains("0 replicas")));
    }

    #[test]
    fn an_inference_service_says_where_it_is() {
        let of = |conditions: Value, more: Value| {
            let mut status = json!({"conditions": conditions});
            status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            health("InferenceService", &json!({"status": status}))
        };
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let both =
            json!({"url": "http://a.example.org", "address": {"url": "http://a.models.svc.cluster.local"}});
        assert_eq!(
            of(ready.clone(), both),
            Health::Ready(Some((true, "http://a.models.svc.cluster.local".into())))
        );
        let outside = json!({"url": "http://a.example.org"});
        assert_eq!(of(ready.clone(), outside), Health::Ready(Some((false, "http://a.example.org".into()))));
        assert!(matches!(of(ready, json!({})), Health::NotReady(_)));
        let not = json!([{"type": "PredictorReady", "status": "False", "reason": "RevisionFailed", "message": "no image"},
            {"type": "Ready", "status": "False", "reason": "PredictorNotReady"}]);
        let Health::NotReady(why) = of(not, json!({})) else { panic!() };
        assert_eq!(why, "PredictorNotReady; PredictorReady: RevisionFailed: no image");
        assert!(matches!(health("InferenceService", &json!({})), Health::NotReady(_)));
    }
}
