//! Why a model does not come up: what its pods say, what the cluster warns of, what its container printed last.

use serde_json::Value;

use crate::client::Client;
use crate::manifest::Object;
use crate::names::SELECTOR;

/// Restarts after which a container that goes on ending counts as failed.
const RESTARTS: i64 = 3;
/// Warnings that are told.
const WARNINGS: usize = 3;
/// The longest reason, in characters.
const LONGEST: usize = 1_000;

/// What was found out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reasons {
    /// In words; empty when nothing is wrong.
    pub(crate) words: String,
    /// Whether the cluster has tried several times, and goes on failing for a reason that waiting will not mend.
    pub(crate) is_final: bool,
    /// What the container printed last.
    pub(crate) printed: Vec<String>,
}

/// Asks the cluster. What it does not tell us, for want of rights perhaps, is told as that.
pub(crate) async fn find(client: &Client, main: &Object) -> Reasons {
    let name = &main.name;
    let labels = match main.kind.kind {
        "InferenceService" => format!("serving.kserve.io/inferenceservice={name}"),
        _ => selector(&main.body),
    };
    let pods = match client.pods(&main.namespace, &labels).await {
        Ok(pods) => pods,
        Err(error) => {
            return Reasons { words: error.to_string(), ..Reasons::default() };
        }
    };
    let Some(found) = pods.iter().filter_map(pod).max_by_key(|of| of.weight()) else {
        let words = match client.warnings(&main.namespace, name).await {
            Ok(events) => warnings(&events),
            Err(error) => error.to_string(),
        };
        return Reasons { words, ..Reasons::default() };
    };
    let mut words = found.words.clone();
    let mut printed = Vec::new();
    if let Some(container) = &found.ended {
        // Of a container that has been started again the life before is the one that failed.
        for before in [true, false] {
            match client.log(&main.namespace, &found.pod, container, before).await {
                Ok(lines) if lines.is_empty() => {}
                Ok(lines) => {
                    printed = lines;
                    break;
                }
                Err(error) if !before => printed = vec![error.to_string()],
                Err(_) => {}
            }
        }
    } else if let Ok(events) = client.warnings(&main.namespace, &found.pod).await {
        let told = warnings(&events);
        if !told.is_empty() {
            words = format!("{words}; {told}");
        }
    }
    Reasons { words: cut(&words), is_final: found.is_final, printed }
}

/// The label selector of a Deployment's pods.
fn selector(body: &Value) -> String {
    let labels = body.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let pairs = labels
        .into_iter()
        .flatten()
        .filter_map(|(label, value)| Some(format!("{label}={}", value.as_str()?)));
    let pairs: Vec<String> = pairs.collect();
    // A Deployment without labels of its own is none that the API server takes; nothing is selected then.
    if pairs.is_empty() { format!("{SELECTOR}=") } else { pairs.join(",") }
}

/// What is wrong with a pod.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    pod: String,
    words: String,
    is_final: bool,
    /// The container that ended, whose log may say why.
    ended: Option<String>,
}

impl Found {
    /// How much it says.
    fn weight(&self) -> u8 {
        2 * u8::from(self.is_final) + u8::from(self.ended.is_some())
    }
}

fn pod(object: &Value) -> Option<Found> {
    let text = |of: &Value, path: &str| of.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let pod = text(object, "/metadata/name")?;
    let all = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let containers = all.iter().filter_map(|path| object.pointer(path)?.as_array()).flatten();
    for container in containers {
        let name = text(container, "/name").unwrap_or_default();
        let restarts = container.get("restartCount").and_then(Value::as_i64).unwrap_or(0);
        let ended =
            ["/state/terminated", "/lastState/terminated"].iter().find_map(|path| container.pointer(path));
        let code = ended.and_then(|of| of.get("exitCode")).and_then(Value::as_i64).filter(|code| *code != 0);
        let failed = code.map(|code| {
            let reason = ended.and_then(|of| text(of, "/reason")).unwrap_or_default();
            format!(" (it ended with exit code {code}, {reason}, and was restarted {restarts} times)")
        });
        let reason = text(container, "/state/waiting/reason").filter(|reason| !is_usual(reason));
        let message =
            text(container, "/state/waiting/message").map(|text| format!(": {text}")).unwrap_or_default();
        let is_final = match reason.as_deref() {
            Some(
                "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "CreateContainerConfigError",
            ) => true,
            Some("CrashLoopBackOff") => restarts >= RESTARTS,
            _ => false,
        };
        if reason.is_some() || failed.is_some() {
            let reason = reason.unwrap_or_else(|| "it ended".to_owned());
            let ended = failed.is_some().then(|| name.clone());
            let failed = failed.unwrap_or_default();
            let words = format!("container {name} of pod {pod}: {reason}{message}{failed}");
            return Some(Found { pod, words, is_final, ended });
        }
    }
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let waits =
        conditions.filter(|of| of.get("status").and_then(Value::as_str) == Some("False")).find_map(|of| {
            let reason = text(of, "/reason")?;
            Some(format!("{reason}: {}", text(of, "/message").unwrap_or_default()))
        });
    let phase = text(object, "/status/phase").unwrap_or_else(|| "unknown".to_owned());
    let words = match waits {
        Some(waits) => format!("pod {pod} is {phase}: {waits}"),
        None => format!("pod {pod} is {phase}"),
    };
    Some(Found { pod, words, is_final: false, ended: None })
}

/// What every container waits for at first.
fn is_usual(reason: &str) -> bool {
    matches!(reason, "ContainerCreating" | "PodInitializing")
}

fn warnings(events: &[Value]) -> String {
    let said =
        |event: &Value, name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut told: Vec<String> = Vec::new();
    for event in events.iter().rev() {
        let line = format!("{}: {}", said(event, "reason"), said(event, "message"));
        if !told.contains(&line) {
            told.push(line);
        }
        if told.len() >= WARNINGS {
            break;
        }
    }
    cut(&told.join("; "))
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(status: Value) -> Found {
        pod(&json!({"metadata": {"name": "p"}, "status": status})).unwrap()
    }

    #[test]
    fn a_pod_says_what_is_wrong_and_whether_waiting_helps() {
        let waiting = |reason: &str, restarts: i64, last: Value| {
            with(json!({"containerStatuses": [{"name": "c", "restartCount": restarts, "lastState": last,
                "state": {"waiting": {"reason": reason, "message": "m"}}}]}))
        };
        let image = waiting("ImagePullBackOff", 0, json!({}));
        assert_eq!(
            (image.words.as_str(), image.is_final),
            ("container c of pod p: ImagePullBackOff: m", true)
        );
        assert!(!waiting("ErrImagePull", 0, json!({})).is_final, "it is tried again");
        let ended = json!({"terminated": {"exitCode": 3, "reason": "Error"}});
        let crash = waiting("CrashLoopBackOff", 3, ended.clone());
        assert!(crash.is_final && crash.words.contains("exit code 3, Error"), "{crash:?}");
        assert_eq!(crash.ended.as_deref(), Some("c"));
        assert!(!waiting("CrashLoopBackOff", 1, ended).is_final);
        let creating = waiting("ContainerCreating", 0, json!({}));
        assert_eq!((creating.words.as_str(), creating.weight()), ("pod p is unknown", 0));
        let unscheduled = with(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}]}));
        assert_eq!(unscheduled.words, "pod p is Pending: Unschedulable: 0/3 nodes are available");
    }
}
