//! Which version answers an id.
//!
//! An id is always answered by the same version while the shares stand, and an id that has met a candidate never goes
//! back to the champion while the candidate's share only rises. Both fall out of one stateless rule, so that replicas
//! agree without talking: for each candidate, in the order of version numbers, the id is hashed with the candidate's
//! number as part of the seed, and the candidate takes the ids whose hash lies below its share of what is left.
//! Because the seed differs from candidate to candidate, it is not always the same ids that meet new versions first.
//!
//! The hash is XXH3-64 (xxHash 0.8 specification): seed = XXH3(model name) + version (wrapping), input = the id's bytes.

use gyre_core::Version;
use twox_hash::XxHash3_64;

/// All traffic, in hundredths of a percent.
pub const WHOLE: u32 = 10_000;

/// The rule for one model: its candidates, in order, and the champion for all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    candidates: Vec<Candidate>,
    champion: Version,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    version: Version,
    seed: u64,
    /// The largest hash that it takes.
    upto: u64,
}

impl Split {
    /// The rule for `shares` of `model`, in hundredths of a percent, that add up to [`WHOLE`]. Versions without a
    /// share are left out; `champion` takes what the others leave.
    pub fn new(model: &str, shares: &[(Version, u32)], champion: Version) -> Self {
        let mut others: Vec<(Version, u32)> =
            shares.iter().copied().filter(|(version, share)| *version != champion && *share > 0).collect();
        others.sort_unstable();
        let base = XxHash3_64::oneshot(model.as_bytes());
        let mut left = WHOLE;
        let mut candidates = Vec::with_capacity(others.len());
        for (version, share) in others {
            // Of the ids that earlier candidates left, so that the shares come out as fractions of all.
            let share = share.min(left);
            if share > 0 {
                let upto = ((u128::from(share) << 64) / u128::from(left) - 1) as u64;
                candidates.push(Candidate { version, seed: base.wrapping_add(u64::from(version)), upto });
            }
            left -= share;
        }
        Self { candidates, champion }
    }

    /// The version that answers `id`.
    pub fn version_for(&self, id: &str) -> Version {
        let takes = |candidate: &&Candidate| {
            XxHash3_64::oneshot_with_seed(candidate.seed, id.as_bytes()) <= candidate.upto
        };
        self.candidates.iter().find(takes).map_or(self.champion, |candidate| candidate.version)
    }

    /// Whether one version answers everything.
    pub fn is_whole(&self) -> bool {
        self.candidates.is_empty()
    }

    /// The version that takes what the others leave.
    pub fn champion(&self) -> Version {
        self.champion
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> impl Iterator<Item = String> {
        (0..20_000).map(|i| format!("flight-{i}"))
    }

    #[test]
    fn shares_come_out_as_asked() {
        let split = Split::new("air-time", &[(1, 6_500), (2, 500), (3, 3_000)], 1);
        let share = |version| ids().filter(|id| split.version_for(id) == version).count() as f64 / 20_000.0;
        // Four standard deviations of a binomial share at n = 20,000.
        for (version, expected) in [(1, 0.65), (2, 0.05), (3, 0.30)] {
            let tolerance = 4.0 * (expected * (1.0 - expected) / 20_000.0_f64).sqrt();
            assert!((share(version) - expected).abs() < tolerance, "{version}: {}", share(version));
        }
    }

    #[test]
    fn whoever_met_the_candidate_stays_with_it_while_its_share_rises() {
        let steps = [1, 500, 2_500, 5_000, 9_999, 10_000];
        let splits: Vec<Split> =
            steps.iter().map(|&w| Split::new("m", &[(1, WHOLE - w), (7, w)], 1)).collect();
        for id in ids() {
            let path: Vec<Version> = splits.iter().map(|split| split.version_for(&id)).collect();
            assert!(path.is_sorted(), "{id}: {path:?}");
            assert_eq!(path.last(), Some(&7));
        }
    }

    #[test]
    fn no_rise_of_one_candidate_sends_the_other_ones_ids_to_the_champion() {
        let before = Split::new("m", &[(1, 8_000), (2, 1_000), (3, 1_000)], 1);
        let after = Split::new("m", &[(1, 5_000), (2, 4_000), (3, 1_000)], 1);
        for id in ids().filter(|id| before.version_for(id) != 1) {
            assert_ne!(after.version_for(&id), 1, "{id}");
        }
    }

    #[test]
    fn new_candidates_meet_other_ids_first() {
        let second = Split::new("m", &[(1, 9_500), (2, 500)], 1);
        let third = Split::new("m", &[(1, 9_500), (3, 500)], 1);
        let both = ids().filter(|id| second.version_for(id) == 2 && third.version_for(id) == 3).count();
        assert!((20..90).contains(&both), "about 50 of 20,000 expected, found {both}");
    }

    #[test]
    fn the_rule_never_changes() {
        // A release that routed ids otherwise would move users between versions in the middle of a rollout. The
        // expected arms were computed with the xxhash package of Python by the rule in the module's documentation.
        let split = Split::new("air-time", &[(1, 5_000), (2, 5_000)], 1);
        let arms: Vec<Version> =
            ["a", "b", "c", "d", "e", "f", "g", "h"].map(|id| split.version_for(id)).to_vec();
        assert_eq!(arms, [1, 2, 2, 1, 2, 2, 1, 1]);
    }
}
