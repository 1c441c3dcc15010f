//! Who may do what, and where the server itself may connect to.
//!
//! A newcomer asks this room "who is this, and may they?". A request brings credentials: an API token, a user's name with
//! a password, or the cookie of a browser's session. [`Gate::identify`] says whose they are; the identity's
//! [`role`](Identity::role) in a project says what they may. Everything that changes who may do what ([`users`],
//! [`tokens`], [`grants`], [`sessions`]) is a journal fact, in one transaction with its tables.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`policy`] | roles by project, as pure functions |
//! | [`name`], [`token`], [`password`] | what users, tokens and passwords look like; hashing |
//! | [`users`], [`tokens`], [`grants`], [`sessions`] | the changes, each with its fact |
//! | `projection` | the tables, as a projection of the facts |
//! | [`Directory`] | all of it in memory, for one look-up a request |
//! | [`Gate`] | directory, throttle and password checks together |
//! | [`throttle`] | slows down whoever guesses passwords; pure |
//! | [`oidc`] | login by an OpenID Connect provider |
//! | [`egress`] | the one door through which the server reaches out |
//!
//! Invariants
//! - **No secret is stored, no hash of one is in the journal.** Tokens and session ids are 256 random bits, kept as their
//!   SHA-256; passwords as Argon2id. The hashes lie in tables of their own (`access_passwords`, `access_token_hashes`,
//!   `access_sessions`), written beside the fact in its transaction. The other tables can be made anew from the journal;
//!   after that, passwords and tokens have to be given out again, and until then nobody comes in: it fails closed.
//! - Nobody may do anything without a role, and there is no default user, password or role.
//! - Nothing here speaks HTTP as a server.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod by;
pub mod directory;
pub mod egress;
pub mod gate;
pub mod grants;
pub mod name;
pub mod oidc;
pub mod password;
pub mod policy;
mod projection;
pub mod sessions;
pub mod throttle;
pub mod token;
pub mod tokens;
pub mod users;

pub use by::By;
pub use directory::Directory;
pub use gate::{Credentials, Denied, Gate, Identity, Password};
pub use gyre_core::fact::{AccessChange, InvalidRole, LoginWay, Role, UserKind};
pub use policy::{Decision, Grant, Scope};
pub use projection::ROOM;
