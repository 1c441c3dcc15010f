//! What passed its gates is trained once more, on the withheld rows too, before it takes traffic.

use super::*;

fn refit(version: Version, of: Version) -> Fact {
    let Fact::VersionRegistered(registered) = registered(version, 9.0) else { unreachable!() };
    Fact::VersionRegistered(ModelVersion { refit_of: Some(of), ..registered })
}

fn decisions(step: &Step) -> Vec<Decision> {
    let decision = |fact: &Fact| match fact {
        Fact::DecisionTaken { decision, .. } => Some(decision.clone()),
        _ => None,
    };
    step.facts.iter().filter_map(decision).collect()
}

fn actions(step: &Step) -> Vec<&'static str> {
    step.actions.iter().map(Action::name).collect()
}

/// Version 2 was trained and has passed its gates; says what followed.
fn passed() -> (Story, Step) {
    let mut story = Story::begin();
    story.policies.get_mut(&kiln()).unwrap().refit = true;
    story.weeks_until_training();
    story.tell(registered(2, 9.0));
    let follows = story.tell(judged(2, true, Some(0.01)));
    (story, follows)
}

#[test]
fn it_serves_in_place_of_the_version_that_it_is_made_of() {
    let (mut story, follows) = passed();
    assert_eq!(decisions(&follows), [Decision::Refit { version: 2 }]);
    assert_eq!(actions(&follows), ["refit"]);
    // What a person registers meanwhile is something else.
    assert_eq!(actions(&story.tell(registered(3, 9.0))), [""; 0]);
    assert_eq!(actions(&story.tell(refit(4, 2))), ["judge"]);
    let follows = story.tell(judged(4, true, Some(0.01)));
    assert_eq!(decisions(&follows), [Decision::RollOut { version: 4 }]);
    let model = &story.state.models[&kiln()];
    assert_eq!((model.champion, model.repair), (Some(4), None));
    // Its promise is the one that was measured on rows that nobody had seen.
    assert_eq!(model.versions[&4].promised, Some(9.0));
    assert!(model.versions[&1].may_serve() && !model.versions[&2].may_serve());
}

#[test]
fn the_version_itself_serves_where_the_second_training_breaks_or_comes_to_nothing() {
    let failed =
        Fact::ActionFailed { model: kiln(), action: "refit".to_owned(), reason: "no space left".to_owned() };
    let (mut story, _) = passed();
    let follows = story.tell(failed);
    assert_eq!(actions(&follows), ["judge"], "who serves may have changed meanwhile");
    story.tell(judged(2, true, Some(0.01)));
    let model = &story.state.models[&kiln()];
    assert_eq!((model.champion, model.failures, model.futile), (Some(2), 0, 0));

    let (mut story, _) = passed();
    story.tell(refit(3, 2));
    let follows = story.tell(judged(3, false, Some(0.01)));
    assert_eq!(decisions(&follows), [Decision::Refuse { version: 3 }]);
    assert_eq!(actions(&follows), ["judge"]);
    story.tell(judged(2, true, Some(0.01)));
    let model = &story.state.models[&kiln()];
    assert_eq!(model.champion, Some(2));
    assert!(model.versions[&2].may_serve() && !model.versions[&3].may_serve());
}

#[test]
fn what_a_person_rolls_out_is_what_is_rolled_out() {
    let mut story = Story::begin();
    story.policies.get_mut(&kiln()).unwrap().refit = true;
    story.tell(registered(2, 9.0));
    story.tell(Fact::RolloutAsked { model: kiln(), version: 2, plan: None, reason: "why".to_owned() });
    story.tell(judged(2, true, None));
    assert_eq!(story.state.models[&kiln()].champion, Some(2));
}

#[test]
fn a_version_that_a_person_has_decided_about_meanwhile_is_left_where_it_is() {
    let failed =
        Fact::ActionFailed { model: kiln(), action: "refit".to_owned(), reason: "no space left".to_owned() };
    let (mut story, _) = passed();
    story.tell(Fact::Promoted { model: kiln(), version: 2, previous: Some(1), reason: "why".to_owned() });
    assert_eq!(actions(&story.tell(failed.clone())), [""; 0]);
    let model = &story.state.models[&kiln()];
    assert_eq!((model.champion, model.repair), (Some(2), None));

    let (mut story, _) = passed();
    story.tell(Fact::RolledBack { model: kiln(), from: 2, to: 1, reason: "why".to_owned() });
    assert_eq!(actions(&story.tell(failed)), [""; 0]);
    assert_eq!(story.state.models[&kiln()].champion, Some(1));
}

#[test]
fn a_refit_that_a_person_asks_for_later_is_held_against_its_gates_by_itself() {
    let (mut story, _) = passed();
    story.tell(refit(3, 2));
    // The gates could not be asked, and the version itself serves.
    let reason = "the blob is gone".to_owned();
    story.tell(Fact::ActionFailed { model: kiln(), action: "judge".to_owned(), reason });
    story.tell(judged(2, true, Some(0.01)));
    assert_eq!(story.state.models[&kiln()].champion, Some(2));
    let asked = Fact::RolloutAsked { model: kiln(), version: 3, plan: None, reason: "why".to_owned() };
    assert_eq!(actions(&story.tell(asked)), ["judge"]);
    assert_eq!(actions(&story.tell(judged(3, false, None))), [""; 0], "the champion is not judged");
    let model = &story.state.models[&kiln()];
    assert_eq!((model.champion, model.repair), (Some(2), None));
}
