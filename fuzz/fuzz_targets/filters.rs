//! Filters and orders of every search: whatever is written, it is read or refused, quickly.

#![no_main]

use gyre_registry::filter::Entity;
use gyre_tracking::filter::{self, EXPERIMENTS, LOGGED_MODELS, RUNS};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for vocabulary in [&RUNS, &EXPERIMENTS, &LOGGED_MODELS] {
        let _ = filter::parse(text, vocabulary);
        let _ = filter::parse_order(text, vocabulary);
    }
    for entity in [Entity::Models, Entity::Versions] {
        let _ = gyre_registry::filter::parse(entity, text);
    }
    let _ = gyre_traces::filter::parse(text);
    let _ = gyre_traces::Search::new(vec![0], text, &[text.to_owned()]);
    let _ = gyre_traces::datasets::Search::new(vec![0], text, &[text.to_owned()]);
});
