//! Slows down whoever guesses passwords, by user and by address, in bounded memory. Pure: the time is an argument.
//!
//! The first failures cost nothing, since people mistype. Then each failure doubles the wait, up to a quarter of an hour:
//! about a hundred guesses a day for one user, however many addresses take part. A success, or a day without failures,
//! forgets them. An attacker can so keep a person from logging in with a password, but not their tokens, sessions, and
//! passwords that were verified lately.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

use gyre_core::{Span, Timestamp};

/// Failures that cost nothing.
const FREE: u32 = 5;
/// The first wait.
const FIRST: Span = Span::from_millis(2_000);
/// The longest wait.
const LONGEST: Span = Span::from_millis(15 * 60 * 1_000);
/// How long failures are remembered.
const MEMORY: Span = Span::days(1);
/// Addresses share more often than users do: behind one may be a whole office.
const FREE_ADDRESS: u32 = 50;
/// Users, and addresses, that are remembered.
const KEPT: usize = 10_000;

/// The memory of failures.
#[derive(Debug, Default)]
pub struct Throttle {
    users: Failures<String>,
    addresses: Failures<IpAddr>,
}

/// What a failure led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// Failures of this user in a row.
    pub failures: u32,
    /// When the next try is taken.
    pub until: Timestamp,
    /// Whether this failure is the one that locked the user: to be told to the journal, once for each row of failures.
    pub locked: bool,
}

impl Throttle {
    /// When the next try is taken, when one at `now` is not.
    pub fn wait(&self, user: &str, address: Option<IpAddr>, now: Timestamp) -> Option<Timestamp> {
        let address = address.map(block).and_then(|address| self.addresses.until(&address));
        let until = self.users.until(&user.to_owned()).max(address);
        until.filter(|until| *until > now)
    }

    /// A try failed.
    pub fn failed(&mut self, user: &str, address: Option<IpAddr>, now: Timestamp) -> Failed {
        if let Some(address) = address {
            self.addresses.failed(block(address), FREE_ADDRESS, now);
        }
        let (failures, until) = self.users.failed(user.to_owned(), FREE, now);
        Failed { failures, until, locked: failures == FREE + 5 }
    }

    /// A try succeeded: the user's failures are forgotten. Those of the address are not, or else an attacker with an
    /// account of their own could reset them.
    pub fn succeeded(&mut self, user: &str) {
        self.users.seen.remove(user);
    }
}

/// The network that one customer of a provider has: a /64 of IPv6.
fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        v4 => v4,
    }
}

#[derive(Debug)]
struct Failures<K> {
    seen: HashMap<K, Row>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    failures: u32,
    last: Timestamp,
    until: Timestamp,
}

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self { seen: HashMap::new() }
    }
}

impl<K: Hash + Eq + Clone> Failures<K> {
    fn until(&self, key: &K) -> Option<Timestamp> {
        self.seen.get(key).map(|row| row.until)
    }

    fn failed(&mut self, key: K, free: u32, now: Timestamp) -> (u32, Timestamp) {
        if !self.seen.contains_key(&key) && self.seen.len() >= KEPT {
            self.make_room(now);
        }
        let row = self.seen.entry(key).or_insert(Row { failures: 0, last: now, until: now });
        if now.since(row.last) > MEMORY {
            row.failures = 0;
        }
        row.failures = row.failures.saturating_add(1);
        row.last = now;
        row.until = now + wait(row.failures.saturating_sub(free));
        (row.failures, row.until)
    }

    /// Forgets what is old; when nothing is, the half with the fewest failures.
    fn make_room(&mut self, now: Timestamp) {
        self.seen.retain(|_, row| now.since(row.last) <= MEMORY);
        if self.seen.len() < KEPT {
            return;
        }
        let mut order: Vec<(u32, Timestamp)> =
            self.seen.values().map(|row| (row.failures, row.last)).collect();
        order.sort_unstable();
        if let Some(middle) = order.get(KEPT / 2).copied() {
            let before = self.seen.len();
            self.seen.retain(|_, row| (row.failures, row.last) > middle);
            if self.seen.len() == before {
                self.seen.clear();
            }
        }
    }
}

/// The wait after so many failures beyond the free ones.
fn wait(beyond: u32) -> Span {
    match beyond {
        0 => Span::from_millis(0),
        beyond => {
            let doubled = FIRST.as_millis().saturating_mul(1_i64 << (beyond - 1).min(30));
            Span::from_millis(doubled.min(LONGEST.as_millis()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn guessing_one_user_comes_to_a_hundred_tries_a_day_from_however_many_addresses() {
        let (mut throttle, mut now, mut tries, mut locks) = (Throttle::default(), START, 0, 0);
        while now.since(START) < Span::days(1) {
            let from = Some(IpAddr::from([10, (tries / 256 % 256) as u8, (tries % 256) as u8, 1]));
            match throttle.wait("ada", from, now) {
                Some(until) => now = until,
                None => {
                    locks += u32::from(throttle.failed("ada", from, now).locked);
                    tries += 1;
                }
            }
        }
        assert!((90..=115).contains(&tries), "{tries}");
        assert_eq!(locks, 1, "told once");
        assert_eq!(throttle.wait("grace", address("10.9.9.9"), now), None, "others are not concerned");
        throttle.succeeded("ada");
        assert_eq!(throttle.wait("ada", address("10.9.9.9"), now), None);
    }

    #[test]
    fn an_address_that_tries_many_users_is_slowed_down() {
        let mut throttle = Throttle::default();
        for user in 0..60 {
            throttle.failed(&format!("user{user}"), address(&format!("2001:db8::{user}")), START);
        }
        assert!(throttle.wait("new", address("2001:db8::ffff"), START).is_some(), "the same network");
        assert_eq!(throttle.wait("new", address("2001:db8:0:1::1"), START), None);
        throttle.succeeded("new");
        assert!(throttle.wait("new", address("2001:db8::ffff"), START).is_some());
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_harmless_first() {
        let mut throttle = Throttle::default();
        for _ in 0..20 {
            throttle.failed("target", None, START);
        }
        for user in 0..3 * KEPT {
            throttle.failed(&format!("user{user}"), None, START);
        }
        assert!(throttle.users.seen.len() <= KEPT);
        assert!(throttle.wait("target", None, START).is_some(), "a flood of names does not free the target");
    }
}
