//! Versions on a Kubernetes cluster, from the command line to the answer: against a real API server where one is named, and a
//! stand-in otherwise. The test plays what a cluster would do beside: it writes the status of Deployments as their controller does,
//! runs the model as a kubelet would, and reaches it at an address of this machine (`--address`) rather than over the cluster's network.

use std::io::BufRead;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::kube::{Api, DEPLOYMENTS, GYRE, SERVICES, WEAK, until};
use super::support::{Said, Up, command, gyre};
use super::{ask, deploy, place, script, worth};

/// What a kubelet would have started.
struct Pod {
    child: Child,
    url: String,
}

impl Pod {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut python = Command::new("python3");
        python.arg(script("server.py")).env("PORT", port.to_string()).stdout(Stdio::null());
        Self { child: python.spawn().unwrap(), url: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn up(root: &Path, config: &Path, options: &[&str]) -> Up {
    let mut command = command(root);
    command.env("KUBECONFIG", config);
    Up::run(command, options)
}

/// `gyre deploy flat WORDS`, under way.
struct Deploying(Child);

impl Deploying {
    fn begin(root: &Path, words: &str) -> Self {
        let mut command = command(root);
        command.args(["deploy", "flat"]).args(words.split_whitespace());
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// The first line with these words of what it says meanwhile.
    #[track_caller]
    fn waits_for(&mut self, words: &str) -> String {
        let lines = std::io::BufReader::new(self.0.stderr.as_mut().unwrap()).lines();
        let mut all = lines.map(Result::unwrap);
        all.find(|line| line.contains(words)).unwrap_or_else(|| panic!("it never says {words:?}"))
    }

    fn end(self) -> Said {
        self.0.wait_with_output().unwrap().into()
    }
}

#[track_caller]
fn runtime(up: &Up, version: u64) -> Option<Value> {
    let all = up.get("/v1/models/flat/runtimes");
    all["runtimes"].as_array().unwrap().iter().find(|of| of["version"] == version).cloned()
}

fn state(up: &Up, version: u64, words: &str) -> Value {
    until(words, || runtime(up, version).filter(|of| of["state"].as_str().unwrap().contains(words)))
}

#[test]
fn a_version_on_a_cluster_stands_behind_the_gateway() {
    let (_dir, root) = place();
    let (api, pod) = (Api::start(), Pod::start());
    let config = api.kubeconfig(GYRE);
    let options = ["--allow-commands", "--allow-egress", "127.0.0.1"];
    let gyre_up = up(&root, &config, &options);
    deploy(&root, "--file model.txt", &[]).done();

    // What would be made can be read before.
    let image =
        format!("--protocol v2 --image registry.example.org/flat:2 --port 9000 --address {}", pod.url);
    let dry = deploy(&root, &format!("{image} --dry-run"), &["--fast"]).done().out;
    let objects: Vec<Value> = dry.split("\n---\n").map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!((&objects[0]["kind"], &objects[1]["kind"]), (&json!("Deployment"), &json!("Service")));
    assert_eq!(objects[0]["spec"]["template"]["spec"]["containers"][0]["args"], json!(["--fast"]));
    assert!(api.list(DEPLOYMENTS).is_empty());

    // It takes traffic once its Deployment is available and it has answered; until then it is told what it waits for.
    let mut deploying = Deploying::begin(&root, &format!("{image} --strategy replace"));
    let made = api.made(DEPLOYMENTS);
    assert_eq!(made["metadata"]["name"], objects[0]["metadata"]["name"]);
    let path = format!("{DEPLOYMENTS}/{}", made["metadata"]["name"].as_str().unwrap());
    let line = deploying.waits_for("taken notice");
    assert!(line.starts_with("version 2: Deployment flat-v2-"), "{line}");
    assert_eq!(worth(&gyre_up, "before", 30.0).1, "1");
    api.available(&path, 1);
    let said = deploying.end().done().out;
    assert!(said.starts_with("version 2 of flat takes all traffic"), "{said}");
    assert_eq!(worth(&gyre_up, "a", 60.0), (200.0, "2".to_owned()));
    assert_eq!(runtime(&gyre_up, 2).unwrap()["address"], pod.url.as_str());
    let shown = gyre(&root, "model show flat").done().out;
    assert!(shown.contains("Kubernetes Deployment of registry.example.org/flat:2"), "{shown}");

    // It dies, and requests are told so at once; it comes back.
    api.available(&path, 0);
    state(&gyre_up, 2, "not ready: Deployment flat-v2-");
    assert_eq!(ask(&gyre_up, "b", 60.0).0, 503);
    api.available(&path, 1);
    until("it answers again", || (ask(&gyre_up, "c", 60.0).0 == 200).then_some(()));

    // gyre starts anew, and finds what it made; that somebody has changed it meanwhile is told.
    drop(gyre_up);
    api.edit(&path, &json!({"spec": {"template": {"spec": {"enableServiceLinks": true}}}}));
    api.available(&path, 1);
    let gyre_up = up(&root, &config, &options);
    until("it answers after the restart", || (ask(&gyre_up, "d", 60.0).0 == 200).then_some(()));
    let adopted = api.made(DEPLOYMENTS);
    assert_eq!(adopted["metadata"]["uid"], made["metadata"]["uid"]);
    let remark = runtime(&gyre_up, 2).unwrap()["remark"].clone();
    assert!(remark.as_str().unwrap().contains("kubectl-edit"), "{remark}");

    // A version that does not come up is told why, and its objects go.
    let lost = deploy(&root, &format!("{image} --start-within 2s"), &[]);
    assert_eq!(lost.code, 1, "{lost:?}");
    assert!(lost.err.contains("Deployment flat-v3-") && lost.err.contains("taken notice"), "{}", lost.err);
    until("what did not come up is gone", || (api.list(DEPLOYMENTS).len() == 1).then_some(()));
    assert_eq!(worth(&gyre_up, "e", 60.0).1, "2");

    // The champion before stays warm, so that going back takes no time; what nobody goes back to is removed.
    deploy(&root, "--file model.txt --strategy replace", &[]).done();
    assert_eq!(api.made(DEPLOYMENTS)["metadata"]["uid"], made["metadata"]["uid"]);
    gyre(&root, "rollback flat --reason test").done();
    assert_eq!(worth(&gyre_up, "f", 60.0).1, "2");
    for at in ["g", "h"] {
        deploy(&root, "--file model.txt --strategy replace", &[]).done();
        assert_eq!(worth(&gyre_up, at, 60.0).0, 200.0);
    }
    until("its objects are gone", || {
        (api.list(DEPLOYMENTS).is_empty()
            && api.list(SERVICES).iter().all(|of| of["metadata"]["name"] == "kubernetes"))
        .then_some(())
    });
}

#[test]
fn what_a_cluster_refuses_is_told_and_not_everybody_may_ask() {
    let (_dir, root) = place();
    let api = Api::start();
    let gyre_up = up(&root, &api.kubeconfig(WEAK), &["--allow-commands"]);
    deploy(&root, "--file model.txt", &[]).done();
    let refused = deploy(&root, "--protocol v2 --image a", &[]);
    assert!(refused.code == 1 && refused.err.contains("403 Forbidden"), "{refused:?}");
    std::fs::write(root.join("bad.yaml"), "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n").unwrap();
    let refused = deploy(&root, "--protocol v2 --manifest bad.yaml", &[]);
    assert!(
        refused.err.contains("object 1 of the manifest") && refused.err.contains("Deployment (apps/v1)"),
        "{}",
        refused.err
    );
    let refused = deploy(&root, "--protocol v2 --image a --memory lots", &[]);
    assert!(refused.err.contains("512Mi"), "{}", refused.err);
    let refused = deploy(&root, "--protocol v2 --storage-uri s3://b/m", &[]);
    assert!(refused.code == 2 && refused.err.contains("--model-format"), "{refused:?}");
    drop(gyre_up);
    let _gyre_up = up(&root, &api.kubeconfig(GYRE), &[]);
    let refused = deploy(&root, "--protocol v2 --image a", &[]);
    assert!(
        refused.err.contains("no containers") && refused.err.contains("--allow-commands"),
        "{}",
        refused.err
    );
    assert!(api.list(DEPLOYMENTS).is_empty());
}
