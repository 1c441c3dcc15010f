//! The controller's turn while a bandit learns which of several versions is best.
//!
//! Pure, as the rest of the controller: what came true is a fact of the gateway ([`Fact::ArmsWeighed`]), made of the log; here
//! the shares follow from it, and the end.

use gyre_core::Version;
use gyre_core::fact::Numbers;
use gyre_core::fact::{Arm, BanditPlan};

use crate::controller::Turn;
use crate::state::Repair;

impl Turn<'_> {
    /// Begins with equal shares: nothing is known.
    pub(crate) fn explore(
        &mut self,
        version: Version,
        champion: Version,
        mut bandit: BanditPlan,
        reason: String,
    ) {
        if bandit.arms.is_empty() {
            bandit.arms = vec![champion, version];
        }
        // Who asked for it has looked; time has passed.
        let may_serve = |arm: &Version| {
            *arm == champion || self.model.versions.get(arm).is_some_and(|known| known.passed == Some(true))
        };
        let obstacle = if !bandit.arms.contains(&champion) {
            Some(format!("version {champion} has become champion meanwhile, and is none of its arms"))
        } else {
            let unfit = bandit.arms.iter().find(|arm| !may_serve(arm));
            unfit.map(|arm| format!("version {arm} has not passed its gates"))
        };
        if let Some(obstacle) = obstacle {
            self.end_repair();
            return self.keep(format!("no bandit, although asked for one: {obstacle}"), Numbers::new());
        }
        let weights = evenly(&bandit.arms);
        let mut plan = self.plan().clone();
        plan.bandit = Some(bandit);
        self.model.plan = Some(plan);
        self.start_rollout(version, champion);
        let (since, now) = (self.seq, self.now);
        self.model.repair = Some(Repair::Exploring { version, round: 0, since, begun: now, weighed: now });
        self.share_out(weights, reason);
    }

    /// The gateway looked at what came true.
    pub(crate) fn weighed(&mut self, round: u32, arms: &[Arm], winner: Option<Version>, reason: &str) {
        let Some(Repair::Exploring { version, round: at, since, begun, .. }) = self.model.repair else {
            return;
        };
        if at != round {
            return;
        }
        if let Some(winner) = winner {
            return self.settle_on(winner, reason.to_owned());
        }
        let (round, weighed) = (round.saturating_add(1), self.now);
        self.model.repair = Some(Repair::Exploring { version, round, since, begun, weighed });
        let weights = arms.iter().map(|arm| (arm.version, arm.share)).collect();
        self.share_out(weights, reason.to_owned());
    }

    fn settle_on(&mut self, winner: Version, reason: String) {
        if self.model.champion != Some(winner) {
            return self.promote(winner, reason);
        }
        // The champion stays, and the one that was to follow it is not brought back by the loop.
        if let Some(Repair::Exploring { version, .. }) = self.model.repair {
            self.end_repair();
            self.withdraw(version);
            self.send_back(version, winner, reason);
        }
    }

    /// The gateway took an arm out of traffic that fails more often than the champion. The others go on without it, as long as
    /// there are two.
    pub(crate) fn arm_convicted(&mut self, from: Version, reason: &str) {
        let (Some(champion), Some(Repair::Exploring { version, .. })) =
            (self.model.champion, self.model.repair)
        else {
            return;
        };
        self.withdraw(from);
        let bandit = self.model.plan.as_mut().and_then(|plan| plan.bandit.as_mut());
        let left = bandit.map_or(0, |bandit| {
            bandit.arms.retain(|arm| *arm != from);
            bandit.arms.len()
        });
        if left < 2 {
            self.end_repair();
            self.withdraw(version);
            self.send_back(version, champion, reason.to_owned());
            return self.setback(reason);
        }
        let of = |wanted: Version| {
            let found = self.model.shares.iter().find(|(arm, _)| *arm == wanted);
            found.map_or(0, |(_, share)| *share)
        };
        let (taken, of_champion) = (of(from), of(champion));
        let kept = self.model.shares.iter().filter(|(arm, _)| *arm != from && *arm != champion);
        let weights = kept.copied().chain([(champion, of_champion + taken)]).collect();
        self.share_out(weights, reason.to_owned());
    }

    /// Gives the arms these shares, and remembers them.
    fn share_out(&mut self, weights: Vec<(Version, u32)>, reason: String) {
        self.model.shares.clone_from(&weights);
        self.route(weights, reason);
    }
}

/// Equal shares, in hundredths of a percent; what does not divide goes to the first.
fn evenly(arms: &[Version]) -> Vec<(Version, u32)> {
    let count = u32::try_from(arms.len()).unwrap_or(1).max(1);
    let (share, mut left) = (10_000 / count, 10_000 % count);
    let share_of = |arm: &Version| {
        let more = u32::from(left > 0);
        left -= more;
        (*arm, share + more)
    };
    arms.iter().map(share_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::{GATEWAY, step};
    use crate::policy::{Policies, Policy};
    use crate::state::State;
    use gyre_core::fact::{Entry, Fact, RolloutPlan, Verdict};
    use gyre_core::{ModelName, Timestamp};

    /// A model with versions 1 (champion), 2 and 3, all through their gates, and a bandit among them.
    struct Story {
        state: State,
        seq: u64,
    }

    fn kiln() -> ModelName {
        "kiln".parse().unwrap()
    }

    impl Story {
        fn of(arms: &[Version]) -> Self {
            let mut story = Self { state: State::default(), seq: 0 };
            for version in 1..=3 {
                let signature = serde_json::json!({"inputs": [], "output": "y"});
                let registered = serde_json::json!({
                    "model": "kiln", "version": version, "artifact": "0".repeat(64), "signature": signature, "holdout": {},
                });
                story.tell("user:ada", Fact::VersionRegistered(serde_json::from_value(registered).unwrap()));
                story.tell(
                    "user:ada",
                    Fact::GatesJudged {
                        model: kiln(),
                        version,
                        passed: true,
                        results: Vec::new(),
                        comparison: None,
                    },
                );
            }
            story.tell(
                "user:ada",
                Fact::Promoted { model: kiln(), version: 1, previous: None, reason: String::new() },
            );
            let bandit = BanditPlan { arms: arms.to_vec(), ..BanditPlan::default() };
            let plan = RolloutPlan { bandit: Some(bandit), ..Policy::undeclared().plan };
            let asked =
                Fact::RolloutAsked { model: kiln(), version: 2, plan: Some(plan), reason: "why".to_owned() };
            let facts = story.tell("user:ada", asked);
            assert!(matches!(facts[0], Fact::RolloutStarted { candidate: 2, .. }), "{facts:?}");
            story
        }

        fn tell(&mut self, actor: &str, fact: Fact) -> Vec<Fact> {
            self.seq += 1;
            let (at, seq) = (Timestamp::from_millis(self.seq as i64), self.seq);
            let entry = Entry {
                seq,
                at,
                recorded: at,
                actor: actor.to_owned(),
                cause: None,
                key: None,
                origin: None,
                fact,
            };
            step(&Policies::new(), &mut self.state, &entry).facts
        }

        fn convict(&mut self, candidate: Version) -> Vec<Fact> {
            let fact = Fact::StepObserved {
                model: kiln(),
                candidate,
                step: 0,
                verdict: Verdict::RollBack,
                reason: "it fails".to_owned(),
                numbers: Numbers::new(),
            };
            self.tell(GATEWAY, fact)
        }

        fn under_way(&self) -> bool {
            self.state.models[&kiln()].repair.is_some()
        }
    }

    fn shifted(facts: &[Fact]) -> Vec<(Version, u32)> {
        let shifted = facts.iter().find_map(|fact| match fact {
            Fact::TrafficShifted { weights, .. } => Some(weights.clone()),
            _ => None,
        });
        let mut weights = shifted.unwrap();
        weights.sort_unstable();
        weights
    }

    #[test]
    fn an_arm_that_fails_leaves_its_share_to_the_champion_and_the_last_but_one_ends_it() {
        let mut story = Story::of(&[1, 2, 3]);
        assert_eq!(shifted(&story.convict(3)), [(1, 6_667), (2, 3_333)]);
        assert!(story.under_way());
        let facts = story.convict(2);
        assert!(matches!(facts[0], Fact::RolledBack { from: 2, to: 1, .. }), "{facts:?}");
        assert_eq!(shifted(&facts), [(1, 10_000)]);
        assert!(!story.under_way());
    }

    #[test]
    fn rounds_are_taken_in_their_order_and_a_champion_that_wins_stays() {
        let mut story = Story::of(&[]);
        let arm = |version, share| Arm {
            version,
            labels: 50,
            metric: None,
            reward: 0.0,
            best: 0.5,
            regret: 0.0,
            share,
        };
        let weighed = |round, winner| Fact::ArmsWeighed {
            model: kiln(),
            round,
            arms: vec![arm(1, 7_000), arm(2, 3_000)],
            winner,
            reason: "labels".to_owned(),
        };
        assert_eq!(story.tell(GATEWAY, weighed(1, None)), [], "the round before it has not been");
        assert_eq!(shifted(&story.tell(GATEWAY, weighed(0, None))), [(1, 7_000), (2, 3_000)]);
        assert_eq!(story.tell(GATEWAY, weighed(0, Some(2))), [], "that round is over");
        let facts = story.tell(GATEWAY, weighed(1, Some(1)));
        assert!(matches!(facts[0], Fact::RolledBack { from: 2, to: 1, .. }), "{facts:?}");
        assert!(!story.under_way());
    }
}
