//! Roles by project: pure functions from what somebody was granted to what they may do.
//!
//! A right is a role in a project. A user's role in a project is the highest that was granted for it or for all projects.
//! A token lends its user's rights, cut down to the token's own role and projects; so it never outgrows its user, and what
//! the user loses the token loses at once.

use gyre_core::fact::Role;

/// The word for all projects.
pub const ALL_PROJECTS: &str = "*";

/// A role that somebody has in a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The project, or `*` for all.
    pub project: String,
    /// The role.
    pub role: Role,
}

/// What a token is good for at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The highest role that it lends.
    pub role: Role,
    /// The projects that it is good for; empty means all.
    pub projects: Vec<String>,
}

/// Whether something may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allowed,
    /// No: somebody with this role (or none) in the project may not; it takes the other one.
    Denied {
        /// The role that they have there.
        has: Option<Role>,
        /// The role that it takes.
        takes: Role,
    },
}

/// The role that `grants` give in `project`.
pub fn role_in(grants: &[Grant], project: &str) -> Option<Role> {
    let counts = |grant: &&Grant| grant.project == ALL_PROJECTS || grant.project == project;
    grants.iter().filter(counts).map(|grant| grant.role).max()
}

/// What is left of `role` in `project` for the bearer of a token with `scope`.
pub fn within(scope: &Scope, role: Option<Role>, project: &str) -> Option<Role> {
    let covered = scope.projects.is_empty() || scope.projects.iter().any(|name| name == project);
    role.filter(|_| covered).map(|role| role.min(scope.role))
}

/// Whether somebody with `has` may do what takes `takes`.
pub fn decide(takes: Role, has: Option<Role>) -> Decision {
    if has.is_some_and(|has| has >= takes) { Decision::Allowed } else { Decision::Denied { has, takes } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn roles() -> impl Strategy<Value = Role> {
        (0..4_usize).prop_map(|at| Role::ALL[at])
    }

    fn projects() -> impl Strategy<Value = String> {
        (0..4_usize).prop_map(|at| [ALL_PROJECTS, "shop", "flights", "shop2"][at].to_owned())
    }

    fn grants() -> impl Strategy<Value = Vec<Grant>> {
        let grant = (projects(), roles()).prop_map(|(project, role)| Grant { project, role });
        proptest::collection::vec(grant, 0..5)
    }

    proptest! {
        #[test]
        fn a_grant_elsewhere_gives_nothing_here(grants in grants()) {
            let here: Vec<Grant> =
                grants.iter().filter(|grant| ["*", "shop"].contains(&grant.project.as_str())).cloned().collect();
            prop_assert_eq!(role_in(&grants, "shop"), role_in(&here, "shop"));
            prop_assert_eq!(role_in(&here, "shop").is_some(), !here.is_empty());
        }

        #[test]
        fn a_token_never_outgrows_its_user(
            grants in grants(), role in roles(), covered in proptest::collection::vec(projects(), 0..3), takes in roles(),
        ) {
            let scope = Scope { role, projects: covered.into_iter().filter(|name| name != "*").collect() };
            let own = role_in(&grants, "shop");
            let lent = within(&scope, own, "shop");
            prop_assert!(lent <= own && lent.is_none_or(|lent| lent <= role));
            if decide(takes, lent) == Decision::Allowed {
                prop_assert_eq!(decide(takes, own), Decision::Allowed);
                prop_assert!(scope.projects.is_empty() || scope.projects.contains(&"shop".to_owned()));
            }
        }
    }

    #[test]
    fn each_role_may_do_its_own_and_what_is_below() {
        for (has, takes) in Role::ALL.into_iter().flat_map(|has| Role::ALL.map(|takes| (has, takes))) {
            assert_eq!(decide(takes, Some(has)) == Decision::Allowed, has >= takes, "{has} {takes}");
        }
        assert_eq!(decide(Role::Viewer, None), Decision::Denied { has: None, takes: Role::Viewer });
    }
}
