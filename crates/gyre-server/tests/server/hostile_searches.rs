//! Searches asked by somebody who wants more than is his: statements in filters, page tokens that were made up or are of
//! another search. Nothing is found that the search does not say, nothing is changed, and each answer is proper.
use crate::support::protocol::assert_proper;
use crate::support::{Answer, Scene};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use gyre_testing::{Place, on_both};
use serde_json::{Value, json};

on_both!(
    no_filter_becomes_a_statement,
    no_page_token_leads_where_it_should_not,
    no_search_is_more_than_the_database_takes
);

const API: &str = "/api/3.0/mlflow";

/// How one kind of thing is searched for.
struct Search {
    path: &'static str,
    /// What makes the request whole.
    base: fn() -> Value,
    /// The field of the filter.
    filter: &'static str,
    /// A filter that finds nothing.
    nothing: &'static str,
    /// Where the answer lists what was found.
    found: &'static str,
    /// Whether its page tokens name their search (those of the registry are MLflow's: a place in the list).
    bound: bool,
}

fn experiments() -> Value {
    json!({"experiment_ids": ["0"]})
}

fn locations() -> Value {
    json!({"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}]})
}

const SEARCHES: [Search; 7] = [
    Search {
        path: "/runs/search",
        base: experiments,
        filter: "filter",
        nothing: "tags.a = 'x'",
        found: "runs",
        bound: true,
    },
    Search {
        path: "/experiments/search",
        base: || json!({}),
        filter: "filter",
        nothing: "name = 'x'",
        found: "experiments",
        bound: true,
    },
    Search {
        path: "/logged-models/search",
        base: experiments,
        filter: "filter",
        nothing: "name = 'x'",
        found: "models",
        bound: true,
    },
    Search {
        path: "/traces/search",
        base: locations,
        filter: "filter",
        nothing: "tags.a = 'x'",
        found: "traces",
        bound: true,
    },
    Search {
        path: "/datasets/search",
        base: || json!({}),
        filter: "filter_string",
        nothing: "name = 'x'",
        found: "datasets",
        bound: true,
    },
    Search {
        path: "/registered-models/search",
        base: || json!({}),
        filter: "filter",
        nothing: "name = 'x'",
        found: "registered_models",
        bound: false,
    },
    Search {
        path: "/model-versions/search",
        base: || json!({}),
        filter: "filter",
        nothing: "name = 'x'",
        found: "model_versions",
        bound: false,
    },
];

impl Search {
    fn ask(&self, scene: &Scene, more: &[(&str, Value)]) -> Answer {
        let mut asked = (self.base)();
        for (name, value) in more {
            asked[*name] = value.clone();
        }
        if self.bound {
            return scene.post(&format!("{API}{}", self.path), &asked.to_string());
        }
        // The registry is searched by GET.
        let object = asked.as_object().unwrap();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let encode = |text: String| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let pairs: Vec<String> =
            object.iter().map(|(name, value)| format!("{name}={}", encode(text(value)))).collect();
        scene.get(&format!("{API}{}?{}", self.path, pairs.join("&")))
    }

    /// How many things an answer found.
    fn count(&self, answer: &Answer) -> usize {
        answer.json()[self.found].as_array().map_or(0, Vec::len)
    }

    fn first_token(&self, scene: &Scene) -> String {
        let page = self.ask(scene, &[("max_results", json!(1))]);
        assert_eq!(page.status, 200, "{}: {}", self.path, page.body);
        let token = page.json()["next_page_token"].as_str().map(str::to_owned);
        token.unwrap_or_else(|| panic!("{} has one page only: {}", self.path, page.body))
    }
}

/// Three of everything that can be searched for.
fn furnished(place: &Place) -> Scene {
    let scene = Scene::at(place);
    let made = |path: &str, body: Value| {
        let answer = scene.post(&format!("{API}{path}"), &body.to_string());
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    };
    for n in 0..3 {
        made("/experiments/create", json!({"name": format!("e{n}")}));
        made("/runs/create", json!({"experiment_id": "0", "start_time": n}));
        made("/logged-models", json!({"experiment_id": "0", "name": format!("l{n}")}));
        made("/registered-models/create", json!({"name": format!("m{n}")}));
        made("/model-versions/create", json!({"name": format!("m{n}"), "source": "s3://b/m"}));
        made("/datasets/create", json!({"name": format!("d{n}"), "experiment_ids": ["0"]}));
        let location = locations()["locations"][0].clone();
        let info = json!({"trace_id": format!("tr-{n}"), "trace_location": location, "state": "OK",
                          "request_time": "2026-03-01T00:00:00Z", "execution_duration": "1s"});
        made("/traces", json!({"trace": {"trace_info": info}}));
    }
    scene
}

fn counts(scene: &Scene) -> Vec<usize> {
    SEARCHES.iter().map(|search| search.count(&search.ask(scene, &[]))).collect()
}

fn no_filter_becomes_a_statement(place: &Place) {
    let scene = furnished(place);
    let before = counts(&scene);
    assert!(before.iter().all(|count| *count >= 3), "{before:?}");
    let long = format!("tags.a = '{}'", "x".repeat(200_000));
    let many = vec!["tags.a = 'x'"; 2_000].join(" AND ");
    let nested = format!("{}tags.a = 'x'{}", "(".repeat(50_000), ")".repeat(50_000));
    let quantified = format!("tags.a RLIKE '{}a{}'", "(".repeat(5_000), "{1000})".repeat(5_000));
    let backtracking = "tags.a RLIKE '(a+)+$'".to_owned();
    let filters = [
        "' OR '1'='1",
        "x' or '1'='1' --",
        "tags.a = 'x' OR 1 = 1",
        "tags.a = 'x'; drop table runs; --",
        "tags.a = 'x' UNION select 1 from access_users",
        "tags.a = 'x') OR (1=1",
        "tags.`a` = 'x' or 1=1 --` = 'x'",
        "tags.\"a' or '1'='1\" = 'x'",
        "name = 'x' /* */ OR name LIKE '%'",
        "name LIKE '%' ESCAPE '\\'",
        "run_id IN ('a', (select 1))",
        "name = 'a' 'b'",
        "name = \u{2019}x\u{2019} or 1",
        "name = 'x\0' OR '1'='1'",
        "tags.a = '\\'",
        "tags.a LIKE '%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%a'",
        "metrics.m > 1e999",
        "metrics.m = 'x'",
        "start_time > 99999999999999999999999",
        "attributes.start_time > -1e308",
        "= = =",
        "'",
        "`",
        "\"",
        "tags.",
        ".",
        "AND",
        &long,
        &many,
        &nested,
        &quantified,
        &backtracking,
    ];
    for search in &SEARCHES {
        for filter in filters {
            let what: String = format!("{} with {filter}", search.path).chars().take(200).collect();
            // A URL has an end where a body has none.
            if !search.bound && filter.len() > 20_000 {
                continue;
            }
            let answer = search.ask(&scene, &[(search.filter, json!(filter))]);
            assert_proper(&answer, &what);
            // What is a filter all the same finds what it says: nothing here is tagged, or called like that. The one
            // that says "before all times" is true of what there is.
            let all = filter.contains("-1e308") || filter.contains("ESCAPE");
            assert!(answer.status != 200 || all || search.count(&answer) == 0, "{what}: {}", answer.body);
        }
        for order in
            ["name; drop table runs", "(select 1)", "name DESC, 1", "\0", "tags.`a` ASC NULLS FIRST --"]
        {
            let what = format!("{} by {order}", search.path);
            let order = if search.path == "/logged-models/search" {
                json!([{"field_name": order}])
            } else if search.bound {
                json!([order])
            } else {
                json!(order)
            };
            assert_proper(&search.ask(&scene, &[("order_by", order)]), &what);
        }
    }
    assert_eq!(counts(&scene), before, "nothing came, nothing went");
}

/// What `token` is made of: text in base64, with or without its last signs.
fn opened(token: &str) -> Value {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).or_else(|_| BASE64_STANDARD.decode(token)).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// `value` with each of its parts, in turn, replaced by something else.
fn forgeries(value: &Value) -> Vec<Value> {
    let other = [
        json!(null),
        json!(""),
        json!("x"),
        json!("a\0"),
        json!(-1),
        json!(i64::MAX),
        json!(0.5),
        json!(u64::MAX),
        json!([]),
        json!({}),
        json!(true),
    ];
    let mut made: Vec<Value> = other.to_vec();
    match value {
        Value::Array(list) => {
            for (at, part) in list.iter().enumerate() {
                for forged in forgeries(part) {
                    let mut list = list.clone();
                    list[at] = forged;
                    made.push(list.into());
                }
            }
            made.push(list.iter().skip(1).cloned().collect());
            made.push(list.iter().chain(list).cloned().collect());
        }
        Value::Object(object) => {
            for (name, part) in object {
                for forged in forgeries(part) {
                    let mut object = object.clone();
                    object.insert(name.clone(), forged);
                    made.push(object.into());
                }
            }
        }
        _ => {}
    }
    made
}

fn no_page_token_leads_where_it_should_not(place: &Place) {
    let scene = furnished(place);
    let tokens: Vec<String> = SEARCHES.iter().map(|search| search.first_token(&scene)).collect();
    for (search, own) in SEARCHES.iter().zip(&tokens) {
        let with = |token: &str, more: &[(&str, Value)]| {
            let mut asked = vec![("page_token", json!(token)), ("max_results", json!(1))];
            asked.extend_from_slice(more);
            let answer = search.ask(&scene, &asked);
            assert_proper(&answer, &format!("{} after {}", search.path, &token[..token.len().min(200)]));
            answer
        };
        assert_eq!(with(own, &[]).status, 200, "its own");
        let other = with(own, &[(search.filter, json!(search.nothing))]);
        if search.bound {
            assert_eq!(other.status, 400, "{} with another filter: {}", search.path, other.body);
            assert_eq!(other.json()["error_code"], "INVALID_PARAMETER_VALUE");
        } else {
            assert_eq!(search.count(&other), 0, "{}: {}", search.path, other.body);
        }
        for (of, foreign) in SEARCHES.iter().zip(&tokens).filter(|(of, _)| of.path != search.path) {
            if search.bound {
                assert_eq!(with(foreign, &[]).status, 400, "{} with a token of {}", search.path, of.path);
            }
        }
        let long = "A".repeat(1 << 20);
        for token in
            ["x", "=", "e30=", "bnVsbA==", "eyJvZmZzZXQiOiAtMX0=", "W10", "\0", "../..", "%00", &long]
        {
            // A URL has an end where a body has none.
            if search.bound || token.len() < 20_000 {
                assert_eq!(with(token, &[]).status, 400, "{} after {:.20}", search.path, token);
            }
        }
        for at in 0..own.len() {
            let changed = format!("{}A{}", &own[..at], &own[at + 1..]);
            for token in [&own[..at], &changed] {
                with(token, &[]);
            }
        }
        for forged in forgeries(&opened(own)) {
            let text = forged.to_string();
            with(&BASE64_URL_SAFE_NO_PAD.encode(&text), &[]);
            with(&BASE64_STANDARD.encode(&text), &[]);
        }
    }
}

fn no_search_is_more_than_the_database_takes(place: &Place) {
    let scene = furnished(place);
    let ids: Vec<String> = (0..70_000).map(|n| n.to_string()).collect();
    let different = |n: usize| format!("tags.a{n} != 'x'");
    let clauses = (0..1_500).map(different).collect::<Vec<_>>().join(" AND ");
    let list =
        format!("run_id IN ({})", (0..40_000).map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", "));
    for search in SEARCHES.iter().filter(|search| search.bound) {
        let orders = |count: usize| -> Value {
            let order = |n| match search.path {
                "/logged-models/search" => json!({"field_name": format!("tags.a{n}")}),
                _ => json!(format!("tags.a{n}")),
            };
            (0..count).map(order).collect()
        };
        let locations: Vec<Value> = ids
            .iter()
            .map(|id| json!({"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": id}}))
            .collect();
        for (what, more) in [
            ("70 orders", vec![("order_by", orders(70))]),
            ("3,000 orders", vec![("order_by", orders(3_000))]),
            ("70,000 experiments", vec![("experiment_ids", json!(ids)), ("locations", locations.into())]),
            ("1,500 clauses", vec![(search.filter, json!(clauses))]),
            ("a list of 40,000", vec![(search.filter, json!(list))]),
            ("a page without end", vec![("max_results", json!(i64::MAX))]),
        ] {
            assert_proper(&search.ask(&scene, &more), &format!("{} with {what}", search.path));
        }
    }
    assert!(counts(&scene).iter().all(|count| *count >= 3));
}
