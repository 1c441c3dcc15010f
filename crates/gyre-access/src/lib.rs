//! Who may do what, and where the server itself may connect to.
//!
//! [`egress`] is the one door through which the server reaches out (webhooks, discovery of an identity provider).

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod egress;
