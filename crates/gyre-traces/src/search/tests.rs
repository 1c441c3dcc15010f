use std::sync::Arc;

use gyre_core::time::ManualClock;
use gyre_core::{Clock, Timestamp};
use gyre_store::{Room, Store};
use gyre_testing::Place;
use proptest::prelude::*;

use super::*;
use crate::record::{Assessment, Judgement, TraceState};
use crate::{ROOM, assessments, otlp, spans};

gyre_testing::on_both!(
    a_token_is_good_for_its_own_search_only,
    an_order_puts_what_is_missing_last,
    clauses_about_spans_are_about_one_span,
    clauses_find_what_they_say,
    judgements_are_found_by_value_and_across_a_session,
    traces_that_come_in_between_neither_repeat_nor_hide_others,
);

static ROOMS: [&Room; 2] = [&gyre_tracking::ROOM, &ROOM];

fn store(place: &Place) -> Store {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp::from_millis(0)));
    place.open(&ROOMS, clock)
}

fn trace(id: u32) -> TraceInfo {
    TraceInfo {
        trace_id: format!("tr-{id:032x}"),
        time_ms: 1_000 + i64::from(id),
        state: TraceState::Ok,
        ..TraceInfo::default()
    }
}

fn add(store: &Store, info: TraceInfo) {
    store.write(move |tx| infos::start(tx, &info, 5)).unwrap();
}

/// The numbers of the traces that a filter finds, in order.
fn found(store: &Store, filter: &str, order: &[&str]) -> Vec<u32> {
    let order: Vec<String> = order.iter().map(|text| (*text).to_owned()).collect();
    let search = Search::new(vec![0], filter, &order).unwrap_or_else(|error| panic!("{filter}: {error}"));
    let mut numbers = Vec::new();
    let mut token = None;
    loop {
        // Pages of two: what must hold of one page must hold across pages.
        let page = store.read(|tx| super::search(tx, &search, 2, token.as_deref())).unwrap();
        numbers.extend(page.traces.iter().map(|t| u32::from_str_radix(&t.trace_id[3..], 16).unwrap()));
        match page.next {
            Some(next) => token = Some(next),
            None => return numbers,
        }
    }
}

fn shop(place: &Place) -> Store {
    let store = store(place);
    let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    add(&store, TraceInfo { tags: [tag("mlflow.traceName", "Ask"), tag("k", "10%_x")].into(), ..trace(1) });
    add(
        &store,
        TraceInfo {
            tags: [tag("mlflow.traceName", "ask"), tag("k", "10")].into(),
            duration_ms: Some(7),
            ..trace(2)
        },
    );
    add(
        &store,
        TraceInfo {
            state: TraceState::Error,
            metadata: [tag(key::RUN, "run1"), tag("k", "it's")].into(),
            client_request_id: Some("c3".to_owned()),
            duration_ms: Some(3),
            ..trace(3)
        },
    );
    add(&store, TraceInfo { metadata: [tag(key::SESSION, "s")].into(), ..trace(4) });
    add(&store, TraceInfo { metadata: [tag(key::SESSION, "s")].into(), ..trace(5) });
    store
}

fn clauses_find_what_they_say(place: &Place) {
    let store = shop(place);
    let linked = vec![trace(1).trace_id, "tr-nowhere".to_owned()];
    store.write(move |tx| infos::link_to_run(tx, &linked, "run1")).unwrap();
    store.write(|tx| infos::link_prompts(tx, &trace(2).trace_id, &["p/1".to_owned()])).unwrap();
    for (filter, numbers) in [
        ("", vec![5, 4, 3, 2, 1]),
        ("status = 'OK'", vec![5, 4, 2, 1]),
        ("status != 'OK'", vec![3]),
        ("status IN ('ERROR', 'X')", vec![3]),
        ("status NOT IN ('OK')", vec![3]),
        ("status = 'ok'", vec![]),
        ("status ILIKE 'err%'", vec![3]),
        ("timestamp_ms > 1003", vec![5, 4]),
        ("timestamp_ms > 1003.5", vec![5, 4]),
        ("timestamp_ms <= '1001'", vec![1]),
        ("timestamp_ms < 1e300", vec![5, 4, 3, 2, 1]),
        ("timestamp_ms > 1e300", vec![]),
        ("timestamp_ms = 1002.5", vec![]),
        ("execution_time_ms >= 3 AND execution_time_ms != 7", vec![3]),
        ("end_time_ms = 1009", vec![2]),
        ("name = 'ask'", vec![2]),
        ("name LIKE 'a%'", vec![2]),
        ("name ILIKE 'a%'", vec![2, 1]),
        ("name RLIKE '^[Aa]sk$'", vec![2, 1]),
        ("tags.k LIKE '10%'", vec![2, 1]),
        ("tags.k = '10%_x'", vec![1]),
        ("tags.k != '10'", vec![1]),
        ("tags.k IS NULL", vec![5, 4, 3]),
        ("tags.k IS NOT NULL AND name = 'Ask'", vec![1]),
        ("metadata.k = 'it''s'", vec![3]),
        ("client_request_id LIKE 'c%'", vec![3]),
        ("request_id = 'tr-00000000000000000000000000000002'", vec![2]),
        ("run_id = 'run1'", vec![3, 1]),
        ("run_id IS NULL", vec![5, 4, 2, 1]),
        ("prompt = 'p/1'", vec![2]),
        ("tags.k = 'x'' OR 1=1 --'", vec![]),
    ] {
        assert_eq!(found(&store, filter, &[]), numbers, "{filter}");
    }
}

fn an_order_puts_what_is_missing_last(place: &Place) {
    let store = shop(place);
    for (order, numbers) in [
        (vec!["timestamp_ms"], vec![1, 2, 3, 4, 5]),
        (vec!["execution_time_ms ASC"], vec![3, 2, 5, 4, 1]),
        (vec!["execution_time DESC"], vec![2, 3, 5, 4, 1]),
        (vec!["name", "timestamp_ms ASC"], vec![1, 2, 3, 4, 5]),
        (vec!["name DESC"], vec![2, 1, 5, 4, 3]),
        (vec!["status ASC", "request_id DESC"], vec![3, 5, 4, 2, 1]),
        (vec!["tags.k", "metadata.k"], vec![2, 1, 3, 5, 4]),
        (vec!["run_id"], vec![3, 5, 4, 2, 1]),
    ] {
        assert_eq!(found(&store, "", &order), numbers, "{order:?}");
        // The same with a test that the statement does not hold.
        assert_eq!(found(&store, "request_id LIKE 'tr-%'", &order), numbers, "{order:?}");
    }
    for order in ["foo", "status, name", "span.name", "timestamp_ms DESC DESC", "", "run_id LIKE", "prompt"] {
        assert!(Search::new(vec![0], "", &[order.to_owned()]).is_err(), "{order}");
    }
    let twice = ["timestamp".to_owned(), "timestamp_ms DESC".to_owned()];
    assert!(Search::new(vec![0], "", &twice).unwrap_err().to_string().contains("more than once"));
}

fn judgements_are_found_by_value_and_across_a_session(place: &Place) {
    let store = shop(place);
    let judge = |number: u32, name: &str, judgement: Judgement, session: bool| {
        let assessment = Assessment {
            assessment_id: String::new(),
            name: name.to_owned(),
            span_id: None,
            source_type: "HUMAN".to_owned(),
            source_id: None,
            created_ms: 0,
            updated_ms: 0,
            judgement,
            rationale: None,
            metadata: session.then(|| (key::SESSION.to_owned(), "s".to_owned())).into_iter().collect(),
            overrides: None,
            valid: true,
        };
        store.write(move |tx| assessments::create(tx, &trace(number).trace_id, &assessment, 9)).unwrap()
    };
    let feedback = |value: Value| Judgement::Feedback { value, error: None };
    judge(1, "good", feedback(true.into()), false);
    judge(2, "good", feedback("true".into()), false);
    judge(3, "good", feedback(false.into()), false);
    judge(1, "score", feedback(0.5.into()), false);
    judge(2, "score", feedback("0.9".into()), false);
    judge(4, "nice", feedback("Yes".into()), true);
    judge(3, "want", Judgement::Expectation(serde_json::json!({"a": 1})), false);
    judge(2, "iss-1", Judgement::Issue("iss-1".to_owned()), false);
    for (filter, numbers) in [
        ("feedback.good = 'true'", vec![2, 1]),
        ("feedback.good != 'true'", vec![3]),
        ("feedback.score > 0.4", vec![1]),
        ("feedback.score > 0.6", vec![]),
        ("feedback.score IS NOT NULL", vec![2, 1]),
        ("feedback.good IS NULL", vec![5, 4]),
        ("feedback.nice = 'Yes'", vec![5, 4]),
        ("feedback.nice LIKE 'Y%'", vec![5, 4]),
        ("feedback.nice ILIKE 'y%'", vec![5, 4]),
        ("feedback.nice RLIKE 'e'", vec![5, 4]),
        ("feedback.nice IS NULL", vec![3, 2, 1]),
        ("expectation.want LIKE '%\"a\": 1%'", vec![3]),
        ("expectation.good = 'true'", vec![]),
        ("issue.id = 'iss-1'", vec![2]),
    ] {
        assert_eq!(found(&store, filter, &[]), numbers, "{filter}");
    }
}

fn clauses_about_spans_are_about_one_span(place: &Place) {
    let store = store(place);
    let body = |trace: u32, spans: &[(&str, &str, &str)]| {
        let spans: Vec<Value> = spans
            .iter()
            .enumerate()
            .map(|(at, (name, kind, model))| {
                serde_json::json!({
                    "traceId": format!("{trace:032x}"), "spanId": format!("{:016x}", at + 1), "name": name,
                    "startTimeUnixNano": 1_000_000_000u64, "endTimeUnixNano": 2_000_000_000u64,
                    "attributes": [{"key": "mlflow.spanType", "value": {"stringValue": kind}},
                                   {"key": "model", "value": {"stringValue": model}}],
                })
            })
            .collect();
        serde_json::json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).to_string()
    };
    for (trace, list) in
        [(1, vec![("a", "TOOL", "gpt"), ("b", "LLM", "GPT-4")]), (2, vec![("a", "LLM", "x")])]
    {
        let spans = otlp::from_json(body(trace, &list).as_bytes()).unwrap();
        store.write(move |tx| spans::log(tx, 0, spans)).unwrap();
    }
    for (filter, numbers) in [
        ("span.name = 'a'", vec![1, 2]),
        ("span.name = 'a' AND span.type = 'LLM'", vec![2]),
        ("span.name = 'b' AND span.attributes.model ILIKE 'gpt%'", vec![1]),
        ("span.name = 'a' AND span.attributes.model = 'GPT-4'", vec![]),
        ("span.attributes.model IN ('x', 'y')", vec![2]),
        ("span.attributes.nothing != 'x'", vec![]),
        ("span.type IN ('TOOL')", vec![1]),
        ("span.status = 'UNSET'", vec![1, 2]),
        ("trace.text LIKE '%GPT-4%'", vec![1]),
        ("trace.text LIKE '%\"name\": \"a\"%'", vec![1, 2]),
        ("span.name RLIKE '^[b-z]$'", vec![1]),
    ] {
        assert_eq!(found(&store, filter, &[]), numbers, "{filter}");
    }
}

fn a_token_is_good_for_its_own_search_only(place: &Place) {
    let store = shop(place);
    let search = |filter: &str| Search::new(vec![0], filter, &[]).unwrap();
    let page = store.read(|tx| super::search(tx, &search(""), 2, None)).unwrap();
    let token = page.next.unwrap();
    assert!(
        store.read(|tx| super::search(tx, &search(""), 3, Some(&token))).is_ok(),
        "another size is the same search"
    );
    let other = store.read(|tx| super::search(tx, &search("status = 'OK'"), 2, Some(&token))).unwrap_err();
    assert!(other.to_string().contains("another search"), "{other}");
    for token in ["", "zzz", "eyJhIjoxfQ", "W10", &token[..10], &format!("{token}x")] {
        let error = store.read(|tx| super::search(tx, &search(""), 2, Some(token))).unwrap_err();
        assert!(matches!(error, StoreError::Invalid(_)), "{token}: {error}");
    }
    for limit in [0, 501] {
        assert!(store.read(|tx| super::search(tx, &search(""), limit, None)).is_err());
    }
}

fn traces_that_come_in_between_neither_repeat_nor_hide_others(place: &Place) {
    let store = shop(place);
    let search = Search::new(vec![0], "", &[]).unwrap();
    let first = store.read(|tx| super::search(tx, &search, 2, None)).unwrap();
    add(&store, trace(9));
    let id = trace(4).trace_id;
    store
        .write(move |tx| {
            let by = gyre_tracking::By {
                at: Timestamp::from_millis(1),
                actor: "user:test".to_owned(),
                origin: None,
            };
            infos::delete(tx, 0, &infos::Doomed::Ids(vec![id]), 10, &by)
        })
        .unwrap();
    let second = store.read(|tx| super::search(tx, &search, 9, first.next.as_deref())).unwrap();
    let numbers: Vec<String> = second.traces.into_iter().map(|t| t.trace_id).collect();
    assert_eq!(numbers, [trace(3).trace_id, trace(2).trace_id, trace(1).trace_id]);
}

proptest! {
    /// Text of a filter reaches the database as a parameter, never inside the statement.
    #[test]
    fn statements_hold_no_text_of_a_filter(
        field in prop::sample::select(vec![
            "tags.`KEY`", "metadata.`KEY`", "feedback.`KEY`", "expectation.`KEY`", "span.attributes.`KEY`", "span.name",
            "name", "status", "run_id", "client_request_id", "request_id", "span.type",
        ]),
        test in prop::sample::select(vec![
            "= 'TEXT'", "!= 'TEXT'", "IN ('TEXT', 'TEXT')", "NOT IN ('TEXT')", "LIKE 'TEXT'", "RLIKE 'TEXT'",
        ]),
        junk in "[a-z;%-]{0,12}",
    ) {
        let field = field.replace("KEY", &format!("MARK{junk}"));
        let filter = format!("{field} {}", test.replace("TEXT", &format!("MARK{junk}")));
        let search = Search::new(vec![0], &filter, &[format!("tags.`MARK{junk}` DESC")]).unwrap();
        let (sql, cells) = Plan::of(&search).statement(None, 10);
        prop_assert!(!sql.contains("MARK"), "{}", sql);
        let place = Place::sqlite();
        let store = store(&place);
        prop_assert!(store.read(|tx| tx.query(&sql, &cells)).is_ok(), "{}", sql);
    }
}
