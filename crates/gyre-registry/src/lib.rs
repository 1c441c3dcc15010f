//! What models there are: their runs, their versions, which one is champion, and who gets how much traffic.
//!
//! A newcomer who wants to know "what is in production, since when, and why may it be there" asks this room. The words
//! are MLflow's (run, params, metrics, registered model, model version, alias), the truth is the journal: the tables are a
//! projection of facts, changed by [`ROOM`]'s projection inside the transaction that appends the fact, and could be thrown
//! away and made anew from the journal.
//!
//! Two ways lead here. The loop registers the versions that it trains, and promotes them; MLflow's clients register models
//! and versions of their own. Both are in one catalogue with one sequence of numbers, which clients see, search and tag;
//! the loop's part of it (gates, champions, traffic) is the loop's to change.
//!
//! | module | what lives there |
//! | --- | --- |
//! | `query`, `record` | what the loop knows of its versions |
//! | `catalog` | registered models and versions as clients see them |
//! | `edit`, `edit_version` | what a client may change |
//! | `rules` | names, aliases, tags, stages: what they may be; pure |
//! | [`source`] | where a version's artifacts may be; pure |
//! | [`filter`], `search`, `page` | MLflow's filter grammar, and pages of what it finds |
//! | `webhooks` | who is to be told of changes, where, with which secret |
//! | [`events`], [`deliveries`] | what they are told, made from the journal; and what they are still to be told |
//! | `receivers`, `notice`, `letters` | whom the project file names, what they are told, in which form |
//! | `projection`, `changes` | how each fact changes the tables |
//! | `numbers`, `texts` | numbers never used again; texts too long for a fact |
//!
//! Invariants
//! - Nothing here writes but the projection. Whoever wants a version promoted appends a fact. What a fact cannot hold is
//!   written beside it, in the same transaction: long texts under their digest, claimed numbers, webhooks' secrets.
//! - A fact about a version that was never registered, or a second registration of one, does not enter the journal: the
//!   projection refuses, and with it the transaction.
//! - A version's number is never used again, whatever became of the version or of its model.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod catalog;
mod changes;
mod columns;
pub mod deliveries;
mod edit;
mod edit_version;
pub mod events;
pub mod filter;
mod letters;
mod notice;
mod numbers;
mod page;
mod projection;
mod query;
mod receivers;
mod record;
mod rules;
mod search;
pub mod source;
mod tables;
mod texts;
mod webhooks;

pub use catalog::{
    Glance, LOOP_FOLDER, RegisteredModel, RegisteredVersion, glances, is_of_the_loop, is_prompt,
    is_registered, latest_versions, needed_by_versions, registered_model, registered_version,
    registered_versions, version_by_alias,
};
pub use edit::{
    Author, create_model, delete_alias, delete_model, delete_model_tag, describe_model, rename_model,
    set_alias, set_model_tag,
};
pub use edit_version::{
    NewVersion, create_version, delete_version, delete_version_tag, describe_version, set_version_tag,
    stage_version,
};
pub use notice::{Course, Notice};
pub use numbers::claim_version;
pub use page::Page;
pub use projection::ROOM;
pub use query::{
    alias, champion, models, next_version, previous_champion, run, runs, traffic, version, versions,
};
pub use receivers::{Receiver, declare_receivers};
pub use record::{
    CHALLENGER, CHAMPION, Judgement, ModelRecord, Moment, RunRecord, RunStatus, VersionRecord, VersionStatus,
};
pub use rules::{
    IS_PROMPT, MAX_ALIAS, MAX_KEY, MAX_NAME, MAX_TEXT, Stage, alias as check_alias, model_name,
    new_alias as check_new_alias, tag_key, version_number,
};
pub use search::{Found, MAX_MODELS, MAX_VERSIONS, search_models, search_versions};
pub use webhooks::{
    Undelivered, Webhook, WebhookChange, change_webhook, create_webhook, delete_webhook, webhook, webhooks,
};
