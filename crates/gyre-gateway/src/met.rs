//! Who has met which version, while shares move both ways.
//!
//! The rule of [`routing`](crate::routing) keeps an id with a candidate whose share only rises. A bandit's shares fall, too; so
//! that nobody is sent back and forth between versions, the ids that were met lately keep the version that they met. The
//! memory is bounded: two generations, of which the older one is dropped when the younger one is full. Who is forgotten, and
//! everybody after a restart, goes where the rule says.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gyre_core::Version;
use twox_hash::XxHash3_64;

/// Ids of a generation at most.
const GENERATION: usize = 131_072;

/// Seeds the hash of what is remembered.
const SEED: u64 = 0x006d_6574_6964_7331;

/// Ids with the version that they met.
#[derive(Debug, Default)]
pub(crate) struct Met {
    seen: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, Version>,
    old: HashMap<u64, Version>,
}

impl Met {
    /// The version that `id` met, if it may still answer; otherwise the one that `deal` gives, which it has met from now on. Says
    /// whether it was dealt now.
    pub(crate) fn version_for(
        &self,
        id: &str,
        may_answer: impl Fn(Version) -> bool,
        deal: impl FnOnce() -> Version,
    ) -> (Version, bool) {
        let hash = XxHash3_64::oneshot_with_seed(SEED, id.as_bytes());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.young.get(&hash).or_else(|| seen.old.get(&hash)).copied();
        let (version, dealt) = match known.filter(|version| may_answer(*version)) {
            Some(version) => (version, false),
            None => (deal(), true),
        };
        if seen.young.len() >= GENERATION {
            seen.old = std::mem::take(&mut seen.young);
        }
        seen.young.insert(hash, version);
        (version, dealt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_met_a_version_keeps_it_while_it_may_answer() {
        let met = Met::default();
        assert_eq!(met.version_for("ada", |_| true, || 2), (2, true));
        assert_eq!(met.version_for("ada", |_| true, || 1), (2, false));
        assert_eq!(met.version_for("ada", |version| version != 2, || 3), (3, true));
        assert_eq!(met.version_for("ada", |_| true, || 1), (3, false));
    }

    #[test]
    fn the_memory_is_bounded() {
        let met = Met::default();
        for at in 0..3 * GENERATION {
            met.version_for(&at.to_string(), |_| true, || 1);
        }
        let seen = met.seen.lock().unwrap();
        assert!(seen.young.len() <= GENERATION && seen.old.len() <= GENERATION);
    }
}
