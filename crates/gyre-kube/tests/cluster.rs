//! Versions on a cluster: against a real API server where one is named, and against a stand-in otherwise (see `support`).
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gyre_backend::{News, Place};
use gyre_core::runtime::{Kubernetes, Runtime};
use gyre_kube::{Access, ApiError, Client, Cluster, Credentials, Event, Identity, Stand};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use support::{Api, DEPLOYMENTS, EVENTS, GYRE, INFERENCE, PODS, SERVICES, WEAK, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime as Tokio;
use tokio::sync::watch::Receiver;
use tokio_rustls::TlsAcceptor;

type Certified = rcgen::CertifiedKey<rcgen::KeyPair>;

fn tokio() -> Tokio {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn access(config: &Path) -> Result<Access, gyre_kube::AccessError> {
    let config = config.to_owned();
    Access::find_in(move |name| (name == "KUBECONFIG").then(|| config.clone().into()), Path::new("/nowhere"))
}

fn cluster(tokio: &Tokio, config: PathBuf) -> Cluster {
    Cluster::new(tokio.handle().clone(), move || access(&config))
}

fn of(workload: Value) -> Kubernetes {
    let said = json!({"kind": "kubernetes", "protocol": {"v2": {"model": "{name}"}}, "workload": workload});
    let Runtime::Kubernetes(of) = serde_json::from_value(said).unwrap() else { panic!() };
    *of
}

fn image() -> Kubernetes {
    of(
        json!({"deployment": {"image": "registry.example.org/price:3", "port": 9000, "container": {"memory": "1Gi", "env": {"A": "b"}}}}),
    )
}

fn identity(instance: &str, version: u32) -> Identity {
    Identity { instance: instance.to_owned(), model: "price".parse().unwrap(), version }
}

/// Waits for news that are so.
#[track_caller]
fn hear(news: &Receiver<News>, what: &str, is: impl Fn(&News) -> bool) -> News {
    let mut last = None;
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until(what, || {
            let now = news.borrow().clone();
            last = Some(now.clone());
            is(&now).then_some(now)
        })
    }));
    found.unwrap_or_else(|_| panic!("not heard: {what}; last: {last:?}"))
}

fn down(news: &Receiver<News>, words: &str) -> String {
    let said = |news: &News| matches!(&news.place, Place::Down { why } if why.contains(words));
    match hear(news, words, said).place {
        Place::Down { why } => why,
        _ => unreachable!(),
    }
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

#[test]
fn a_version_is_made_watched_made_again_and_swept_away() {
    let (mut api, tokio) = (Api::start(), tokio());
    let cluster = cluster(&tokio, api.kubeconfig(GYRE));
    let news = cluster.keep(&image(), identity("one", 3), Stand::New);
    let (deployment, service) = (api.made(DEPLOYMENTS), api.made(SERVICES));
    let path = format!("{DEPLOYMENTS}/{}", name(&deployment));
    assert!(name(&deployment).starts_with("price-v3-") && name(&service) == name(&deployment));
    let labels = &deployment["metadata"]["labels"];
    assert_eq!(
        (&labels["gyre/model"], &labels["gyre/version"], &labels["gyre/instance"]),
        (&json!("price"), &json!("3"), &json!("one"))
    );
    assert_eq!(
        deployment["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.example.org/price:3"
    );
    hear(
        &news,
        "it is coming",
        |news| matches!(&news.place, Place::Coming { why } if why.contains("taken notice")),
    );

    // It comes up, goes down, comes up.
    let url = format!("http://{}.default.svc:9000", name(&service));
    let there = |news: &News| news.place == Place::At { url: url.clone(), ours: true };
    api.available(&path, 1);
    assert_eq!(hear(&news, "it is there", there).remark, None);
    api.available(&path, 0);
    down(&news, "0 of 1 replicas are available");
    api.available(&path, 1);
    hear(&news, "it is there again", there);

    // Another gyre in the namespace has objects of its own, and so has somebody who is no gyre.
    let others = cluster.keep(&image(), identity("two", 3), Stand::New);
    until("both have a Deployment", || (api.list(DEPLOYMENTS).len() == 2).then_some(()));
    let mut foreign = deployment.clone();
    foreign["metadata"] = json!({"name": "foreign", "labels": {"gyre/model": "price", "gyre/version": "3"}});
    api.create(DEPLOYMENTS, &foreign);

    // Somebody changes it: that is told, and left so.
    api.edit(&path, &json!({"spec": {"replicas": 1, "template": {"spec": {"enableServiceLinks": true}}}}));
    let changed = hear(&news, "somebody changed it", |news| there(news) && news.remark.is_some());
    let remark = changed.remark.unwrap();
    assert!(remark.contains("kubectl-edit") && remark.contains(".enableServiceLinks"), "{remark}");
    api.available(&path, 1);
    let now = api.done("GET", &path, "", &Value::Null);
    assert_eq!(now["spec"]["template"]["spec"]["enableServiceLinks"], true);

    // Somebody removes it: that is told, and it is made again, as it was.
    api.delete(&path);
    hear(&news, "it was removed", |news| format!("{news:?}").contains("removed by somebody else"));
    let again = until("it is made again", || {
        let (status, again) = api.ask("GET", &path, "", &Value::Null);
        (status == 200 && again["metadata"]["uid"] != deployment["metadata"]["uid"]).then_some(again)
    });
    assert_eq!(again["spec"]["template"]["spec"]["enableServiceLinks"], false);
    api.available(&path, 1);
    assert_eq!(hear(&news, "it is there once more", there).remark, None);

    // Without the API server the model goes on answering; when the server is back, it is watched again.
    api.stop();
    let unwatched = hear(&news, "it is not watched", |news| there(news) && news.remark.is_some());
    assert!(unwatched.remark.unwrap().contains("cannot be reached"));
    api.begin();
    hear(&news, "it is watched again", |news| there(news) && news.remark.is_none());
    api.available(&path, 0);
    down(&news, "0 of 1 replicas");

    // A gyre that starts anew adopts what is there, and asks it where it should be when the API server is away just then.
    drop(news);
    api.stop();
    let cluster = self::cluster(&tokio, api.kubeconfig(GYRE));
    let new = cluster.keep(&image(), identity("one", 4), Stand::New);
    hear(
        &new,
        "a new one is not there",
        |news| matches!(&news.place, Place::Coming { why } if why.contains("cannot be reached")),
    );
    let news = cluster.keep(&image(), identity("one", 3), Stand::Before);
    hear(&news, "one from before should be there", |news| there(news) && news.remark.is_some());
    drop(new);
    api.begin();
    let uid = |path: &str| api.done("GET", path, "", &Value::Null)["metadata"]["uid"].clone();
    let before = uid(&path);
    hear(&news, "it is not there after all", |news| format!("{news:?}").contains("0 of 1 replicas"));
    api.available(&path, 1);
    hear(&news, "it is adopted", there);
    assert_eq!(uid(&path), before);

    // What is kept is not swept away; what nobody keeps is, and nothing else.
    let gone = BTreeMap::from([(3, image())]);
    let model = "price".parse().unwrap();
    let sweep = || tokio.block_on(cluster.sweep("one", &model, &gone)).unwrap();
    assert!(!sweep());
    assert_eq!(uid(&path), before);
    drop(news);
    until("it is swept away", || sweep().then_some(()));
    let left: Vec<String> = api.list(DEPLOYMENTS).iter().map(name).collect();
    assert!(
        left.len() == 2 && !left.contains(&name(&deployment)) && left.contains(&"foreign".to_owned()),
        "{left:?}"
    );
    let services = api.list(SERVICES);
    assert!(services.iter().all(|of| name(of) != name(&service)));
    drop(others);
}

#[test]
fn what_is_in_the_way_is_said_in_words() {
    let (api, tokio) = (Api::start(), tokio());
    // Not ours: it is left as it is.
    let mine = identity("one", 1);
    let pod = json!({"metadata": {"labels": {"x": "y"}}, "spec": {"containers": [{"name": "c", "image": "theirs"}]}});
    let theirs = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": mine.name()},
        "spec": {"selector": {"matchLabels": {"x": "y"}}, "template": pod},
    });
    api.create(DEPLOYMENTS, &theirs);
    let ours = cluster(&tokio, api.kubeconfig(GYRE));
    let news = ours.keep(&image(), mine, Stand::New);
    down(&news, "does not carry the labels of version 1");
    let left = &api.list(DEPLOYMENTS)[0];
    assert_eq!(left["spec"]["template"]["spec"]["containers"][0]["image"], "theirs");

    // No rights, no credentials, no cluster.
    let weak = cluster(&tokio, api.kubeconfig(WEAK));
    let refused = down(&weak.keep(&image(), identity("one", 2), Stand::New), "403 Forbidden");
    assert!(refused.contains("docs/deployment.md"), "{refused}");
    let nobody = cluster(&tokio, api.kubeconfig("nobody"));
    down(&nobody.keep(&image(), identity("one", 2), Stand::New), "401 Unauthorized");
    let nowhere = cluster(&tokio, "/nowhere/config".into());
    down(&nowhere.keep(&image(), identity("one", 2), Stand::New), "/nowhere/config cannot be read");

    // A token in a file is read anew: it is replaced while we run.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, WEAK).unwrap();
    let config = api.kubeconfig(GYRE);
    let token = file.clone();
    let find = move || {
        access(&config).map(|access| Access { credentials: Credentials::TokenFile(token.clone()), ..access })
    };
    let rotated = Cluster::new(tokio.handle().clone(), find);
    let news = rotated.keep(&image(), identity("one", 4), Stand::New);
    down(&news, "403 Forbidden");
    std::fs::write(&file, format!("{GYRE}\n")).unwrap();
    hear(&news, "the new token is taken", |news| {
        matches!(&news.place, Place::Coming { .. } | Place::Down { .. })
            && !format!("{news:?}").contains("403")
    });

    // KServe is not there, and then it is.
    let kserve = of(json!({"inference_service": {"model_format": "sklearn", "storage_uri": "s3://b/m"}}));
    let news = ours.keep(&kserve, identity("one", 5), Stand::New);
    down(&news, "is KServe installed?");
    api.know_kserve();
    let service = api.made(INFERENCE);
    let path = format!("{INFERENCE}/{}", name(&service));
    assert_eq!(service["spec"]["predictor"]["model"]["storageUri"], "s3://b/m");
    let condition = |status: &str| json!([{"type": "Ready", "status": status, "reason": "RevisionMissing", "message": "not yet"}]);
    api.status(&path, &json!({"conditions": condition("False")}));
    hear(&news, "KServe says why", |news| format!("{:?}", news.place).contains("RevisionMissing: not yet"));
    let url = format!("http://{}.default.svc.cluster.local", name(&service));
    api.status(&path, &json!({"conditions": condition("True"), "address": {"url": url}}));
    hear(&news, "it is there", |news| news.place == Place::At { url: url.clone(), ours: true });
    api.status(&path, &json!({"address": {"url": "http://elsewhere.example.org"}}));
    hear(&news, "an address elsewhere is not one of ours", |news| {
        news.place == Place::At { url: "http://elsewhere.example.org".to_owned(), ours: false }
    });
}

#[test]
fn pods_say_why_a_version_does_not_come_up() {
    let (api, tokio) = (Api::start(), tokio());
    let cluster = cluster(&tokio, api.kubeconfig(GYRE));
    let news = cluster.keep(&image(), identity("one", 1), Stand::New);
    let deployment = api.made(DEPLOYMENTS);
    let path = format!("{DEPLOYMENTS}/{}", name(&deployment));
    api.available(&path, 0);
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let pod = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": {
            "serviceAccountName": "default", "automountServiceAccountToken": false,
            "containers": [{"name": "model", "image": "registry.example.org/price:3"}]}})
    };
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    api.create("/api/v1/namespaces/default/serviceaccounts", &account);
    api.create(PODS, &pod("p1"));
    let containers = |state: Value, more: Value| {
        let mut container = json!({"name": "model", "image": "i", "imageID": "", "ready": false, "restartCount": 4, "state": state});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"phase": "Pending", "containerStatuses": [container]})
    };
    api.create(EVENTS, &json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e1"}, "type": "Warning", "reason": "FailedMount",
        "message": "the secret is missing", "involvedObject": {"kind": "Pod", "name": "p1", "namespace": "default"},
    }));
    api.status(
        &format!("{PODS}/p1"),
        &containers(json!({"waiting": {"reason": "ContainerCreating"}}), json!({})),
    );
    hear(&news, "an event is told", |news| {
        format!("{:?}", news.place).contains("FailedMount: the secret is missing")
    });
    let back_off = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}});
    api.status(&format!("{PODS}/p1"), &containers(back_off, json!({})));
    let why = down(&news, "ImagePullBackOff: Back-off pulling image");
    assert!(why.starts_with("Deployment price-v1-"), "{why}");
    // No kubelet is there to ask for a log, and that is said too.
    let ended = json!({"lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}});
    let crash = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    api.status(&format!("{PODS}/p1"), &containers(crash, ended));
    let why = down(&news, "exit code 137, OOMKilled");
    assert!(why.contains("it printed last: the API server refused to read the log of the pod p1"), "{why}");
    // The cluster gives up.
    api.status(
        &path,
        &json!({"conditions": [{"type": "Progressing", "status": "False",
        "reason": "ProgressDeadlineExceeded", "message": "it takes too long"}]}),
    );
    down(&news, "ProgressDeadlineExceeded: it takes too long");
    // It comes up after all.
    api.available(&path, 1);
    hear(&news, "it is there", |news| matches!(news.place, Place::At { .. }));
}

#[test]
fn a_watch_that_is_too_old_says_so() {
    let (mut api, tokio) = (Api::start(), tokio());
    let object = gyre_kube::plan(&image(), &identity("one", 1), "default").unwrap().main;
    let kind = object.kind;
    let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    for name in ["a", "b", "c"] {
        api.create("/api/v1/namespaces/default/configmaps", &map(name));
    }
    api.restart();
    let client = Client::new(access(&api.kubeconfig(GYRE)).unwrap()).unwrap();
    let expired = tokio.block_on(async {
        match client.watch(kind, "default", "nothing", "1").await {
            Err(error) => Some(error),
            Ok(mut watch) => watch.next().await.err(),
        }
    });
    let expired: Option<ApiError> = expired;
    assert_eq!(expired.unwrap().status(), Some(410));
    // From the list's version it goes on.
    let listed = tokio.block_on(client.list(kind, "default", ("fieldSelector", "metadata.name=x"))).unwrap();
    let heard = tokio.block_on(async {
        let mut watch = client.watch(kind, "default", &object.name, &listed.resource_version).await.unwrap();
        client.apply(&object, gyre_kube::Apply::Trial).await.unwrap();
        client.apply(&object, gyre_kube::Apply::Really).await.unwrap();
        watch.next().await.unwrap()
    });
    assert!(matches!(heard, Some(Event::Now(heard)) if name(&heard) == object.name));
}

/// A server over TLS that knows its clients by their certificates, and has an empty list for each.
async fn serve_tls(server: &Certified, client: &Certified) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(client.cert.der().clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![server.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    ::tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Whoever does not trust us, or is not known, is broken off.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut asked = [0; 1024];
            if stream.read(&mut asked).await.is_ok() {
                let body = r#"{"metadata": {"resourceVersion": "7"}, "items": []}"#;
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    port
}

#[test]
fn a_server_proves_itself_to_us_and_we_to_it() {
    let certified = || rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (server, client, other) = (certified(), certified(), certified());
    let tokio = tokio();
    let port = tokio.block_on(serve_tls(&server, &client));
    let kind = gyre_kube::plan(&image(), &identity("one", 1), "default").unwrap().main.kind;
    let ask = |authority: &Certified, who: Option<&Certified>| {
        let credentials = match who {
            None => Credentials::Anonymous,
            Some(who) => Credentials::Certificate {
                chain: who.cert.pem().into_bytes(),
                key: who.signing_key.serialize_pem().into_bytes(),
            },
        };
        let access = Access {
            server: format!("https://127.0.0.1:{port}").parse().unwrap(),
            authority: Some(authority.cert.pem().into_bytes()),
            server_name: None,
            credentials,
            namespace: "default".to_owned(),
        };
        let client = Client::new(access).unwrap();
        tokio.block_on(client.list(kind, "default", ("labelSelector", "a=b")))
    };
    assert_eq!(ask(&server, Some(&client)).unwrap().resource_version, "7");
    let impostor = ask(&other, Some(&client)).unwrap_err().to_string();
    assert!(impostor.contains("cannot be reached") && impostor.contains("certificate"), "{impostor}");
    assert!(ask(&server, Some(&other)).is_err() && ask(&server, None).is_err());
}
