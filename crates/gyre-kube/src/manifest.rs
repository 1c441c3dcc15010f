//! From a description to the objects that a cluster is to have.
//!
//! Pure: the same description gives the same objects, so that applying them again changes nothing.

use gyre_core::runtime::{Container, Kubernetes, Protocol, Workload};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::error::ManifestError;
use crate::kind::{KINDS, Kind};
use crate::names::{Identity, SELECTOR, is_dns_label};

/// How long a Deployment may make no progress until its cluster says so, when nobody says otherwise, in seconds.
const PROGRESS: i64 = 600;
/// The largest manifest that is taken, in bytes.
const LARGEST: usize = 256 << 10;
/// The most objects that are taken of one.
const MOST: usize = 20;

/// An object as it is to be.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// All that is said of it.
    pub body: Value,
}

/// What a version's description makes of it on a cluster.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The objects, in the order in which they are applied.
    pub objects: Vec<Object>,
    /// Which of them says whether the model is ready: a Deployment or an InferenceService.
    pub main: Object,
    /// The address that is known beforehand, and whether it is one within the cluster.
    pub address: Option<(String, bool)>,
    /// What the server speaks, with the model's name filled in.
    pub protocol: Protocol,
}

/// The objects of a version in `namespace`, unless the description names another.
///
/// # Errors
/// [`ManifestError`].
pub fn plan(of: &Kubernetes, identity: &Identity, namespace: &str) -> Result<Plan, ManifestError> {
    let namespace = of.namespace.as_deref().unwrap_or(namespace);
    word("the namespace", namespace, is_dns_label, "a DNS label such as `models`")?;
    let filled = Filled { name: identity.name(), namespace: namespace.to_owned(), port: None };
    let protocol = match &of.protocol {
        Protocol::V2 { model, version, matrix } => {
            Protocol::V2 { model: filled.text(model), version: version.clone(), matrix: matrix.clone() }
        }
        Protocol::Mlflow => Protocol::Mlflow,
    };
    let made = match &of.workload {
        Workload::Deployment(deployment) => {
            let seconds = of.start_within.map_or(PROGRESS, |span| (span.as_millis() / 1_000).max(1));
            let filled = Filled { port: Some(deployment.port), ..filled.clone() };
            let container = container(&deployment.container, &filled)?;
            self::deployment(deployment, container, &protocol, &filled.name, seconds)?
        }
        Workload::InferenceService(service) => {
            let container = container(&service.container, &filled)?;
            vec![inference_service(service, container, &protocol, &filled.name)?]
        }
        Workload::Manifest(text) => brought(text, &filled)?,
    };
    let labels = identity.labels();
    let objects: Result<Vec<Object>, _> =
        made.into_iter().enumerate().map(|(at, body)| object(at + 1, body, &labels, namespace)).collect();
    let objects = objects?;
    let main = objects.iter().find(|object| matches!(object.kind.kind, "Deployment" | "InferenceService"));
    let main = main.cloned().ok_or_else(|| {
        ManifestError::Nothing(
            "the manifest has neither a Deployment nor an InferenceService, so nothing says when the model is ready".into(),
        )
    })?;
    let address = match &of.address {
        Some(address) => Some((filled.text(address), false)),
        None if main.kind.kind == "InferenceService" => None,
        None => Some((service_address(&objects)?, true)),
    };
    Ok(Plan { objects, main, address, protocol })
}

/// What stands in place of the words in braces.
#[derive(Clone)]
struct Filled {
    name: String,
    namespace: String,
    port: Option<u16>,
}

impl Filled {
    fn text(&self, text: &str) -> String {
        let text = text.replace("{name}", &self.name).replace("{namespace}", &self.namespace);
        match self.port {
            Some(port) => text.replace("{port}", &port.to_string()),
            None => text,
        }
    }

    fn all(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(all) => all.iter_mut().for_each(|one| self.all(one)),
            Value::Object(all) => all.values_mut().for_each(|one| self.all(one)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// What is said of a container, whatever it is part of.
fn container(of: &Container, filled: &Filled) -> Result<Map<String, Value>, ManifestError> {
    let mut made = Map::new();
    if !of.args.is_empty() {
        made.insert("args".into(), of.args.iter().map(|text| filled.text(text)).collect());
    }
    let mut env: Vec<Value> =
        of.env.iter().map(|(name, value)| json!({"name": name, "value": filled.text(value)})).collect();
    if let Some(port) = filled.port.filter(|_| !of.env.contains_key("PORT")) {
        env.push(json!({"name": "PORT", "value": port.to_string()}));
    }
    if !env.is_empty() {
        made.insert("env".into(), env.into());
    }
    if !of.env_from.is_empty() {
        let secrets = of.env_from.iter().map(|name| json!({"secretRef": {"name": name}}));
        made.insert("envFrom".into(), secrets.collect());
    }
    let mut amounts = Map::new();
    for (name, amount) in [("cpu", &of.cpu), ("memory", &of.memory)] {
        if let Some(amount) = amount {
            word(
                "an amount",
                amount,
                is_amount,
                "a number, or one with a unit: `500m`, `2`, `512Mi`, `2Gi`",
            )?;
            amounts.insert(name.into(), amount.clone().into());
        }
    }
    if !amounts.is_empty() {
        made.insert("resources".into(), json!({"requests": amounts, "limits": amounts}));
    }
    Ok(made)
}

fn deployment(
    of: &gyre_core::runtime::Deployment,
    mut container: Map<String, Value>,
    protocol: &Protocol,
    name: &str,
    seconds: i64,
) -> Result<Vec<Value>, ManifestError> {
    word("the image", &of.image, |text| !text.is_empty() && !text.contains(char::is_whitespace), "an image")?;
    let port = of.port;
    word("the port", &port.to_string(), |_| port > 0, "1 to 65535")?;
    let ready = match protocol {
        Protocol::V2 { model, .. } => {
            format!("/v2/models/{}/ready", utf8_percent_encode(model, NON_ALPHANUMERIC))
        }
        Protocol::Mlflow => "/ping".to_owned(),
    };
    let fixed = [
        ("name", json!("model")),
        ("image", json!(of.image)),
        ("ports", json!([{"name": "http", "containerPort": port, "protocol": "TCP"}])),
        (
            "readinessProbe",
            json!({"httpGet": {"path": ready, "port": port}, "periodSeconds": 5, "timeoutSeconds": 5}),
        ),
        ("securityContext", json!({"allowPrivilegeEscalation": false})),
    ];
    container.extend(fixed.map(|(name, value)| (name.to_owned(), value)));
    // A model needs no access to the cluster unless somebody says so.
    let mut pod = json!({
        "containers": [container],
        "enableServiceLinks": false,
        "automountServiceAccountToken": of.container.service_account.is_some(),
    });
    if let Some(account) = &of.container.service_account {
        pod["serviceAccountName"] = account.clone().into();
    }
    let selector = json!({SELECTOR: name});
    let mut deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "progressDeadlineSeconds": seconds,
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": selector}, "spec": pod},
        },
    });
    if let Some(replicas) = of.replicas {
        word("the replicas", &replicas.to_string(), |_| replicas > 0, "at least 1")?;
        deployment["spec"]["replicas"] = replicas.into();
    }
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector, "ports": [{"name": "http", "port": port, "targetPort": port, "protocol": "TCP"}]},
    });
    Ok(vec![deployment, service])
}

fn inference_service(
    of: &gyre_core::runtime::InferenceService,
    container: Map<String, Value>,
    protocol: &Protocol,
    name: &str,
) -> Result<Value, ManifestError> {
    word(
        "the model format",
        &of.model_format,
        |text| !text.is_empty(),
        "KServe's name of it, such as `sklearn`",
    )?;
    word(
        "the storage URI",
        &of.storage_uri,
        |text| text.contains("://"),
        "a URI such as `s3://bucket/model`",
    )?;
    let mut model = container;
    model.insert("modelFormat".into(), json!({"name": of.model_format}));
    model.insert("storageUri".into(), of.storage_uri.clone().into());
    if matches!(protocol, Protocol::V2 { .. }) {
        model.insert("protocolVersion".into(), "v2".into());
    }
    let mut predictor = json!({"model": model});
    for (word, replicas) in [("minReplicas", of.min_replicas), ("maxReplicas", of.max_replicas)] {
        if let Some(replicas) = replicas {
            predictor[word] = replicas.into();
        }
    }
    if let Some(account) = &of.container.service_account {
        predictor["serviceAccountName"] = account.clone().into();
    }
    Ok(json!({
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"predictor": predictor},
    }))
}

/// The objects of a manifest.
fn brought(text: &str, filled: &Filled) -> Result<Vec<Value>, ManifestError> {
    if text.len() > LARGEST {
        return Err(ManifestError::Yaml(format!("it is larger than {LARGEST} bytes")));
    }
    let found: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| ManifestError::Yaml(error.to_string()))?;
    let mut found: Vec<Value> = found.into_iter().filter(|value| !value.is_null()).collect();
    if found.len() > MOST {
        return Err(ManifestError::Nothing(format!(
            "the manifest has {} objects; at most {MOST} are taken",
            found.len()
        )));
    }
    found.iter_mut().for_each(|value| filled.all(value));
    Ok(found)
}

/// The object with its labels, of a kind that is taken.
fn object(
    at: usize,
    mut body: Value,
    labels: &Map<String, Value>,
    namespace: &str,
) -> Result<Object, ManifestError> {
    let wrong = |problem: String| ManifestError::Object { at, problem };
    let said = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind) = (said("apiVersion"), said("kind"));
    let Some(kind) = Kind::named(&version, &kind) else {
        let known: Vec<String> = KINDS.iter().map(|of| format!("{} ({})", of.kind, of.api_version)).collect();
        return Err(wrong(format!("it is a {kind:?} ({version:?}); expected one of {}", known.join(", "))));
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let meta = body.get("metadata");
    let name = text(meta.and_then(|of| of.get("name"))).ok_or_else(|| {
        wrong("metadata.name is no text; write \"{name}\", in quotes, for a name of gyre's".into())
    })?;
    // Services, Deployments and InferenceServices alike end up in DNS.
    word("metadata.name", &name, is_dns_label, "a DNS label such as `price`")?;
    if let Some(other) = text(meta.and_then(|of| of.get("namespace"))).filter(|other| other != namespace) {
        return Err(wrong(format!("it is of the namespace {other:?}; expected none, or {namespace:?}")));
    }
    let fields = body.as_object_mut().ok_or_else(|| wrong("it is no object".into()))?;
    // What the cluster says of it is not ours to say.
    fields.remove("status");
    let mut label = |path: &[&str]| -> Result<(), ManifestError> {
        let mut at = Some(&mut *fields);
        for step in path {
            let within = at.map(|at| at.entry(*step).or_insert_with(|| json!({})));
            at = within.and_then(Value::as_object_mut);
        }
        let at = at.ok_or_else(|| wrong(format!("{} is no object", path.join("."))))?;
        // What was brought for itself, a selector's label perhaps, stays.
        labels.iter().filter(|(label, _)| path.len() < 3 || *label != SELECTOR).for_each(|(label, value)| {
            at.insert(label.clone(), value.clone());
        });
        Ok(())
    };
    label(&["metadata", "labels"])?;
    if kind.kind == "Deployment" {
        label(&["spec", "template", "metadata", "labels"])?;
    }
    let meta = body.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(meta) = meta {
        meta.insert("namespace".into(), namespace.into());
    }
    Ok(Object { kind, name, namespace: namespace.to_owned(), body })
}

/// The address of the first Service within the cluster.
fn service_address(objects: &[Object]) -> Result<String, ManifestError> {
    let service = objects.iter().find(|object| object.kind.kind == "Service").ok_or_else(|| {
        ManifestError::Nothing(
            "the manifest has no Service, so the model has no address: add one, or give --address".into(),
        )
    })?;
    // Its name would be that of any host.
    if service.body.pointer("/spec/type").and_then(Value::as_str) == Some("ExternalName") {
        return Err(ManifestError::Nothing(format!(
            "the Service {} of the manifest is an ExternalName, which stands for a host elsewhere: give --address",
            service.name
        )));
    }
    let port = service.body.pointer("/spec/ports/0/port").and_then(Value::as_u64).ok_or_else(|| {
        ManifestError::Nothing(format!(
            "the Service {} of the manifest has no spec.ports[0].port",
            service.name
        ))
    })?;
    Ok(format!("http://{}.{}.svc:{port}", service.name, service.namespace))
}

fn word(
    what: &'static str,
    found: &str,
    is_right: impl Fn(&str) -> bool,
    expected: &'static str,
) -> Result<(), ManifestError> {
    if is_right(found) {
        Ok(())
    } else {
        Err(ManifestError::Word { what, found: found.to_owned(), expected })
    }
}

/// Whether the text is an amount as Kubernetes writes it.
fn is_amount(text: &str) -> bool {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = text.get(..text.len() - digits.len()).unwrap_or_default();
    let unit = ["", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"].contains(&digits);
    unit && number.parse::<f64>().is_ok_and(|number| number > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_core::runtime::Runtime;

    fn plan_of(workload: Value, more: Value) -> Result<Plan, String> {
        let mut said =
            json!({"kind": "kubernetes", "protocol": {"v2": {"model": "{name}"}}, "workload": workload});
        said.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let Runtime::Kubernetes(of) = serde_json::from_value(said).unwrap() else { panic!() };
        let identity = Identity { instance: "shop".into(), model: "price".parse().unwrap(), version: 3 };
        plan(&of, &identity, "models").map_err(|error| error.to_string())
    }

    #[test]
    fn an_image_becomes_a_deployment_and_a_service() {
        let workload = json!({"deployment": {"image": "price:3", "port": 9000, "replicas": 2, "container": {
            "args": ["--name", "{name}", "--port", "{port}"], "env": {"A": "b"}, "env_from": ["tokens"], "cpu": "500m", "memory": "1Gi",
        }}});
        let plan = plan_of(workload.clone(), json!({})).unwrap();
        let name = plan.main.name.clone();
        assert_eq!(plan.address, Some((format!("http://{name}.models.svc:9000"), true)));
        assert_eq!(plan.protocol, Protocol::V2 { model: name.clone(), version: None, matrix: None });
        let [deployment, service] = &plan.objects[..] else { panic!("{plan:?}") };
        assert_eq!((deployment.kind.kind, service.kind.kind), ("Deployment", "Service"));
        let container = &deployment.body["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["args"], json!(["--name", name, "--port", "9000"]));
        assert_eq!(container["env"], json!([{"name": "A", "value": "b"}, {"name": "PORT", "value": "9000"}]));
        assert_eq!(container["envFrom"], json!([{"secretRef": {"name": "tokens"}}]));
        assert_eq!(container["resources"]["limits"], json!({"cpu": "500m", "memory": "1Gi"}));
        assert_eq!(
            container["readinessProbe"]["httpGet"]["path"],
            json!(format!("/v2/models/{}/ready", name.replace('-', "%2D")))
        );
        let selected = &deployment.body["spec"]["selector"]["matchLabels"][SELECTOR];
        assert_eq!(*selected, deployment.body["spec"]["template"]["metadata"]["labels"][SELECTOR]);
        assert_eq!(*selected, service.body["spec"]["selector"][SELECTOR]);
        assert_eq!(deployment.body["metadata"]["labels"]["gyre/version"], "3");
        let elsewhere = json!({"namespace": "other", "address": "http://{name}.{namespace}.example.org"});
        let plan = plan_of(workload, elsewhere).unwrap();
        assert_eq!(plan.address, Some((format!("http://{name}.other.example.org"), false)));
    }

    #[test]
    fn what_kubernetes_would_not_take_is_said_before() {
        let image = |image: &str, memory: &str| {
            let workload =
                json!({"deployment": {"image": image, "port": 80, "container": {"memory": memory}}});
            plan_of(workload, json!({})).unwrap_err()
        };
        assert!(image("a b", "1Gi").contains("the image"));
        assert!(image("a", "1 GB").contains("512Mi"));
        let namespace =
            plan_of(json!({"deployment": {"image": "a", "port": 80}}), json!({"namespace": "../x"}));
        assert!(namespace.unwrap_err().contains("the namespace"));
    }

    #[test]
    fn kserve_is_told_in_its_own_words() {
        let workload = json!({"inference_service": {"model_format": "sklearn", "storage_uri": "s3://b/m", "min_replicas": 0,
            "container": {"service_account": "reader"}}});
        let plan = plan_of(workload, json!({})).unwrap();
        assert_eq!((plan.main.kind.kind, &plan.address), ("InferenceService", &None));
        let expected = json!({"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://b/m", "protocolVersion": "v2"},
            "minReplicas": 0, "serviceAccountName": "reader"});
        assert_eq!(plan.main.body["spec"]["predictor"], expected);
    }

    #[test]
    fn a_manifest_gets_gyres_labels_and_nothing_else() {
        let text = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: '{name}', labels: {team: a}}
spec:
  selector: {matchLabels: {app: x, app.kubernetes.io/instance: mine}}
  template:
    metadata: {labels: {app: x, app.kubernetes.io/instance: mine}}
    spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Service
metadata: {name: front}
spec: {ports: [{port: 81}]}
---
";
        let of = |text: &str| plan_of(json!({"manifest": text}), json!({}));
        let plan = of(text).unwrap();
        assert_eq!(plan.address, Some(("http://front.models.svc:81".into(), true)));
        let labels = &plan.main.body["metadata"]["labels"];
        assert_eq!((&labels["team"], &labels["gyre/model"]), (&json!("a"), &json!("price")));
        let pods = &plan.main.body["spec"]["template"]["metadata"]["labels"];
        assert_eq!((&pods[SELECTOR], &pods["gyre/model"]), (&json!("mine"), &json!("price")));
        for (from, to, words) in [
            ("kind: Service", "kind: Secret", "object 2 of the manifest"),
            ("name: '{name}'", "name: {name}", "in quotes"),
            ("name: front", "name: front, namespace: other", "namespace"),
            ("ports: [{port: 81}]", "ports: []", "spec.ports[0].port"),
            ("ports: [{port: 81}]", "type: ExternalName, externalName: secrets.internal", "--address"),
            ("kind: Deployment", "kind: [", "no YAML"),
        ] {
            let refused = of(&text.replace(from, to)).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }
}
