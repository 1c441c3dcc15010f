//! The door, the API and the pages over a real socket.
use crate::support::{HOSTILE, OTHER_REGRESSOR, Scene, good, moment, name};
use gyre_core::fact::{
    Alarm, Attribution, Check, ColumnPart, Decision, Drift, Finding, Numbers, Part, Realised, SegmentLoss,
    WindowSummary,
};
use gyre_core::spec::Window;
use gyre_core::time::Period;
use gyre_core::{Fact, Span};
use gyre_server::{ServeError, Server};
use serde_json::json;

#[test]
fn only_loopback_is_served_and_the_refusal_says_what_to_do() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let refusal = Server::bind(address.parse().unwrap()).unwrap_err();
        assert!(matches!(refusal, ServeError::Exposed(_)));
        assert!(refusal.to_string().contains("Listen on 127.0.0.1"), "{refusal}");
    }
    let held = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let again = Server::bind(held.local_addr()).unwrap_err().to_string();
    assert!(again.contains("is gyre running already?"), "{again}");
}

#[test]
fn every_route_is_there_and_guarded() {
    let scene = Scene::serving();
    let routes = gyre_server::routes();
    let here = |path: &str| {
        // Those that change something, or speak otherwise, have tests of their own.
        ![
            "api/",
            "/v1/access",
            "/login",
            "/logout",
            "/graphql",
            "/mlflow",
            "/repository/models/",
            "GRPC",
            "/incidents/",
        ]
        .iter()
        .any(|other| path.contains(other))
    };
    for route in routes.iter().filter(|route| here(&route.path)) {
        let method = route.method.as_str();
        let path = route.path.replace("{model}", "demand").replace("{version}", "1");
        let answer = scene.connect().send(method, &path, &[], b"");
        // A model in gyre's own process has nothing to pass on, and says so.
        let is_absent = answer.status == 404 && !answer.body.contains("it runs in gyre's process");
        let is_broken = is_absent || [405, 500].contains(&answer.status);
        assert!(!is_broken, "{method} {path}: {} {}", answer.status, answer.body);
        let rebound = scene.connect().send(method, &path, &[("host", "evil.example")], b"");
        assert_eq!(rebound.status, 421, "{method} {path}");
        // One that no path here takes; several take both GET and POST.
        let other = "PATCH";
        assert_eq!(scene.connect().send(other, &path, &[], b"").status, 405, "{other} {path}");
        if method == "POST" {
            let forged = scene.connect().send(
                method,
                &path,
                &[("origin", "https://evil.example")],
                good("x").as_bytes(),
            );
            assert_eq!(forged.status, 403, "{method} {path}");
        }
    }
    assert_eq!(scene.connect().raw(b"GET / HTTP/1.1\r\n\r\n").status, 400, "without a host");
    assert_eq!(
        scene.connect().raw(b"GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\n\r\n").status,
        421
    );
    assert_eq!(scene.logged("demand"), 0);
    let unknown = scene.get("/v1/nothing");
    assert_eq!((unknown.status, unknown.json()["error"]["message"].is_string()), (404, true));
}

#[test]
fn a_person_promotes_and_goes_back() {
    let scene = Scene::serving();
    scene.register("demand", 2, OTHER_REGRESSOR, &[]);
    let promoted = scene.post("/v1/models/demand/promote", r#"{"version": 2, "reason": "looks better"}"#);
    assert_eq!(promoted.status, 200, "{}", promoted.body);
    let entry = promoted.json()["entry"].as_u64().unwrap();
    let told = scene.get(&format!("/v1/journal?after={}&limit=1", entry - 1)).json();
    assert_eq!(told["entries"][0]["fact"]["kind"], "promoted");
    assert_eq!(told["entries"][0]["fact"]["reason"], "looks better");
    assert_eq!(told["entries"][0]["actor"], "user:local");
    let model = scene.get("/v1/models/demand").json();
    assert_eq!(model["model"]["champion"], 2);
    assert_eq!(model["model"]["serving"][0]["share"], 10_000);
    assert_eq!(model["versions"][1]["status"], "champion");
    assert_eq!(model["versions"][1]["gates"]["results"][0]["gate"], "candidate.mae <= 3");
    assert_eq!(scene.post("/v1/models/demand/rollback", r#"{"reason": "it is not"}"#).status, 200);
    assert_eq!(scene.get("/v1/models/demand").json()["model"]["champion"], 1);
    let nothing_left = scene.post("/v1/models/demand/rollback", "");
    assert_eq!(nothing_left.status, 409, "{}", nothing_left.body);
}

#[test]
fn wrong_operations_are_refused_in_words() {
    let scene = Scene::serving();
    let before = scene.get("/v1/journal/head").json();
    let cases = [
        ("/v1/models/demnad/promote", r#"{"version": 1}"#, 404, "there is no model `demnad`"),
        ("/v1/models/demand/promote", r#"{"version": 9}"#, 404, "demand@9"),
        ("/v1/models/demand/promote", r#"{"version": 1}"#, 409, "is the champion already"),
        (
            "/v1/models/demand/promote",
            r#"{"version": "one"}"#,
            400,
            "invalid type: string \"one\", expected u32",
        ),
        ("/v1/models/demand/promote", r#"{"version": 1, "force": true}"#, 400, "unknown field `force`"),
        ("/v1/models/demand/promote", "", 400, "EOF"),
        ("/v1/models/demand/train", r#"{"window": "56 fortnights"}"#, 400, "is not a length of time"),
        ("/v1/models/demand/rollback", r#"[]"#, 400, "expected"),
        ("/v1/watermark", r#"{"time": "later"}"#, 400, "`later` is not a time"),
        ("/v1/labels", r#"{"model": "demnad", "labels": []}"#, 404, "there is no model `demnad`"),
        (
            "/v1/labels",
            r#"{"model": "demand", "labels": [{"id": "a", "value": null}]}"#,
            400,
            "expected a label: a number, text, true or false",
        ),
        (
            "/v1/labels",
            r#"{"model": "demand", "labels": [{"id": "", "value": 1}]}"#,
            400,
            "labels[0].id has 0 bytes",
        ),
    ];
    for (path, body, status, told) in cases {
        let answer = scene.post(path, body);
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(told), "{path} {body}: {message}");
    }
    assert_eq!(
        scene.post("/v1/models/demnad/rollback", "").json()["error"]["help"],
        "did you mean `demand`?"
    );
    for path in
        ["/v1/journal?limit=0", "/v1/journal?limit=100000", "/v1/journal?after=-1", "/v1/journal?sort=up"]
    {
        assert_eq!(scene.get(path).status, 400, "{path}");
    }
    assert_eq!(scene.get("/v1/journal/head").json(), before, "nothing was written");
}

#[test]
fn labels_are_durable_when_they_are_acknowledged() {
    let scene = Scene::serving();
    assert_eq!(scene.post("/v2/models/demand/infer", &good("sale-1")).status, 200);
    let flushed = scene.post("/v1/models/demand/flush", "").json();
    assert_eq!((flushed["durable"].as_u64(), flushed["dropped"].as_u64()), (Some(1), Some(0)), "{flushed}");
    let body =
        r#"{"model": "demand", "labels": [{"id": "sale-1", "value": 3, "time": "2026-03-02T00:00:00Z"}]}"#;
    assert_eq!(scene.post("/v1/labels", body).json(), json!({"labels": 1}));
    let found = scene.gateway().find("demand", "sale-1").unwrap().unwrap();
    assert_eq!(found.label.unwrap().value.as_number(), Some(3.0));
}

#[test]
fn event_time_comes_forward() {
    let scene = Scene::serving();
    let answer = scene.post("/v1/watermark", r#"{"time": "2026-03-02T00:00:00Z", "wait": true}"#);
    assert_eq!((answer.status, answer.json()), (200, json!({"time": "2026-03-02T00:00:00Z"})));
    assert_eq!(scene.get("/v1/status").json()["event_time"], "2026-03-02T00:00:00Z");
}

#[test]
fn the_journal_is_read_in_pages_and_verified() {
    let scene = Scene::serving();
    let head = scene.get("/v1/journal/head").json();
    let size = head["size"].as_u64().unwrap();
    let (mut after, mut read) = (0, Vec::new());
    loop {
        let page = scene.get(&format!("/v1/journal?after={after}&limit=3")).json();
        read.extend(page["entries"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()));
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(read, (1..=size).collect::<Vec<_>>());
    let promoted = scene.get("/v1/journal?kind=promoted&model=demand").json();
    assert_eq!(promoted["entries"].as_array().unwrap().len(), 1);
    let found = scene.get("/v1/journal/verify").json();
    assert_eq!((&found["verified"], &found["root"]), (&json!(true), &head["root"]));
    assert_eq!(scene.get("/health").body, "OK");
}

/// A loss that promised 2, half of whose change is that of one column.
fn attribution(loss: f64) -> Attribution {
    let change = loss - 2.0;
    let part = |amount: f64| Part { amount, interval: Some((amount - 0.2, amount + 0.2)) };
    let column = ColumnPart {
        column: HOSTILE.to_owned(),
        shift: part(change / 2.0),
        unseen: None,
        alone: change / 2.0,
    };
    Attribution {
        reference: 2.0,
        rows: 900,
        change: part(change),
        covariate: part(change / 2.0),
        unseen: Some(0.25),
        concept: part(change / 2.0 - 0.25),
        columns: vec![column],
    }
}

/// A scene in which much has happened, some of it with words that would be markup.
fn eventful() -> Scene {
    let scene = Scene::serving();
    scene.register("demand", 2, OTHER_REGRESSOR, &[]);
    for week in 0..6 {
        let from = moment("2026-03-01T00:00:00Z") + Span::days(7 * week);
        scene.clock.set(from + Span::days(7));
        let loss = 2.0 + week as f64;
        scene.tell(Fact::WindowClosed(WindowSummary {
            model: name("demand"),
            period: Period { from, to: from + Span::days(7) },
            champion: 1,
            predictions: 1_000,
            labels: 900,
            realised: vec![Realised { version: 1, rows: 900, loss, days: 7, standard_error: Some(0.1) }],
            drift: vec![Drift {
                column: HOSTILE.to_owned(),
                statistic: "share_of_a_name".to_owned(),
                effect: 0.05 * week as f64,
                p: 0.01,
                floor: None,
                usual: None,
                drifted: week > 2,
            }],
            estimated: None,
            errors: 0,
            odd: vec![],
            quality: vec![Finding {
                check: Check::Range,
                column: Some(HOSTILE.to_owned()),
                found: Some(0.1),
                expected: Some(0.0),
                rows: 100,
                words: format!("`{HOSTILE}` is outside of 0 to 1"),
            }],
            evidence: gyre_core::fact::Evidence::default(),
            attribution: Some(attribution(loss)),
            segments: vec![SegmentLoss {
                column: HOSTILE.to_owned(),
                segment: "EWR".to_owned(),
                rows: 300,
                loss,
                standard_error: Some(0.1),
                reference: Some(2.0),
                contribution: Some(0.5),
                p: Some(0.001),
                worse: true,
            }],
        }));
    }
    scene.tell(Fact::AlarmRaised {
        model: name("demand"),
        alarm: Alarm::Decay,
        reason: HOSTILE.to_owned(),
        numbers: Numbers::new(),
    });
    scene.tell(Fact::DecisionTaken {
        model: name("demand"),
        decision: Decision::Recall { version: 2 },
        reason: HOSTILE.to_owned(),
        numbers: Numbers::new(),
    });
    scene.tell(Fact::DecisionTaken {
        model: name("demand"),
        decision: Decision::Keep,
        reason: format!("{} windows", Window::Last(Span::days(56))),
        numbers: Numbers::new(),
    });
    let body = json!({"version": 2, "reason": HOSTILE}).to_string();
    assert_eq!(scene.post("/v1/models/demand/promote", &body).status, 200);
    scene
}

/// Every element is closed, in order; attributes are quoted. Void elements and raw text are known.
fn assert_well_formed(html: &str) {
    const VOID: [&str; 5] = ["meta", "link", "br", "input", "!DOCTYPE"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').expect("an element ends");
        let (inside, after) = (&rest[..end], &rest[end + 1..]);
        assert_eq!(inside.matches('"').count() % 2, 0, "quotes of <{inside}>");
        let tag = inside.trim_start_matches('/').split([' ', '\n']).next().unwrap();
        rest = after;
        if inside.starts_with('/') {
            assert_eq!(open.pop(), Some(tag), "</{tag}>");
        } else if !VOID.contains(&tag) && !inside.ends_with('/') {
            if tag == "style" || tag == "script" {
                rest = &rest[rest.find(&format!("</{tag}>")).expect("raw text ends")..];
            }
            open.push(tag);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

#[test]
fn pages_are_well_formed_escape_everything_and_keep_to_themselves() {
    let scene = eventful();
    let pages = [
        "/",
        "/models",
        "/models/demand",
        "/models/size",
        "/journal",
        "/journal?verify=1",
        "/journal?kind=promoted&model=demand",
        "/journal?model=%3Cscript%3Ealert(1)%3C/script%3E",
        "/report/demand",
    ];
    for path in pages {
        let answer = scene.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert_well_formed(&answer.body);
        assert!(!answer.body.contains("<script>alert"), "{path}");
        let header = |name| answer.header(name).unwrap_or_default().to_owned();
        assert!(header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        assert_eq!(header("content-type"), "text/html; charset=utf-8", "{path}");
        for reference in ["href=\"http", "src=", "url(", "@import"] {
            assert!(!answer.body.contains(reference), "{path} names another place: {reference}");
        }
    }
    for path in ["/nothing/here%3Cscript%3E", "/models/nothing", "/report/nothing"] {
        let answer = scene.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert_well_formed(&answer.body);
    }
}

#[test]
fn pages_tell_what_is() {
    let scene = eventful();
    let page = scene.get("/models/demand").body;
    for told in [
        "v2",
        "champion",
        "retired",
        "bring version 2 back",
        "candidate.mae &lt;= 3",
        "alert(1)",
        "900 labelled",
        "on the withheld rows, 7.00",
        "inputs shifted",
        "the world changed",
        "values never seen",
        "<strong>EWR</strong>",
        "worse",
        "is outside of 0 to 1",
    ] {
        assert!(page.contains(told), "{told}");
    }
    let overview = scene.get("/");
    assert_eq!(overview.header("refresh"), Some("10"));
    assert!(overview.body.contains("href=\"/models/size\""));
    scene.desk.settle().unwrap();
    let verified = scene.get("/journal?verify=1").body;
    let root = scene.get("/v1/journal/head").json()["root"].as_str().unwrap().to_owned();
    assert!(verified.contains("verified") && verified.contains(&root));
    assert!(
        scene
            .get("/journal?kind=promoted&model=demand")
            .body
            .contains("version 2 is champion after version 1")
    );
    let report = scene.get("/report/demand").body;
    assert!(report.contains("Period by period") && report.contains("demand: what the loop did"));
}

#[test]
fn the_report_is_what_the_journal_says() {
    let scene = eventful();
    let project = scene.desk.project();
    let demand = name("demand");
    let beside = |week: i64, loss| {
        let from = moment("2026-03-01T00:00:00Z") + Span::days(7 * week);
        gyre_server::report::Loss { period: Period { from, to: from + Span::days(7) }, rows: 900, loss }
    };
    let never_retrained = [beside(0, 10.0), beside(1, 20.0)];
    let about = gyre_server::report::About {
        title: "Demand".to_owned(),
        project: "shop",
        spec: Some(&project.models[&demand]),
        period_days: 14,
        never_retrained: &never_retrained,
        failed_requests: 0,
        verified: Some(true),
    };
    let report = gyre_server::report::build(scene.store(), &demand, &about).unwrap();
    assert_eq!(report.figures.managed_error, Some(4.5), "the mean of 2 to 7 over equal windows");
    assert_eq!(report.figures.static_error, Some(15.0));
    assert_eq!(
        (report.figures.predictions, report.figures.labels, report.figures.recalls),
        (6_000, 5_400, 1)
    );
    assert_eq!(report.windows[1].static_error, Some(20.0));
    assert_eq!(report.windows[1].managed_error, Some(3.0));
    assert_eq!(report.windows[2].static_error, None, "undefined is not zero");
    assert_eq!(report.periods[0].managed_error, Some(2.5));
    assert_eq!(report.served.iter().map(|span| span.version.as_str()).collect::<Vec<_>>(), ["v1", "v2"]);
    assert_eq!(report.drift.columns[0].values.len(), 6);
    assert_eq!(report.versions.len(), 2);
    assert!(report.events.iter().any(|event| event.title == "bring version 2 back"));
}
