use std::sync::Arc;

use gyre_core::time::ManualClock;
use gyre_core::{Clock, Timestamp};
use gyre_store::{Room, Store};
use gyre_testing::Place;

use super::*;
use crate::record::{Assessment, Judgement, TraceInfo, TraceState, key};
use crate::{ROOM, infos};

gyre_testing::on_both!(figures_are_gathered_by_time_and_name, what_makes_no_sense_is_refused,);

static ROOMS: [&Room; 2] = [&gyre_tracking::ROOM, &ROOM];

fn asked(view: View, metric: &str, aggregations: &[Aggregation]) -> Query {
    Query {
        experiments: vec![0],
        view,
        metric: metric.to_owned(),
        aggregations: aggregations.to_vec(),
        dimensions: Vec::new(),
        filters: Vec::new(),
        interval_s: None,
        start_ms: None,
        end_ms: None,
        limit: 100,
    }
}

fn store(place: &Place) -> Store {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp::from_millis(0)));
    let store = place.open(&ROOMS, clock);
    for n in 0..4_i64 {
        let judged = |value: serde_json::Value| Assessment {
            assessment_id: format!("a-{n}"),
            name: "good".to_owned(),
            span_id: None,
            source_type: "CODE".to_owned(),
            source_id: None,
            created_ms: 1,
            updated_ms: 1,
            judgement: Judgement::Feedback { value, error: None },
            rationale: None,
            metadata: BTreeMap::new(),
            overrides: None,
            valid: true,
        };
        let info = TraceInfo {
            trace_id: format!("tr-{n}"),
            time_ms: n * 30_000,
            duration_ms: Some([1, 2, 4, 8][n as usize]),
            state: if n == 0 { TraceState::Error } else { TraceState::Ok },
            metadata: [
                (key::TOKEN_USAGE.to_owned(), format!("{{\"total_tokens\": {n}}}")),
                (key::SESSION.to_owned(), format!("s{}", n % 2)),
            ]
            .into(),
            tags: [(key::NAME.to_owned(), if n < 3 { "ask" } else { "tell" }.to_owned())].into(),
            assessments: vec![judged(if n == 3 { 0.5.into() } else { true.into() })],
            ..TraceInfo::default()
        };
        store.write(move |tx| infos::start(tx, &info, 1)).unwrap();
    }
    store
}

fn figures_are_gathered_by_time_and_name(place: &Place) {
    use Aggregation::{Avg, Count, Max, Percentile, Sum};
    let store = store(place);
    let answer = |query: Query| {
        let points = store.read(|tx| super::query(tx, &query)).unwrap();
        let told = points.into_iter().map(|point| {
            let dimensions: Vec<String> = point.dimensions.into_values().collect();
            (dimensions.join(" "), point.values.into_values().collect::<Vec<f64>>())
        });
        told.collect::<Vec<_>>()
    };
    let nothing = String::new;
    assert_eq!(answer(asked(View::Traces, "trace_count", &[Count])), [(nothing(), vec![4.0])]);
    assert_eq!(answer(asked(View::Traces, "session_count", &[Count])), [(nothing(), vec![2.0])]);
    assert_eq!(answer(asked(View::Traces, "total_tokens", &[Sum])), [(nothing(), vec![6.0])]);
    let latency = asked(View::Traces, "latency", &[Avg, Max, Percentile(50.0)]);
    assert_eq!(answer(latency), [(nothing(), vec![3.75, 8.0, 3.0])]);
    let mut by_name = asked(View::Traces, "trace_count", &[Count]);
    by_name.dimensions = vec!["trace_name".to_owned()];
    by_name.filters = vec!["trace.status = 'OK'".to_owned()];
    assert_eq!(answer(by_name.clone()), [("ask".to_owned(), vec![2.0]), ("tell".to_owned(), vec![1.0])]);
    by_name.filters = vec![
        "trace.metadata.`mlflow.trace.session` = 's1'".to_owned(),
        "trace.tag.mlflow.traceName = 'ask'".to_owned(),
    ];
    assert_eq!(answer(by_name), [("ask".to_owned(), vec![1.0])]);
    let mut by_minute = asked(View::Traces, "trace_count", &[Count]);
    (by_minute.interval_s, by_minute.start_ms, by_minute.end_ms) = (Some(60), Some(0), Some(60_000));
    let minutes = [
        ("1970-01-01T00:00:00+00:00".to_owned(), vec![2.0]),
        ("1970-01-01T00:01:00+00:00".to_owned(), vec![1.0]),
    ];
    assert_eq!(answer(by_minute), minutes);
    let mut judged = asked(View::Assessments, "assessment_value", &[Avg]);
    judged.dimensions = vec!["assessment_name".to_owned()];
    assert_eq!(answer(judged), [("good".to_owned(), vec![0.875])]);
    assert_eq!(answer(asked(View::Spans, "span_count", &[Count])), []);
}

fn what_makes_no_sense_is_refused(place: &Place) {
    use Aggregation::{Avg, Count, Percentile, Sum};
    let store = store(place);
    let with = |change: &dyn Fn(&mut Query)| {
        let mut query = asked(View::Traces, "trace_count", &[Count]);
        change(&mut query);
        query
    };
    for query in [
        asked(View::Traces, "nothing", &[Count]),
        asked(View::Spans, "trace_count", &[Count]),
        asked(View::Traces, "trace_count", &[Avg]),
        asked(View::Traces, "latency", &[Sum]),
        asked(View::Traces, "latency", &[Percentile(101.0)]),
        asked(View::Traces, "trace_count", &[]),
        with(&|query| query.dimensions = vec!["span_name".to_owned()]),
        with(&|query| query.filters = vec!["span.name = 'a'".to_owned()]),
        with(&|query| query.filters = vec!["trace.status != 'a'".to_owned()]),
        with(&|query| query.filters = vec!["trace.status = 'a' AND trace.status = 'b'".to_owned()]),
        with(&|query| query.interval_s = Some(60)),
        with(&|query| query.limit = 0),
    ] {
        let refused = store.read(|tx| super::query(tx, &query));
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{query:?}: {refused:?}");
    }
}
