//! Keeps the objects of one version: makes them, watches them, tells what becomes of them, makes them again when they are gone.
//!
//! One task a version. A life of it is: find the access, apply, list, watch; it ends when the object is gone or the API server fails, and
//! begins anew, ever more rarely. What was ready stays so while only the API server is away: models answer without it.

use std::sync::Arc;
use std::time::Duration;

use gyre_backend::{News, Place};
use gyre_core::runtime::Kubernetes;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::access::Access;
use crate::client::{Apply, Client};
use crate::error::{AccessError, ApiError, ManifestError};
use crate::manifest::{Object, Plan, plan};
use crate::names::Identity;
use crate::reasons::{self, Reasons};
use crate::status::{Health, health};
use crate::watch::Event;

/// After the first failure in a row; doubled with each.
const FIRST: Duration = Duration::from_millis(250);
/// Never longer than this.
const LONGEST: Duration = Duration::from_secs(60);
/// After a life this long the next failure counts as the first.
const STEADY: Duration = Duration::from_secs(60);
/// How often it is asked why a version is not ready: its pods change without its objects.
const LOOK: Duration = Duration::from_secs(1);
/// After this a watch is given up that its server should have ended before: the connection may be dead without anybody's saying so.
const WATCH: Duration = Duration::from_secs(300);
/// Between two watches, lest a server that ends them at once is asked without pause.
const PAUSE: Duration = Duration::from_millis(100);

/// How the access to the cluster is found.
pub(crate) type Find = dyn Fn() -> Result<Access, AccessError> + Send + Sync;

/// Keeps one version.
pub(crate) struct Keeper {
    pub(crate) find: Arc<Find>,
    pub(crate) of: Kubernetes,
    pub(crate) identity: Identity,
    pub(crate) news: watch::Sender<News>,
    pub(crate) stand: Stand,
    pub(crate) known: Known,
}

/// What is thought of a version before its cluster has said anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// It is to be made: nothing answers for it yet.
    New,
    /// It was there when gyre was here before. While the API server is away it is asked where it should be.
    Before,
}

/// What is known from one life to the next.
#[derive(Default)]
pub(crate) struct Known {
    was_ready: bool,
    /// Where it should be, and whether that is within the cluster.
    address: Option<(String, bool)>,
    drift: Option<String>,
    /// Why it is made again; until it is ready.
    lost: Option<String>,
    /// The generation of the object that was last compared with what we set.
    compared: Option<i64>,
}

/// How a life ended.
enum Over {
    /// Somebody removed it.
    Gone(String),
    /// An object of this name is not ours.
    NotOurs(String),
    Api(ApiError),
    Manifest(ManifestError),
}

impl From<ApiError> for Over {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<AccessError> for Over {
    fn from(error: AccessError) -> Self {
        Self::Api(error.into())
    }
}

impl From<ManifestError> for Over {
    fn from(error: ManifestError) -> Self {
        Self::Manifest(error)
    }
}

impl Keeper {
    /// Keeps it until nobody listens any more.
    pub(crate) async fn run(mut self) {
        let news = self.news.clone();
        let mut failures: u32 = 0;
        loop {
            let began = Instant::now();
            let over = tokio::select! {
                () = news.closed() => return,
                over = self.life() => over,
            };
            failures = if began.elapsed() >= STEADY { 1 } else { failures.saturating_add(1) };
            if let Err(over) = over {
                self.ended(&over);
            }
            tokio::select! {
                () = news.closed() => return,
                () = sleep(delay(failures)) => {}
            }
        }
    }

    /// From applying the objects until they are gone or the API server fails; never ends well.
    async fn life(&mut self) -> Result<(), Over> {
        let client = Client::new((self.find)()?)?;
        let plan = plan(&self.of, &self.identity, client.namespace())?;
        self.known.drift = None;
        self.known.address.clone_from(&plan.address);
        for object in &plan.objects {
            self.apply(&client, object).await?;
        }
        let Object { kind, name, namespace, .. } = &plan.main;
        'list: loop {
            let by_name = format!("metadata.name={name}");
            let listed = client.list(kind, namespace, ("fieldSelector", &by_name)).await?;
            let Some(object) = listed.items.first() else { return Err(self.gone(&plan)) };
            let mut from = listed.resource_version;
            let mut is_ready = self.look(&client, &plan, object).await?;
            let mut object = object.clone();
            loop {
                let mut watch = match client.watch(kind, namespace, name, &from).await {
                    Err(error) if error.status() == Some(410) => continue 'list,
                    watch => watch?,
                };
                let until = Instant::now() + WATCH;
                loop {
                    let event = tokio::select! {
                        event = watch.next() => event,
                        () = sleep_until(until) => break,
                        () = sleep(LOOK), if !is_ready => {
                            is_ready = self.look(&client, &plan, &object).await?;
                            continue;
                        }
                    };
                    match event {
                        Ok(Some(Event::Now(now))) => {
                            is_ready = self.look(&client, &plan, &now).await?;
                            object = now;
                        }
                        Ok(Some(Event::Gone)) => return Err(self.gone(&plan)),
                        Ok(Some(Event::Still)) => {}
                        Ok(None) => break,
                        Err(error) if error.status() == Some(410) => continue 'list,
                        Err(error) => return Err(error.into()),
                    }
                }
                from = watch.seen.unwrap_or(from);
                sleep(PAUSE).await;
            }
        }
    }

    /// Applies an object, if it is ours or nobody's. What somebody else has changed stays as it is, and is told.
    async fn apply(&mut self, client: &Client, object: &Object) -> Result<(), Over> {
        if let Some(found) = client.get(object.kind, &object.namespace, &object.name).await? {
            self.ours(object, &found)?;
        }
        match client.apply(object, Apply::Really).await {
            Ok(_) => Ok(()),
            Err(error) => self.conflict(object, error),
        }
    }

    /// Takes note of the fields that somebody else has taken over; any other error stays one.
    fn conflict(&mut self, object: &Object, error: ApiError) -> Result<(), Over> {
        match error {
            ApiError::Refused { status: 409, message, .. } if message.starts_with("Apply failed") => {
                self.drifted(object, &message);
                Ok(())
            }
            error => Err(error.into()),
        }
    }

    fn ours(&self, object: &Object, found: &Value) -> Result<(), Over> {
        if self.identity.owns(found) {
            return Ok(());
        }
        Err(Over::NotOurs(format!(
            "the {} {} in the namespace {} does not carry the labels of version {} of `{}`, so it is left as it is; remove it, or choose another name",
            object.kind.kind, object.name, object.namespace, self.identity.version, self.identity.model
        )))
    }

    fn drifted(&mut self, object: &Object, message: &str) {
        let told = format!("somebody changed the {} {}: {message}", object.kind.kind, object.name);
        self.known.drift = Some(match self.known.drift.take() {
            Some(before) => format!("{before}; {told}"),
            None => told,
        });
    }

    /// Looks at the object that says whether the model is ready, and tells. Returns whether it is.
    async fn look(&mut self, client: &Client, plan: &Plan, object: &Value) -> Result<bool, Over> {
        self.ours(&plan.main, object)?;
        let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
        if generation != self.known.compared {
            if self.known.compared.is_some() {
                self.compare(client, plan).await?;
            }
            self.known.compared = generation;
        }
        let kind = plan.main.kind.kind;
        let (why, given_up) = match health(kind, object) {
            Health::Ready(said) => {
                let place = match (&plan.address, said) {
                    (Some((url, ours)), _) => Place::At { url: url.clone(), ours: *ours },
                    (None, Some((inside, url))) => {
                        let ours = inside && is_within(&url, &plan.main);
                        Place::At { url, ours }
                    }
                    (None, None) => Place::Down { why: format!("the {kind} tells no URL") },
                };
                self.known.was_ready = true;
                self.known.lost = None;
                self.tell(place, None, Vec::new());
                return Ok(true);
            }
            Health::Unseen => {
                let before = self.news.borrow().place.clone();
                if matches!(before, Place::At { .. }) {
                    // Somebody changed it a moment ago; what ran goes on running until the cluster says otherwise.
                    self.tell(before, None, Vec::new());
                    return Ok(true);
                }
                ("the cluster has not taken notice of it yet".to_owned(), false)
            }
            Health::NotReady(why) => (why, false),
            Health::GivenUp(why) => (why, true),
        };
        let Reasons { words, is_final, printed } = reasons::find(client, &plan.main).await;
        let words = if words.is_empty() { String::new() } else { format!("; {words}") };
        let last = printed.iter().rev().find(|line| !line.trim().is_empty());
        let last = last.map(|line| format!("; it printed last: {line}")).unwrap_or_default();
        let why = format!("{kind} {}: {why}{words}{last}", plan.main.name);
        let is_down = given_up || is_final || self.known.was_ready;
        self.tell(if is_down { Place::Down { why } } else { Place::Coming { why } }, None, printed);
        Ok(false)
    }

    /// Whether somebody else has changed what we set: the API server says so when we try to set it again.
    async fn compare(&mut self, client: &Client, plan: &Plan) -> Result<(), Over> {
        self.known.drift = None;
        for object in &plan.objects {
            match client.apply(object, Apply::Trial).await {
                Ok(_) => {}
                Err(error) => self.conflict(object, error)?,
            }
        }
        Ok(())
    }

    fn gone(&self, plan: &Plan) -> Over {
        Over::Gone(format!(
            "the {} {} was removed by somebody else; it is made again",
            plan.main.kind.kind, plan.main.name
        ))
    }

    /// Tells how a life ended.
    fn ended(&mut self, over: &Over) {
        self.known.compared = None;
        match over {
            Over::Gone(why) => {
                self.known.lost = Some(why.clone());
                self.tell(Place::Down { why: why.clone() }, None, Vec::new());
            }
            Over::NotOurs(why) => self.tell(Place::Down { why: why.clone() }, None, Vec::new()),
            Over::Manifest(error) => self.tell(Place::Down { why: error.to_string() }, None, Vec::new()),
            Over::Api(error) => {
                let why = error.to_string();
                let mut before = self.news.borrow().place.clone();
                if let (Place::Coming { .. }, Stand::Before, Some((url, ours)), true) =
                    (&before, self.stand, &self.known.address, error.is_passing())
                {
                    before = Place::At { url: url.clone(), ours: *ours };
                }
                match before {
                    // It answers without the API server.
                    Place::At { .. } => {
                        self.tell(before, Some(format!("it is not watched at present: {why}")), Vec::new())
                    }
                    Place::Coming { .. } if error.is_passing() => {
                        self.tell(Place::Coming { why }, None, Vec::new())
                    }
                    Place::Coming { .. } | Place::Down { .. } => {
                        self.tell(Place::Down { why }, None, Vec::new())
                    }
                }
            }
        }
    }

    fn tell(&self, place: Place, remark: Option<String>, lines: Vec<String>) {
        let all = [remark, self.known.lost.clone(), self.known.drift.clone()];
        let all: Vec<String> = all.into_iter().flatten().collect();
        let remark = (!all.is_empty()).then(|| all.join("; "));
        self.news.send_replace(News { place, remark, lines });
    }
}

/// Whether a URL that an object's status tells is that of the object itself within its cluster.
fn is_within(url: &str, object: &Object) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let Some((first, rest)) = uri.host().and_then(|host| host.split_once('.')) else { return false };
    let namespace = &object.namespace;
    let place = rest == format!("{namespace}.svc") || rest == format!("{namespace}.svc.cluster.local");
    place
        && (first == object.name
            || first.strip_prefix(&object.name).is_some_and(|more| more.starts_with('-')))
}

/// Doubled with each failure, less up to a quarter by chance, so that many versions do not all come back at one moment.
fn delay(failures: u32) -> Duration {
    let doubled = 2_u32.checked_pow(failures.saturating_sub(1)).and_then(|by| FIRST.checked_mul(by));
    let whole = doubled.unwrap_or(LONGEST).min(LONGEST);
    // Without randomness there is no jitter, and nothing worse.
    let chance = getrandom::u32().unwrap_or(0);
    whole.mul_f64(1.0 - 0.25 * f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    #[test]
    fn only_the_address_of_the_object_itself_needs_nobodys_leave() {
        let kind = Kind::named("serving.kserve.io/v1beta1", "InferenceService").unwrap();
        let object = Object { kind, name: "price-v1".into(), namespace: "models".into(), body: Value::Null };
        for inside in
            ["http://price-v1.models.svc.cluster.local", "http://price-v1-predictor.models.svc:80/x"]
        {
            assert!(is_within(inside, &object), "{inside}");
        }
        for outside in [
            "http://price-v1.models.example.org",
            "http://price-v1.other.svc.cluster.local",
            "http://price-v10.models.svc",
            "http://secrets.models.svc",
            "http://price-v1.models.svc.cluster.local.evil.org",
            "nothing",
        ] {
            assert!(!is_within(outside, &object), "{outside}");
        }
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_pauses() {
        assert!(delay(1) <= FIRST && delay(1) >= FIRST.mul_f64(0.75));
        assert!(delay(u32::MAX) <= LONGEST && delay(40) >= LONGEST.mul_f64(0.75));
    }
}
