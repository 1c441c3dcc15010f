//! A stand-in for the API server: the calls that gyre makes, with the behaviour that the real one showed in the same tests.
//!
//! It knows no schemas, no defaults and no admission. What it has: resource versions, generations, server-side apply with owners of
//! fields, watches that expire when it starts anew, selectors, the `status` subresource, preconditions, and the words of refusals.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{ADMIN, GYRE, WEAK};

/// Manager by the paths of the fields that are its own.
type Owners = BTreeMap<String, BTreeSet<String>>;

#[derive(Default)]
struct Stored {
    objects: BTreeMap<String, (Value, Owners)>,
    /// What happened since the start: version, kind of event, path of the collection, object.
    events: Vec<(u64, &'static str, String, Value)>,
    version: u64,
    /// From where watches can go on.
    oldest: u64,
    knows_kserve: bool,
}

struct State {
    stored: Mutex<Stored>,
    news: Condvar,
}

pub struct StandIn {
    address: SocketAddr,
    state: Arc<State>,
    life: Arc<AtomicBool>,
}

impl StandIn {
    pub fn start() -> Self {
        let state = Arc::new(State { stored: Mutex::default(), news: Condvar::new() });
        state.stored.lock().unwrap().version = 100;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut started = Self { address, state, life: Arc::default() };
        started.serve(listener);
        started
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn stop(&mut self) {
        self.life.store(false, Ordering::SeqCst);
        self.state.news.notify_all();
        // Wakes whoever accepts.
        let _ = TcpStream::connect(self.address);
    }

    pub fn begin(&mut self) {
        let listener = super::until("the port is free again", || TcpListener::bind(self.address).ok());
        let mut stored = self.state.stored.lock().unwrap();
        stored.events.clear();
        stored.oldest = stored.version;
        drop(stored);
        self.serve(listener);
    }

    fn serve(&mut self, listener: TcpListener) {
        self.life = Arc::new(AtomicBool::new(true));
        let (state, life) = (Arc::clone(&self.state), Arc::clone(&self.life));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if !life.load(Ordering::SeqCst) {
                    return;
                }
                let (state, life) = (Arc::clone(&state), Arc::clone(&life));
                std::thread::spawn(move || drop(answer(stream.unwrap(), &state, &life)));
            }
        });
    }
}

struct Asked {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    token: Option<String>,
    content: String,
    body: Value,
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut token, mut content) = (0, None, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "content-type" => value.clone_into(&mut content),
            "authorization" => token = value.strip_prefix("Bearer ").map(str::to_owned),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(name, value)| (name.to_owned(), decoded(value))).collect();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Some(Asked { method, path: path.to_owned(), query, token, content, body })
}

fn send(mut stream: &TcpStream, status: u16, body: &Value) -> std::io::Result<()> {
    let body = match body {
        Value::String(text) => text.clone(),
        body => body.to_string(),
    };
    write!(stream, "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn status(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let told = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code});
    (code, told)
}

/// `/apis/G/V/namespaces/N/PLURAL` and what comes after it.
fn split(path: &str) -> (String, Option<String>, Option<String>) {
    let parts: Vec<&str> = path.split('/').collect();
    let at = parts.iter().position(|part| *part == "namespaces").map_or(parts.len(), |at| at + 3);
    let at = at.min(parts.len());
    let rest = |n: usize| parts.get(at + n).map(|part| (*part).to_owned());
    (parts[..at].join("/"), rest(0), rest(1))
}

fn answer(stream: TcpStream, state: &State, life: &AtomicBool) -> std::io::Result<()> {
    let Some(asked) = read(&stream) else { return Ok(()) };
    let (collection, name, sub) = split(&asked.path);
    match asked.token.as_deref() {
        Some(ADMIN | GYRE) => {}
        None | Some(WEAK) => {
            let who = if asked.token.is_some() { "weak" } else { "system:anonymous" };
            let plural = collection.rsplit('/').next().unwrap_or_default();
            let message =
                format!("{plural} is forbidden: User \"{who}\" cannot do that to resource \"{plural}\"");
            let (code, body) = status(403, "Forbidden", &message);
            return send(&stream, code, &body);
        }
        Some(_) => {
            let (code, body) = status(401, "Unauthorized", "Unauthorized");
            return send(&stream, code, &body);
        }
    }
    if asked.query.get("watch").is_some_and(|watch| watch == "true") {
        return watch(&stream, &asked, &collection, state, life);
    }
    let mut stored = state.stored.lock().unwrap();
    let (code, body) = stored.act(&asked, &collection, name, sub.as_deref());
    drop(stored);
    state.news.notify_all();
    send(&stream, code, &body)
}

fn watch(
    mut stream: &TcpStream,
    asked: &Asked,
    collection: &str,
    state: &State,
    life: &AtomicBool,
) -> std::io::Result<()> {
    let from: u64 = asked.query["resourceVersion"].parse().unwrap();
    let mut stored = state.stored.lock().unwrap();
    write!(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
    let mut tell = |kind: &str, object: &Value| {
        let line = format!("{}\n", json!({"type": kind, "object": object}));
        write!(stream, "{:x}\r\n{line}\r\n", line.len())
    };
    if from < stored.oldest {
        let message = format!("too old resource version: {from} ({})", stored.oldest);
        tell("ERROR", &status(410, "Expired", &message).1)?;
        return stream.write_all(b"0\r\n\r\n");
    }
    let mut seen = from;
    loop {
        let (new, _) =
            stored.events.iter().fold((Vec::new(), ()), |(mut new, ()), (version, kind, of, object)| {
                if *version > seen && of == collection && selected(object, &asked.query) {
                    new.push((*kind, object.clone()));
                }
                (new, ())
            });
        seen = stored.version.max(seen);
        for (kind, object) in new {
            tell(kind, &object)?;
        }
        if !life.load(Ordering::SeqCst) {
            // As a server that is killed: without an end.
            return Ok(());
        }
        stored = state.news.wait_timeout(stored, Duration::from_secs(1)).unwrap().0;
    }
}

fn selected(object: &Value, query: &BTreeMap<String, String>) -> bool {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let pairs = |name: &str| -> Vec<(String, String)> {
        let all = query.get(name).map(String::as_str).unwrap_or_default();
        all.split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .collect()
    };
    let labels =
        pairs("labelSelector").iter().all(|(label, value)| object["metadata"]["labels"][label] == **value);
    labels
        && pairs("fieldSelector")
            .iter()
            .all(|(field, value)| text(&format!("/{}", field.replace('.', "/"))) == *value)
}

impl Stored {
    fn act(
        &mut self,
        asked: &Asked,
        collection: &str,
        name: Option<String>,
        sub: Option<&str>,
    ) -> (u16, Value) {
        if collection.ends_with("customresourcedefinitions") {
            self.knows_kserve = true;
            return (201, json!({}));
        }
        if collection.contains("serving.kserve.io") && !self.knows_kserve {
            return (404, "404 page not found\n".into());
        }
        let plural = collection.rsplit('/').next().unwrap_or_default();
        let name = name.or_else(|| asked.body["metadata"]["name"].as_str().map(str::to_owned));
        let Some(name) = name.filter(|_| asked.method != "GET" || split(&asked.path).1.is_some()) else {
            let of = format!("{collection}/");
            let items =
                self.objects.iter().filter(|(path, _)| path.starts_with(&of)).map(|(_, (object, _))| object);
            let items: Vec<&Value> = items.filter(|object| selected(object, &asked.query)).collect();
            let list = json!({"kind": "List", "metadata": {"resourceVersion": self.version.to_string()}, "items": items});
            return (200, list);
        };
        let path = format!("{collection}/{name}");
        let found = self.objects.get(&path).cloned();
        let missing = || status(404, "NotFound", &format!("{plural} \"{name}\" not found"));
        if sub == Some("log") {
            return missing();
        }
        let manager = asked.query.get("fieldManager").cloned().unwrap_or_else(|| "curl".to_owned());
        let is_trial = asked.query.get("dryRun").is_some_and(|all| all == "All");
        match (asked.method.as_str(), found) {
            ("GET", Some((object, _))) => (200, object),
            ("POST", None) => self.put(collection, &name, asked.body.clone(), Owners::new(), None),
            ("PATCH", found) if asked.content == "application/apply-patch+yaml" => {
                let (before, mut owners) = found.clone().unwrap_or_default();
                if let Some(refused) = conflict(&before, &owners, &asked.body, &manager) {
                    return refused;
                }
                let mut fields = BTreeSet::new();
                leaves(&asked.body, String::new(), &mut fields);
                owners.insert(manager, fields);
                let mut object = before.clone();
                merge(&mut object, &asked.body, true);
                if is_trial {
                    return (200, object);
                }
                self.put(collection, &name, object, owners, found.map(|(before, _)| before))
            }
            ("PATCH", Some((before, mut owners))) => {
                let mut object = before.clone();
                let mut patch = asked.body.clone();
                let fields = patch.as_object_mut().unwrap();
                fields.retain(|field, _| (field == "status") == (sub == Some("status")));
                merge(&mut object, &patch, false);
                let mut changed = BTreeSet::new();
                leaves(&patch, String::new(), &mut changed);
                changed.retain(|path| at(&before, path) != at(&object, path));
                owners.values_mut().for_each(|fields| fields.retain(|path| !changed.contains(path)));
                owners.entry(manager).or_default().extend(changed);
                self.put(collection, &name, object, owners, Some(before))
            }
            ("DELETE", Some((object, _))) => {
                let wanted = asked.body.pointer("/preconditions/uid");
                if wanted.is_some_and(|uid| *uid != object["metadata"]["uid"]) {
                    return status(
                        409,
                        "Conflict",
                        "the UID in the precondition does not match the UID in record",
                    );
                }
                self.objects.remove(&path);
                self.version += 1;
                self.events.push((self.version, "DELETED", collection.to_owned(), object));
                (200, json!({"kind": "Status", "status": "Success"}))
            }
            ("POST", Some(_)) => status(409, "AlreadyExists", &format!("{plural} \"{name}\" already exists")),
            _ => missing(),
        }
    }

    fn put(
        &mut self,
        collection: &str,
        name: &str,
        mut object: Value,
        owners: Owners,
        before: Option<Value>,
    ) -> (u16, Value) {
        if before.as_ref() == Some(&object) {
            self.objects.insert(format!("{collection}/{name}"), (object.clone(), owners));
            return (200, object);
        }
        let namespace = collection.split('/').rev().nth(1).unwrap_or_default();
        self.version += 1;
        let generation = before.as_ref().and_then(|of| of["metadata"]["generation"].as_i64()).unwrap_or(0);
        let is_changed = before.as_ref().is_none_or(|of| of["spec"] != object["spec"]);
        object["metadata"]["namespace"] = namespace.into();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object["metadata"]["generation"] = (generation + i64::from(is_changed)).into();
        if before.is_none() {
            object["metadata"]["uid"] = format!("uid-{}", self.version).into();
        }
        let kind = if before.is_none() { "ADDED" } else { "MODIFIED" };
        self.objects.insert(format!("{collection}/{name}"), (object.clone(), owners));
        self.events.push((self.version, kind, collection.to_owned(), object.clone()));
        (if before.is_none() { 201 } else { 200 }, object)
    }
}

/// The paths of all fields; the parts of a list count as one, but for those that have names.
fn leaves(value: &Value, path: String, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                // What identifies an object is nobody's.
                if path.is_empty() && ["apiVersion", "kind"].contains(&name.as_str())
                    || path == "/metadata" && ["name", "namespace"].contains(&name.as_str())
                {
                    continue;
                }
                leaves(value, format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(all) if all.iter().all(|one| one.get("name").is_some()) => {
            for (at, one) in all.iter().enumerate() {
                leaves(one, format!("{path}/{at}"), found);
            }
        }
        _ => {
            found.insert(path);
        }
    }
}

fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    object.pointer(path)
}

/// The refusal when `applied` sets fields otherwise that are somebody else's.
fn conflict(object: &Value, owners: &Owners, applied: &Value, manager: &str) -> Option<(u16, Value)> {
    let mut fields = BTreeSet::new();
    leaves(applied, String::new(), &mut fields);
    for (other, theirs) in owners.iter().filter(|(other, _)| *other != manager) {
        let differs = |path: &&String| theirs.contains(*path) && at(object, path) != at(applied, path);
        if let Some(path) = fields.iter().find(differs) {
            let field = path.replace('/', ".");
            let version = applied["apiVersion"].as_str().unwrap_or_default();
            let message =
                format!("Apply failed with 1 conflict: conflict with \"{other}\" using {version}: {field}");
            return Some(status(409, "Conflict", &message));
        }
    }
    None
}

/// Merges `patch` into `object`, as RFC 7396 does; when it is applied, lists of named parts are merged part by part.
fn merge(object: &mut Value, patch: &Value, is_applied: bool) {
    match (object, patch) {
        (Value::Object(fields), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    fields.remove(name);
                } else {
                    merge(fields.entry(name).or_insert(Value::Null), value, is_applied);
                }
            }
        }
        (Value::Array(all), Value::Array(patch))
            if is_applied && patch.iter().all(|one| one.get("name").is_some()) =>
        {
            for one in patch {
                match all.iter_mut().find(|other| other["name"] == one["name"]) {
                    Some(other) => merge(other, one, is_applied),
                    None => all.push(one.clone()),
                }
            }
        }
        (object, patch) => {
            let mut fresh = match patch {
                Value::Object(_) => Value::Object(Map::new()),
                other => other.clone(),
            };
            if let Value::Object(_) = patch {
                merge(&mut fresh, patch, is_applied);
            }
            *object = fresh;
        }
    }
}
