//! Who may do what, over a real socket: every route with every kind of wrong credentials, and with the right ones.
use crate::support::{Answer, Scene, moment};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gyre_access::token::{Secret, Token};
use gyre_access::tokens::{self, DEFAULT_LIFE, LONGEST_LIFE, Wanted};
use gyre_access::{By, Role, Scope, UserKind, grants, password, users};
use gyre_core::Span;
use gyre_server::{Front, Login, Need, ServeError, Server, Transport};
use gyre_store::{Store, StoreError, Tx, journal};
use serde_json::json;

const PASSWORD: &str = "correct horse battery";
const PROJECT: &str = "shop";

fn required() -> Front {
    Front { login: Login::Required, ..Front::default() }
}

/// As somebody at this machine, at the beginning.
fn change<T: Send + 'static>(
    store: &Store,
    job: impl FnOnce(&mut Tx<'_>, &By) -> Result<T, StoreError> + Send + 'static,
) -> T {
    let by = By { at: moment("2026-03-01T00:00:00Z"), actor: "user:local".to_owned(), origin: None };
    store.write(move |tx| job(tx, &by)).unwrap()
}

/// A user for each role, named after it, and `elsewhere`, who is admin of another project.
fn people(store: &Store) {
    for role in Role::ALL {
        change(store, move |tx, by| {
            users::create(
                tx,
                by,
                &role.name().replace("admin", "chief").parse().unwrap(),
                UserKind::Person,
                None,
            )?;
            grants::grant(tx, by, &role.name().replace("admin", "chief"), PROJECT, role)
        });
    }
    change(store, |tx, by| {
        users::create(tx, by, &"elsewhere".parse().unwrap(), UserKind::Service, None)?;
        grants::grant(tx, by, "elsewhere", "flights", Role::Admin)
    });
}

fn user_of(role: Role) -> String {
    role.name().replace("admin", "chief")
}

fn issue(store: &Store, user: &str, role: Role, projects: &[&str], life: Span) -> Token {
    let token = Token::random().unwrap();
    let projects = projects.iter().map(|project| (*project).to_owned()).collect();
    let scope = Scope { role, projects };
    let wanted =
        Wanted { user: user.to_owned(), label: "test".to_owned(), scope, life, longest: LONGEST_LIFE };
    let issued = token.clone();
    change(store, move |tx, by| tokens::issue(tx, by, &wanted, &issued));
    token
}

fn bearer(token: &Token) -> String {
    format!("Bearer {}", token.reveal())
}

fn send(scene: &Scene, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut answer = scene.connect().send(method, path, headers, b"");
    // gRPC says in headers of its own what others say in the status and the body.
    let status = match answer.header("grpc-status") {
        Some("16") => 401,
        Some("7") => 403,
        Some("8") => 429,
        Some("12") => 404,
        _ => return answer,
    };
    answer.body = answer.header("grpc-message").unwrap_or_default().to_owned();
    Answer { status, ..answer }
}

/// A path of the route with something in the place of its parameters.
fn path_of(route: &str) -> String {
    let mut path = route.replace("{model}", "demand").replace("{version}", "1");
    while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
        path.replace_range(from..=to, "1");
    }
    path
}

#[test]
fn every_route_is_closed_to_whoever_has_no_business_there() {
    let mut made = None;
    let scene = Scene::behind(required(), |store| {
        people(store);
        let expired = issue(store, "chief", Role::Admin, &[], Span::from_millis(1));
        let revoked = issue(store, "chief", Role::Admin, &[], DEFAULT_LIFE);
        let id = revoked.id.clone();
        change(store, move |tx, by| tokens::revoke(tx, by, &id));
        let user_elsewhere = issue(store, "elsewhere", Role::Admin, &[], DEFAULT_LIFE);
        let token_elsewhere = issue(store, "chief", Role::Admin, &["flights"], DEFAULT_LIFE);
        let good = Role::ALL.map(|role| issue(store, &user_of(role), Role::Admin, &[], DEFAULT_LIFE));
        let cut = Role::ALL.map(|role| issue(store, "chief", role, &[PROJECT], DEFAULT_LIFE));
        made = Some((expired, revoked, user_elsewhere, token_elsewhere, good, cut));
    });
    scene.clock.set(moment("2026-03-02T00:00:00Z"));
    let scene = scene.with_models();
    let (expired, revoked, user_elsewhere, token_elsewhere, good, cut) = made.unwrap();
    let forged = Token { id: good[3].id.clone(), secret: Secret::random().unwrap() };
    let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
    let cookie = format!("gyre-session={}", Secret::random().unwrap().reveal());
    let nobody: Vec<(&str, Vec<(&str, String)>)> = vec![
        ("no credentials", vec![]),
        ("malformed", vec![("authorization", "Bearer x".to_owned())]),
        ("another scheme", vec![("authorization", "Digest chief".to_owned())]),
        ("two of them", vec![("authorization", bearer(&good[3])), ("authorization", bearer(&good[3]))]),
        ("an unknown token", vec![("authorization", bearer(&Token::random().unwrap()))]),
        ("a forged secret", vec![("authorization", bearer(&forged))]),
        ("an expired token", vec![("authorization", bearer(&expired))]),
        ("a revoked token", vec![("authorization", bearer(&revoked))]),
        ("a planted session", vec![("cookie", cookie), ("sec-fetch-site", "same-origin".to_owned())]),
        ("a name only", vec![("authorization", basic("chief:"))]),
        (
            "an expired token as password",
            vec![("authorization", basic(&format!("chief:{}", expired.reveal())))],
        ),
    ];
    let (mut closed, mut opened) = (0, 0);
    for route in gyre_server::routes() {
        let (method, path) = (route.method.as_str(), path_of(&route.path));
        let Some(takes) = route.need.role() else { continue };
        for (what, headers) in &nobody {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = send(&scene, method, &path, &headers);
            // A password that is wrong too often is not even tried.
            let expected = if *what == "a name only" && answer.status == 429 { 429 } else { 401 };
            assert_eq!(answer.status, expected, "{method} {path} with {what}: {}", answer.body);
            assert!(
                expected == 429
                    || answer.header("www-authenticate").is_some_and(|ways| ways.contains("realm=\"gyre\""))
            );
            closed += 1;
        }
        for (what, token) in [("a user of", &user_elsewhere), ("a token for", &token_elsewhere)] {
            let answer = send(&scene, method, &path, &[("authorization", &bearer(token))]);
            assert_eq!(answer.status, 403, "{method} {path} with {what} another project: {}", answer.body);
            let workspace = [("authorization", &*bearer(token)), ("x-mlflow-workspace", "flights")];
            let answer = send(&scene, method, &path, &workspace);
            assert!(
                [403, 404].contains(&answer.status),
                "{method} {path} in another workspace: {}",
                answer.body
            );
            assert!(answer.body.contains("flights"), "{}", answer.body);
            closed += 2;
        }
        for (has, tokens) in Role::ALL.into_iter().zip(good.iter().zip(&cut)) {
            for token in [tokens.0, tokens.1] {
                // What a right one does is another test's affair; here it must not change what the next one finds.
                if has >= takes && method != "GET" && !route.path.contains("mlflow") && route.path != "/v2" {
                    continue;
                }
                let answer = send(&scene, method, &path, &[("authorization", &bearer(token))]);
                let refused = [401, 403].contains(&answer.status);
                assert_eq!(
                    refused,
                    has < takes,
                    "{method} {path} as {has}: {} {}",
                    answer.status,
                    answer.body
                );
                if refused { closed += 1 } else { opened += 1 }
            }
        }
    }
    assert!(closed > 500 && opened > 50, "{closed} {opened}");
}

#[test]
fn the_right_role_comes_through_to_every_route_that_changes_something() {
    let mut made = None;
    let scene = Scene::behind(required(), |store| {
        people(store);
        made = Some(Role::ALL.map(|role| issue(store, &user_of(role), role, &[PROJECT], DEFAULT_LIFE)));
    });
    let (scene, tokens) = (scene.with_models(), made.unwrap());
    for route in gyre_server::routes().iter().filter(|route| route.method != "GET") {
        let Some(takes) = route.need.role() else { continue };
        let token = &tokens[Role::ALL.iter().position(|role| *role == takes).unwrap()];
        let answer =
            send(&scene, route.method.as_str(), &path_of(&route.path), &[("authorization", &bearer(token))]);
        assert!(![401, 403].contains(&answer.status), "{} {}: {}", route.method, route.path, answer.body);
    }
}

#[test]
fn only_routes_that_tell_nothing_are_open() {
    let open = gyre_server::routes().into_iter().filter(|route| route.need == Need::Open);
    let mut open: Vec<String> = open.map(|route| format!("{} {}", route.method, route.path)).collect();
    open.sort();
    let known = [
        "GET /health",
        "GET /login",
        "GET /login/callback",
        "GET /login/oidc",
        "GET /ping",
        "GET /v2",
        "GET /v2/health/live",
        "GET /v2/health/ready",
        "GET /version",
        "POST /inference.GRPCInferenceService/ServerLive",
        "POST /inference.GRPCInferenceService/ServerMetadata",
        "POST /inference.GRPCInferenceService/ServerReady",
        "POST /login",
        "POST /logout",
    ];
    for route in &open {
        assert!(known.contains(&route.as_str()), "{route} needs nobody: is that meant? Then say so here");
    }
}

#[test]
fn a_refusal_speaks_the_protocol_of_its_path_and_comes_before_the_body() {
    let scene = with_password();
    let of = |path: &str| {
        let promised = [("content-length", "1000000000"), ("content-type", "application/json")];
        scene.connect().send("POST", path, &promised, b"{")
    };
    let rest = of("/v1/labels");
    assert_eq!((rest.status, rest.json()["error"]["message"].is_string()), (401, true));
    assert!(of("/v2/models/demand/infer").json()["error"].is_string());
    let mlflow = scene.get("/api/2.0/mlflow/users/current");
    assert_eq!((mlflow.status, &mlflow.json()["error_code"]), (401, &json!("UNAUTHENTICATED")));
    assert!(mlflow.json()["message"].as_str().unwrap().contains("MLFLOW_TRACKING_TOKEN"));
    let ways = |answer: &Answer| {
        let all = answer.headers.iter().filter(|(name, _)| name == "www-authenticate");
        all.map(|(_, value)| value.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ways(&mlflow), ["Bearer", "Basic"]);
    let browser = send(&scene, "GET", "/api/2.0/mlflow/users/current", &[("sec-fetch-mode", "cors")]);
    assert_eq!(ways(&browser), ["Bearer"], "no window of the browser's own");
    let page = scene.get("/models/demand?x=1");
    assert!(page.body.contains("href=\"/login?next=%2Fmodels%2Fdemand\""), "{}", page.body);
    for answer in [&rest, &mlflow, &page, &scene.get("/nothing"), &scene.get("/health")] {
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[test]
fn mlflows_ways_to_say_who_one_is_all_work_and_the_journal_knows_who() {
    let mut made = None;
    let scene = Scene::behind(required(), |store| {
        people(store);
        let hash = password::hash(&"chief".parse().unwrap(), PASSWORD).unwrap();
        change(store, move |tx, by| users::set_password(tx, by, &"chief".parse().unwrap(), &hash));
        made = Some(issue(store, "chief", Role::Approver, &[], DEFAULT_LIFE));
    });
    let token = made.unwrap();
    let basic = |text: String| format!("Basic {}", BASE64_STANDARD.encode(text));
    for (given, actor, role) in [
        (bearer(&token), format!("token:{}(user:chief)", token.id), "approver"),
        (basic(format!("chief:{}", token.reveal())), format!("token:{}(user:chief)", token.id), "approver"),
        (basic(format!("Chief:{PASSWORD}")), "user:chief".to_owned(), "admin"),
        (basic(format!("chief:{PASSWORD}")), "user:chief".to_owned(), "admin"),
    ] {
        let headers = [("authorization", given.as_str()), ("user-agent", "mlflow-python-client/3.17.2")];
        let told = send(&scene, "GET", "/v1/whoami", &headers).json();
        let expected =
            json!({"actor": actor, "user": "chief", "role": role, "project": "shop", "login": true});
        assert_eq!(told, expected);
        let current = send(&scene, "GET", "/api/2.0/mlflow/users/current", &headers).json();
        assert_eq!(current["user"]["username"], "chief");
    }
    let wrong = basic(format!("chief:{PASSWORD}x"));
    assert_eq!(send(&scene, "GET", "/v1/whoami", &[("authorization", &wrong)]).status, 401);
    let swapped = basic(format!("viewer:{}", token.reveal()));
    assert_eq!(
        send(&scene, "GET", "/v1/whoami", &[("authorization", &swapped)]).status,
        401,
        "another's token"
    );

    let scene = scene.with_models();
    let headers =
        [("authorization", &*bearer(&token)), ("user-agent", "curl/8"), ("content-type", "application/json")];
    let resumed = scene.connect().send("POST", "/v1/models/demand/resume", &headers, b"");
    assert_eq!(resumed.status, 200, "{}", resumed.body);
    let entry = resumed.json()["entry"].as_u64().unwrap();
    let entry = scene.store().read(|tx| journal::get(tx, entry)).unwrap();
    assert_eq!(entry.actor, format!("token:{}(user:chief)", token.id));
}

/// Logs in by the form; returns the answer.
fn log_in(scene: &Scene, user: &str, password: &str, more: &[(&str, &str)]) -> Answer {
    let mut headers = vec![
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", "http://localhost"),
        ("sec-fetch-site", "same-origin"),
    ];
    headers.extend_from_slice(more);
    let body = format!("user={user}&password={}&next=%2Fjournal", password.replace(' ', "+"));
    scene.connect().send("POST", "/login", &headers, body.as_bytes())
}

fn with_password() -> Scene {
    Scene::behind(required(), |store| {
        people(store);
        let hash = password::hash(&"chief".parse().unwrap(), PASSWORD).unwrap();
        change(store, move |tx, by| users::set_password(tx, by, &"chief".parse().unwrap(), &hash));
    })
}

fn cookie_of(answer: &Answer) -> String {
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

#[test]
fn a_session_is_made_by_the_login_and_ends_with_it() {
    let scene = with_password();
    assert!(scene.get("/login").body.contains("action=\"/login\""));
    let wrong = log_in(&scene, "chief", "wrong wrong wrong", &[]);
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));
    assert!(
        wrong.body.contains("the user or the password is wrong") && !wrong.body.contains("wrong wrong wrong")
    );
    let unknown = log_in(&scene, "nobody", "wrong wrong wrong", &[]);
    assert!(unknown.body.contains("the user or the password is wrong"), "it does not tell who exists");

    let planted = format!("gyre-session={}", Secret::random().unwrap().reveal());
    let entered = log_in(&scene, "chief", PASSWORD, &[("cookie", &planted)]);
    assert_eq!((entered.status, entered.header("location")), (303, Some("/journal")));
    let line = entered.header("set-cookie").unwrap();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"] {
        assert!(line.contains(attribute), "{line}");
    }
    let cookie = cookie_of(&entered);
    assert_ne!(cookie, planted, "a planted id is never taken over");
    assert_eq!(send(&scene, "GET", "/journal", &[("cookie", &planted)]).status, 401);
    assert_eq!(send(&scene, "GET", "/journal", &[("cookie", &cookie)]).status, 200);

    let again = cookie_of(&log_in(&scene, "chief", PASSWORD, &[("cookie", &cookie)]));
    assert_eq!(send(&scene, "GET", "/", &[("cookie", &cookie)]).status, 401, "the one before has ended");
    let out = send(&scene, "POST", "/logout", &[("cookie", &again), ("sec-fetch-site", "same-origin")]);
    assert_eq!(out.status, 303);
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(send(&scene, "GET", "/", &[("cookie", &again)]).status, 401);

    let last = cookie_of(&log_in(&scene, "chief", PASSWORD, &[]));
    scene.clock.set(moment("2026-03-01T12:00:00Z"));
    assert_eq!(send(&scene, "GET", "/", &[("cookie", &last)]).status, 401, "twelve hours later");
}

#[test]
fn a_cookie_changes_nothing_for_pages_of_others() {
    let scene = with_password().with_models();
    let cookie = cookie_of(&log_in(&scene, "chief", PASSWORD, &[]));
    let path = "/v1/models/demand/resume";
    let post = |more: &[(&str, &str)]| {
        let mut headers = vec![("cookie", cookie.as_str()), ("content-type", "application/json")];
        headers.extend_from_slice(more);
        scene.connect().send("POST", path, &headers, b"").status
    };
    assert_eq!(post(&[]), 401, "a browser that says nothing");
    assert_eq!(post(&[("origin", "https://evil.example")]), 403);
    assert_eq!(post(&[("origin", "null")]), 403);
    assert_eq!(post(&[("sec-fetch-site", "cross-site")]), 403);
    assert_eq!(post(&[("sec-fetch-site", "none")]), 401);
    assert_eq!(
        post(&[("host", "evil.example"), ("origin", "http://evil.example")]),
        421,
        "a name that was rebound"
    );
    assert_eq!(post(&[("origin", "http://localhost"), ("sec-fetch-site", "same-origin")]), 200);
    let forced = [("content-type", "application/x-www-form-urlencoded")];
    let body = format!("user=chief&password={PASSWORD}");
    assert_eq!(
        scene.connect().send("POST", "/login", &forced, body.as_bytes()).status,
        403,
        "login for others"
    );
}

#[test]
fn guessing_is_slowed_down_for_one_user_and_for_nobody_else() {
    let scene = with_password();
    let mut seen = Vec::new();
    for _ in 0..8 {
        seen.push(log_in(&scene, "chief", "wrong wrong wrong", &[]).status);
    }
    assert_eq!(seen[..6], [401; 6]);
    assert_eq!(seen[7], 429);
    assert_eq!(log_in(&scene, "chief", PASSWORD, &[]).status, 429);
    assert_eq!(log_in(&scene, "viewer", "wrong wrong wrong", &[]).status, 401);
    scene.clock.set(moment("2026-03-01T00:20:00Z"));
    assert_eq!(log_in(&scene, "chief", PASSWORD, &[]).status, 303);
}

#[test]
fn an_administrator_manages_users_tokens_and_roles_and_secrets_come_out_once() {
    let mut made = None;
    let scene = Scene::behind(required(), |store| {
        people(store);
        made = Some(issue(store, "chief", Role::Admin, &[], DEFAULT_LIFE));
    });
    let authorization = bearer(&made.unwrap());
    let ask = |method: &str, path: &str, body: serde_json::Value| {
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        scene.connect().send(method, path, &headers, body.to_string().as_bytes())
    };
    let weak = ask("POST", "/v1/access/users", json!({"name": "ada", "password": "password1234"}));
    assert_eq!(weak.status, 400);
    assert!(weak.body.contains("tried first") && !weak.body.contains("password1234"), "{}", weak.body);
    let made =
        ask("POST", "/v1/access/users", json!({"name": "ada", "password": PASSWORD, "role": "contributor"}));
    assert_eq!(made.status, 200, "{}", made.body);
    assert_eq!(ask("POST", "/v1/access/users", json!({"name": "Ada"})).status, 409);
    let token = ask("POST", "/v1/access/tokens", json!({"user": "ada", "label": "ci", "days": 30})).json();
    let text = token["token"].as_str().unwrap().to_owned();
    let by_ada = format!("Bearer {text}");
    let whoami = send(&scene, "GET", "/v1/whoami", &[("authorization", &by_ada)]).json();
    assert_eq!((&whoami["user"], &whoami["role"]), (&json!("ada"), &json!("contributor")));
    let listed = ask("GET", "/v1/access/tokens?user=ada", json!({}));
    assert!(listed.json()["tokens"][0]["used"].is_string(), "{}", listed.body);
    let secret = text.rsplit('_').next().unwrap();
    for path in
        ["/v1/access/tokens", "/v1/access/users", "/v1/access/grants", "/v1/journal?limit=100", "/journal"]
    {
        let body = ask("GET", path, json!({})).body;
        for hidden in [secret, PASSWORD, "argon2"] {
            assert!(!body.contains(hidden), "{path}");
        }
    }
    assert_eq!(ask("POST", "/v1/access/grants", json!({"user": "ada", "role": "viewer"})).status, 200);
    let whoami = send(&scene, "GET", "/v1/whoami", &[("authorization", &by_ada)]).json();
    assert_eq!(whoami["role"], "viewer", "in force at once");
    let elsewhere = ask("POST", "/v1/access/grants", json!({"user": "ada", "role": "admin", "project": "*"}));
    assert_eq!(elsewhere.status, 403, "an administrator of one project rules no other");
    let taken_over = ask("POST", "/v1/access/tokens", json!({"user": "elsewhere"}));
    assert_eq!(taken_over.status, 403, "nor takes over a user of another");
    let id = token["issued"]["id"].as_str().unwrap();
    assert_eq!(ask("DELETE", &format!("/v1/access/tokens/{id}"), json!({})).status, 200);
    assert_eq!(
        send(&scene, "GET", "/v1/whoami", &[("authorization", &by_ada)]).status,
        401,
        "revoked at once"
    );
    assert_eq!(ask("DELETE", "/v1/access/users/ada", json!({})).status, 200);
    assert_eq!(ask("DELETE", "/v1/access/users/ada", json!({})).status, 404);
    let told = ask("GET", "/v1/journal?limit=100", json!({})).json();
    let entries = told["entries"].as_array().unwrap();
    let revoked = entries.iter().find(|entry| entry["fact"]["change"] == "token_revoked").unwrap();
    assert!(revoked["actor"].as_str().unwrap().starts_with("token:"), "{revoked}");
    assert!(revoked["origin"].as_str().unwrap().starts_with("127.0.0.1"), "{revoked}");
}

#[test]
fn without_users_a_public_address_is_not_served_and_the_refusal_says_how() {
    let (dir, any) = (tempfile::tempdir().unwrap(), "0.0.0.0:0".parse().unwrap());
    std::fs::write(dir.path().join("gyre.yaml"), "version: 1\nproject: shop\n").unwrap();
    let exposed = Server::bind(any).unwrap_err();
    assert!(matches!(exposed, ServeError::Exposed(_)) && exposed.to_string().contains("--behind-proxy"));
    let front = Front { transport: Transport::PlainAccepted, ..Front::default() };
    let server = Server::bind_as(any, front).unwrap();
    let scene = Scene::empty();
    let app = gyre_server::App::new(std::sync::Arc::clone(&scene.desk), scene.clock.clone());
    let refusal = server.check(&app).unwrap_err().to_string();
    assert!(refusal.contains("gyre access user add"), "{refusal}");
    people(scene.store());
    assert!(server.check(&app).is_err(), "users who have no way to log in");
    issue(scene.store(), "chief", Role::Admin, &[], DEFAULT_LIFE);
    server.check(&app).unwrap();
}

#[test]
fn behind_a_proxy_the_cookie_is_secure_and_the_address_is_what_the_proxy_says() {
    let front =
        Front { transport: Transport::Proxied, hosts: vec!["gyre.example".to_owned()], ..Front::default() };
    let scene = Scene::behind(front, |store| {
        people(store);
        let hash = password::hash(&"chief".parse().unwrap(), PASSWORD).unwrap();
        change(store, move |tx, by| users::set_password(tx, by, &"chief".parse().unwrap(), &hash));
    });
    let public = [("host", "gyre.example"), ("x-forwarded-for", "203.0.113.9, 198.51.100.7")];
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", "https://gyre.example"),
        public[0],
        public[1],
    ];
    let body = format!("user=chief&password={}", PASSWORD.replace(' ', "+"));
    let entered = scene.connect().send("POST", "/login", &headers, body.as_bytes());
    assert_eq!(entered.status, 303, "{}", entered.body);
    let line = entered.header("set-cookie").unwrap();
    assert!(line.starts_with("__Host-gyre=") && line.contains("; Secure"), "{line}");
    assert!(entered.header("strict-transport-security").is_some());
    let last = scene.store().journal_size() - 1;
    let newest = scene.store().read(|tx| journal::entries(tx, last, 1)).unwrap();
    assert_eq!(
        newest[0].origin.as_deref(),
        Some("198.51.100.7"),
        "what the client wrote before it is not believed"
    );
    assert_eq!(send(&scene, "GET", "/health", &[("host", "other.example")]).status, 421);
}

#[test]
fn on_loopback_nobody_has_to_log_in() {
    let scene = Scene::empty();
    let told = scene.get("/v1/whoami").json();
    assert_eq!(
        (&told["actor"], &told["role"], &told["login"]),
        (&json!("user:local"), &json!("admin"), &json!(false))
    );
    assert_eq!(scene.get("/api/2.0/mlflow/users/current").status, 404);
    assert!(scene.get("/login").body.contains("No login needed"));
    let other = send(&scene, "GET", "/v1/whoami", &[("x-mlflow-workspace", "flights")]);
    assert_eq!(other.status, 404, "another workspace is not this one");
    assert_eq!(send(&scene, "GET", "/v1/whoami", &[("x-mlflow-workspace", "shop")]).status, 200);
}
