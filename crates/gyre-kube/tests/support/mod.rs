//! An API server for tests: the real one where `GYRE_TEST_KUBE_APISERVER` and `GYRE_TEST_ETCD` name its binaries, and a stand-in
//! otherwise. The tests are the same, so that what the stand-in is thought to do is held against what the real one does.
//!
//! There are no nodes: what kubelets and controllers would write into `status`, the tests write.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

mod standin;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use standin::StandIn;

/// May do everything.
pub const ADMIN: &str = "admin-token";
/// May do what the Role in docs/deployment.md says, in the namespace `default`; the stand-in knows no Roles, and lets it do everything.
pub const GYRE: &str = "gyre-token";
/// Is known, and may do nothing.
pub const WEAK: &str = "weak-token";

pub const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
pub const SERVICES: &str = "/api/v1/namespaces/default/services";
pub const PODS: &str = "/api/v1/namespaces/default/pods";
pub const EVENTS: &str = "/api/v1/namespaces/default/events";
pub const INFERENCE: &str = "/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices";

/// An API server, for as long as this lives.
pub struct Api {
    pub url: String,
    dir: tempfile::TempDir,
    kind: Kind,
}

enum Kind {
    StandIn(StandIn),
    Real { binary: PathBuf, etcd: Child, etcd_url: String, port: u16, server: Child },
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until `seen`, for as long as a busy machine may need.
#[track_caller]
pub fn until<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = seen() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "not within 60 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Api {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let named = |name| std::env::var_os(name).map(PathBuf::from);
        match (named("GYRE_TEST_KUBE_APISERVER"), named("GYRE_TEST_ETCD")) {
            (Some(binary), Some(etcd)) => Self::real(dir, binary, &etcd),
            (None, None) => {
                let standin = StandIn::start();
                Self { url: standin.url(), dir, kind: Kind::StandIn(standin) }
            }
            _ => panic!("GYRE_TEST_KUBE_APISERVER and GYRE_TEST_ETCD go together; see CONTRIBUTING.md"),
        }
    }

    fn real(dir: tempfile::TempDir, binary: PathBuf, etcd: &Path) -> Self {
        let (etcd_port, port) = (free_port(), free_port());
        let etcd_url = format!("http://127.0.0.1:{etcd_port}");
        let log = |name: &str| std::fs::File::create(dir.path().join(name)).unwrap();
        let etcd = Command::new(etcd)
            .arg("--data-dir")
            .arg(dir.path().join("etcd"))
            .args(["--listen-client-urls", &etcd_url, "--advertise-client-urls", &etcd_url])
            .args(["--listen-peer-urls", "http://127.0.0.1:0"])
            .stderr(log("etcd.log"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("GYRE_TEST_ETCD ({}) does not start: {error}", etcd.display()));
        let key = dir.path().join("key.pem");
        let made = Command::new("openssl")
            .args(["genrsa", "-out"])
            .arg(&key)
            .arg("2048")
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "openssl makes no key");
        let tokens = format!("{ADMIN},admin,1,\"system:masters\"\n{WEAK},weak,2\n{GYRE},gyre,3\n");
        std::fs::write(dir.path().join("tokens.csv"), tokens).unwrap();
        let server = Self::spawn(dir.path(), &binary, &etcd_url, port);
        let url = format!("https://127.0.0.1:{port}");
        let api = Self { url, dir, kind: Kind::Real { binary, etcd, etcd_url, port, server } };
        api.wait();
        api.allow_gyre();
        api
    }

    /// Gives gyre the Role that the documentation says it needs.
    fn allow_gyre(&self) {
        let page = include_str!("../../../../docs/deployment.md");
        let role = page.split("```yaml\n").find(|block| block.contains("kind: Role\n")).unwrap();
        let mut role: Value = serde_saphyr::from_str(role.split("```").next().unwrap()).unwrap();
        role["metadata"]["namespace"] = "default".into();
        let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
        self.create(&format!("{rbac}/roles"), &role);
        let group = "rbac.authorization.k8s.io";
        self.create(
            &format!("{rbac}/rolebindings"),
            &json!({
                "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": "gyre"},
                "roleRef": {"apiGroup": group, "kind": "Role", "name": role["metadata"]["name"]},
                "subjects": [{"apiGroup": group, "kind": "User", "name": "gyre"}],
            }),
        );
    }

    fn spawn(dir: &Path, binary: &Path, etcd: &str, port: u16) -> Child {
        let arg = |name: &str, file: &str| format!("--{name}={}", dir.join(file).display());
        Command::new(binary)
            .args([format!("--etcd-servers={etcd}"), format!("--secure-port={port}")])
            .args([
                arg("service-account-signing-key-file", "key.pem"),
                arg("service-account-key-file", "key.pem"),
            ])
            .args([arg("token-auth-file", "tokens.csv"), arg("cert-dir", "certs")])
            .args(["--service-account-issuer=https://kubernetes.default.svc", "--authorization-mode=RBAC"])
            .args(["--bind-address=127.0.0.1", "--service-cluster-ip-range=10.96.0.0/16"])
            .stderr(std::fs::File::create(dir.join("api.log")).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", binary.display()))
    }

    fn wait(&self) {
        until("the API server is ready", || {
            let there = self.dir.path().join("certs/apiserver.crt").exists() && self.is_real();
            (there
                && self.try_ask("GET", "/readyz", "", "").is_some_and(|(status, _)| status == 200)
                && self
                    .try_ask("GET", "/api/v1/namespaces/default", "", "")
                    .is_some_and(|(status, _)| status == 200))
            .then_some(())
        });
    }

    pub fn is_real(&self) -> bool {
        matches!(self.kind, Kind::Real { .. })
    }

    /// Ends the server, and starts it again at the same address with what it had stored; watches from before cannot go on.
    pub fn restart(&mut self) {
        self.stop();
        self.begin();
    }

    pub fn stop(&mut self) {
        match &mut self.kind {
            Kind::StandIn(standin) => standin.stop(),
            Kind::Real { server, .. } => {
                server.kill().unwrap();
                server.wait().unwrap();
            }
        }
    }

    pub fn begin(&mut self) {
        match &mut self.kind {
            Kind::StandIn(standin) => standin.begin(),
            Kind::Real { binary, etcd_url, port, server, .. } => {
                *server = Self::spawn(self.dir.path(), binary, etcd_url, *port);
                self.wait();
            }
        }
    }

    /// A kubeconfig with this token.
    pub fn kubeconfig(&self, token: &str) -> PathBuf {
        let authority = match self.is_real() {
            true => format!(
                ", certificate-authority: '{}'",
                self.dir.path().join("certs/apiserver.crt").display()
            ),
            false => String::new(),
        };
        let text = format!(
            "current-context: test\ncontexts: [{{name: test, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: '{}'{authority}}}}}]\nusers: [{{name: u, user: {{token: {token}}}}}]\n",
            self.url
        );
        let path = self.dir.path().join(format!("config-{token}"));
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Asks as an administrator who is not gyre.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, content: &str, body: &Value) -> (u16, Value) {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.try_ask(method, path, content, &text).unwrap()
    }

    fn try_ask(&self, method: &str, path: &str, content: &str, body: &str) -> Option<(u16, Value)> {
        if let Kind::StandIn(_) = self.kind {
            let mut stream = TcpStream::connect(self.url.strip_prefix("http://").unwrap()).ok()?;
            write!(
                stream,
                "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {ADMIN}\r\n\
                 content-type: {content}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            let status = answer.split(' ').nth(1)?.parse().ok()?;
            return Some((
                status,
                serde_json::from_str(answer.split_once("\r\n\r\n")?.1).unwrap_or_default(),
            ));
        }
        let mut child = Command::new("curl")
            .args(["-s", "-w", "\n%{http_code}", "-X", method, "--cacert"])
            .arg(self.dir.path().join("certs/apiserver.crt"))
            .args([
                "-H",
                &format!("authorization: Bearer {ADMIN}"),
                "-H",
                &format!("content-type: {content}"),
            ])
            .args(["--data-binary", "@-", &format!("{}{path}", self.url)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is needed to ask the real API server");
        // One that could not be started asks nothing, and that is what it answers.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(body.as_bytes()));
        let answer = String::from_utf8(child.wait_with_output().ok()?.stdout).unwrap();
        let (body, status) = answer.rsplit_once('\n')?;
        Some((
            status.parse().ok().filter(|status| *status != 0)?,
            serde_json::from_str(body).unwrap_or_default(),
        ))
    }

    #[track_caller]
    pub fn done(&self, method: &str, path: &str, content: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, path, content, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Changes an object as somebody with `kubectl edit`.
    #[track_caller]
    pub fn edit(&self, path: &str, patch: &Value) -> Value {
        self.done(
            "PATCH",
            &format!("{path}?fieldManager=kubectl-edit"),
            "application/merge-patch+json",
            patch,
        )
    }

    /// Sets an object's status, as its controller does.
    #[track_caller]
    pub fn status(&self, path: &str, status: &Value) {
        let patch = json!({"status": status});
        let path = format!("{path}/status?fieldManager=controller");
        self.done("PATCH", &path, "application/merge-patch+json", &patch);
    }

    #[track_caller]
    pub fn create(&self, collection: &str, object: &Value) -> Value {
        self.done("POST", collection, "application/json", object)
    }

    #[track_caller]
    pub fn delete(&self, path: &str) {
        self.done("DELETE", path, "application/json", &Value::Null);
    }

    /// The objects of a collection.
    #[track_caller]
    pub fn list(&self, collection: &str) -> Vec<Value> {
        let listed = self.done("GET", collection, "application/json", &Value::Null);
        listed["items"].as_array().unwrap().clone()
    }

    /// The one object of a collection that gyre made, once there is one.
    #[track_caller]
    pub fn made(&self, collection: &str) -> Value {
        until(&format!("an object in {collection}"), || {
            let mut all = self.list(collection);
            all.retain(|object| object["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "gyre");
            assert!(all.len() <= 1, "{all:?}");
            all.pop()
        })
    }

    /// Says of a Deployment what its controller would, of the generation that it has now.
    #[track_caller]
    pub fn available(&self, path: &str, available: i64) {
        let object = self.done("GET", path, "application/json", &Value::Null);
        let is = if available > 0 { "True" } else { "False" };
        let condition =
            json!({"type": "Available", "status": is, "reason": "Tested", "message": "as the test says"});
        self.status(
            path,
            &json!({
                "observedGeneration": object["metadata"]["generation"], "replicas": 1, "updatedReplicas": 1,
                "readyReplicas": available, "availableReplicas": available, "conditions": [condition],
            }),
        );
    }

    /// Has the cluster know InferenceServices, by a schema of our own that takes any spec and status.
    #[track_caller]
    pub fn know_kserve(&self) {
        let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        self.create(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            &json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": "inferenceservices.serving.kserve.io"},
                "spec": {
                    "group": "serving.kserve.io", "scope": "Namespaced",
                    "names": {"plural": "inferenceservices", "singular": "inferenceservice", "kind": "InferenceService", "listKind": "InferenceServiceList"},
                    "versions": [{
                        "name": "v1beta1", "served": true, "storage": true, "subresources": {"status": {}},
                        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": any, "status": any}}},
                    }],
                },
            }),
        );
        until("the cluster knows InferenceServices", || {
            (self.ask("GET", INFERENCE, "", &Value::Null).0 == 200).then_some(())
        });
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        if let Kind::Real { etcd, server, .. } = &mut self.kind {
            for child in [server, etcd] {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}
