//! The one door through which the server reaches out to addresses that somebody gave it.
//!
//! A webhook's URL comes from a user, so a request to it could be turned against what only the server can reach: its own
//! ports, the network behind it, a cloud's metadata service (server-side request forgery). The rules:
//!
//! - Without being listed, a destination must be `https` and have public addresses only. A [`Rule`] lists a host or a
//!   network; what is listed may be private, and plain `http`.
//! - The connection goes to the very address that was checked: the name is resolved once, all its addresses are checked,
//!   and one of them is connected to. A name that resolves to something else a moment later gains nothing.
//! - Redirects are not followed: the answer is the redirect. No proxy is taken from the environment, nothing is kept
//!   open, no credentials are read from a URL, and an answer is read up to a limit.
//! - Link-local addresses, where clouds keep their metadata services, are open only to a rule that names the network: a
//!   listed host does not open them, since whoever runs that host's DNS could then point it there.

mod address;
mod client;
mod rule;

pub use address::{is_link_local, is_public};
pub use client::{Egress, EgressError};
pub use rule::{InvalidRule, Rule};
