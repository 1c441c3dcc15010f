//! A model's server that somebody else looks after: a cluster, say, which starts it, moves it and loses it.
//!
//! Whoever looks after it sends [`News`]; here they become what callers meet. A server that is said to be there is asked for a
//! first row before anybody else's, as a process is: that something listens does not say that it is this model.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::dial::{Dialer, Door, Remote};
use crate::logs::Logs;
use crate::peer::Peer;
use crate::shared::{Live, Phase, Shared};
use crate::spec::Protocol;
use crate::supervisor::{Warming, chance, warm_up};

/// What one attempt to have the first row predicted may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Between two attempts.
const RETRY: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(5),
    crash_loop: u32::MAX,
    stable: Duration::MAX,
};

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Not there yet: requests wait for it.
    Coming {
        /// What it waits for.
        why: String,
    },
    /// There.
    At {
        /// Its URL.
        url: String,
        /// Whether the address is that of a thing which we made ourselves, within a cluster. Such an address needs nobody's leave, as
        /// long as it is neither this machine's own nor one of the link (where clouds answer for the machine's own identity).
        ours: bool,
    },
    /// Not there, and it is not known when it will be: requests are refused.
    Down {
        /// Why.
        why: String,
    },
}

/// What is known of a server that somebody else looks after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Where it is.
    pub place: Place,
    /// What else there is to say, such as that somebody changed it.
    pub remark: Option<String>,
    /// Lines that are new since the last news: what it printed, what happened to it.
    pub lines: Vec<String>,
}

impl News {
    /// It is there, or not, and there is nothing else to say.
    pub fn of(place: Place) -> Self {
        Self { place, remark: None, lines: Vec::new() }
    }
}

/// The end that hears the news.
pub(crate) struct Placed {
    pub(crate) shared: Arc<Shared>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) protocol: Protocol,
    pub(crate) door: Door,
}

impl Placed {
    /// Does as the news say, until nobody sends any more.
    pub(crate) async fn follow(self, mut news: watch::Receiver<News>) {
        let mut place = None;
        loop {
            let News { place: now, remark, lines } = news.borrow_and_update().clone();
            let why = match &now {
                Place::Coming { why } => Some(why.clone()),
                Place::At { .. } | Place::Down { .. } => None,
            };
            let remark = match (why, remark) {
                (Some(why), Some(remark)) => Some(format!("{why}; {remark}")),
                (why, remark) => why.or(remark),
            };
            self.shared.details(|details| details.remark.clone_from(&remark));
            lines.into_iter().for_each(|line| self.logs.push(line));
            // What is ready stays so while the news are of something else.
            if place.as_ref() != Some(&now) {
                self.shared.details(|details| {
                    details.unreachable = None;
                    details.address = match &now {
                        Place::At { url, .. } => Some(url.clone()),
                        Place::Coming { .. } | Place::Down { .. } => details.address.take(),
                    };
                });
                match &now {
                    Place::Coming { .. } => self.shared.set(Phase::Starting),
                    Place::Down { why } => self.shared.set(Phase::Down(why.clone())),
                    Place::At { .. } => {}
                }
                place = Some(now);
            }
            let reaching = async {
                match &place {
                    Some(Place::At { url, ours }) if !self.shared.is_ready() => {
                        self.reach(url, *ours, &remark).await
                    }
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = news.changed() => if changed.is_err() { break },
                () = reaching => if news.changed().await.is_err() { break },
            }
        }
        self.shared.set(Phase::Down("nobody looks after it any more".to_owned()));
    }

    /// Asks for a first row until it is predicted, or it is clear that it never will be.
    async fn reach(&self, url: &str, ours: bool, remark: &Option<String>) {
        let remote = match url.parse::<Uri>() {
            Err(error) => Err(format!("{url:?} is no URL: {error}")),
            Ok(uri) => {
                let door = if ours { Door::new(|_, address| within(address)) } else { self.door.clone() };
                let remote = Remote::new(&uri, door, &[]).map_err(|error| error.to_string());
                remote.map(|remote| Peer::new(Dialer::Remote(Arc::new(remote)), &uri, Vec::new()))
            }
        };
        let peer = match remote {
            Ok(peer) => Arc::new(peer),
            Err(why) => return self.shared.set(Phase::Down(why)),
        };
        self.shared.set(Phase::Starting);
        for attempt in 1_u32.. {
            let deadline = Instant::now() + ATTEMPT;
            match warm_up(&self.protocol, None, &self.shared, &peer, deadline).await {
                Ok(wire) => {
                    self.shared.details(|details| details.remark.clone_from(remark));
                    return self.shared.set(Phase::Ready(Arc::new(Live { peer, wire })));
                }
                Err(Warming::Unfit(why)) => {
                    let why = format!("it does not do what its signature promises: {why}");
                    return self.shared.set(Phase::Down(why));
                }
                Err(Warming::NotYet(why)) => {
                    self.shared.details(|details| {
                        details.remark = Some(format!("it is said to be there, but does not answer: {why}"));
                    });
                }
            }
            sleep(RETRY.delay(attempt, chance())).await;
        }
    }
}

/// Whether an address may be one of a cluster.
fn within(address: IpAddr) -> Result<(), String> {
    let address = address.to_canonical();
    let link = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if link || address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        return Err(format!("{address} is no address within a cluster, so it is not asked"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn what_is_no_address_of_a_cluster_is_not_asked() {
        for inside in ["10.96.0.17", "192.168.3.4", "fd00::7"] {
            assert_eq!(within(inside.parse().unwrap()), Ok(()));
        }
        for outside in ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1", "0.0.0.0"] {
            assert!(within(outside.parse().unwrap()).is_err(), "{outside}");
        }
    }
}
