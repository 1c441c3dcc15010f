//! Files of models, in every format: whatever the bytes are, they are loaded and answer, or are refused; within the limits of
//! memory and work, and without a panic.

#![no_main]

use gyre_runtime::{Column, FeatureKind, Hints, Scorer, Table};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(scorer) = Scorer::load(bytes, &Hints::default()) else { return };
    let columns = scorer.features().iter().map(|feature| {
        let column = match feature.kind {
            FeatureKind::Text => Column::Text(vec![Some("a".into()), None, Some("3".into())]),
            FeatureKind::Numeric | FeatureKind::Integer => Column::Numeric(vec![1.0, f64::NAN, -2e9]),
        };
        (feature.name.clone(), column)
    });
    // Two features of one name make no table.
    let Ok(table) = Table::new(columns) else { return };
    if let Ok(scores) = scorer.score(&table) {
        assert_eq!(scores.rows(), 3);
    }
    let _ = scorer.explain(&table, None);
});
