//! The door outwards, tried with real sockets.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use gyre_access::egress::{Egress, EgressError, Rule};

const PATIENCE: Duration = Duration::from_secs(20);

/// Answers one request with `answer`, and returns what it was asked.
fn serve_once(answer: String) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while reader.read_line(&mut head).unwrap() > 2 {}
        let length =
            head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).unwrap();
        // A client that has seen enough may be gone.
        let _ = reader.get_mut().write_all(answer.as_bytes());
        head + &String::from_utf8(body).unwrap()
    });
    (address, served)
}

fn rules(list: &[&str]) -> Vec<Rule> {
    list.iter().map(|rule| rule.parse().unwrap()).collect()
}

#[test]
fn nothing_inside_is_reached_unless_it_is_listed() {
    // A listener that nobody may reach; accepting would block for ever, so a connection would be noticed as one.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let open = Egress::new(Vec::new());
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::]",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "100.100.100.200",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/hook");
            let error = open.post(&url, &[], b"{}", PATIENCE).unwrap_err();
            assert!(matches!(error, EgressError::Forbidden { .. }), "{url}: {error}");
        }
    }
    let other = Egress::new(rules(&["hooks.internal", "10.0.0.0/8"]));
    assert!(matches!(
        other.post(&format!("http://127.0.0.1:{port}/"), &[], b"", PATIENCE),
        Err(EgressError::Forbidden { .. })
    ));
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_listed_host_is_told() {
    for (rule, host) in [("127.0.0.0/8", "127.0.0.1"), ("localhost", "localhost")] {
        let (address, served) = serve_once("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned());
        let url = format!("http://{host}:{}/hook?x=1", address.port());
        let egress = Egress::new(rules(&[rule]));
        egress.check(&url).unwrap();
        let status = egress.post(&url, &[("x-signature", "v1,abc")], b"{\"a\":1}", PATIENCE).unwrap();
        assert_eq!(status, 202);
        let asked = served.join().unwrap();
        assert!(asked.starts_with("POST /hook?x=1 HTTP/1.1"), "{asked}");
        assert!(
            asked.to_lowercase().contains("x-signature: v1,abc") && asked.ends_with("{\"a\":1}"),
            "{asked}"
        );
    }
}

#[test]
fn a_redirect_is_an_answer_and_not_followed() {
    let inner = TcpListener::bind("127.0.0.1:0").unwrap();
    inner.set_nonblocking(true).unwrap();
    for status in ["301", "302", "303", "307", "308"] {
        let answer = format!(
            "HTTP/1.1 {status} Moved\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n",
            inner.local_addr().unwrap()
        );
        let (address, served) = serve_once(answer);
        let egress = Egress::new(rules(&["127.0.0.1"]));
        let got = egress.post(&format!("http://{address}/"), &[], b"", PATIENCE).unwrap();
        assert_eq!(got.as_str(), status);
        served.join().unwrap();
    }
    assert_eq!(inner.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn an_endless_answer_is_cut_off() {
    let (address, served) = serve_once(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(3 << 20)));
    let egress = Egress::new(rules(&["127.0.0.1"]));
    let error = egress.post(&format!("http://{address}/"), &[], b"", PATIENCE).unwrap_err();
    assert!(matches!(error, EgressError::TooLarge { .. }), "{error}");
    served.join().unwrap();
}

#[test]
fn a_slow_answer_ends_in_time() {
    // Accepted by the system, answered by nobody.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let error =
        Egress::new(rules(&["127.0.0.1"])).post(&url, &[], b"", Duration::from_millis(200)).unwrap_err();
    assert!(error.to_string().contains("took too long"), "{error}");
}

#[test]
fn what_is_no_plain_url_is_refused_at_once() {
    let egress = Egress::new(rules(&["127.0.0.1", "hooks.internal"]));
    let forbidden =
        ["https://10.0.0.1/", "http://[::ffff:192.168.0.1]/", "https://169.254.169.254/latest/meta-data"];
    for url in forbidden {
        assert!(matches!(egress.check(url), Err(EgressError::Forbidden { .. })), "{url}");
    }
    for url in [
        "",
        "hooks.internal",
        "/x",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "https://",
        "https:///x",
        "http://a b/",
    ] {
        assert!(matches!(egress.check(url), Err(EgressError::Url { .. })), "{url}");
    }
    let secret = egress.check("https://user:hunter2@example.org/").unwrap_err().to_string();
    assert!(secret.contains("user or password") && !secret.contains("hunter2"), "{secret}");
    assert!(matches!(Egress::new(Vec::new()).check("http://example.org/"), Err(EgressError::Plain { .. })));
    egress.check("https://example.org/hook").unwrap();
    egress.check("http://hooks.internal/hook").unwrap();
}

#[test]
fn an_impostor_is_not_told() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let der = key.cert.der().clone();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![der], private)
            .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut said = Vec::new();
        // It ends with the client's alert.
        let _ = connection.complete_io(&mut stream);
        let _ = connection.reader().read_to_end(&mut said);
        said
    });
    let egress = Egress::new(rules(&["localhost"]));
    let error = egress.post(&format!("https://localhost:{port}/"), &[], b"secret", PATIENCE).unwrap_err();
    assert!(
        error.to_string().contains("certificate") || error.to_string().contains("UnknownIssuer"),
        "{error}"
    );
    assert!(served.join().unwrap().is_empty());
}

#[test]
fn whoever_connects_by_other_means_asks_about_each_address() {
    let listed = Egress::new(rules(&["models.internal", "10.1.0.0/16"]));
    let may = |url: &str, address: &str| listed.permit(&url.parse().unwrap(), address.parse().unwrap());
    assert!(may("http://models.internal/x", "10.9.9.9").is_ok());
    assert!(may("http://other.internal", "10.1.2.3").is_ok());
    assert!(may("https://example.org", "93.184.215.14").is_ok());
    assert!(matches!(may("https://other.internal", "10.9.9.9"), Err(EgressError::Forbidden { .. })));
    assert!(matches!(may("http://models.internal", "169.254.169.254"), Err(EgressError::Forbidden { .. })));
    assert!(matches!(may("http://example.org", "93.184.215.14"), Err(EgressError::Plain { .. })));
    assert!(matches!(may("ftp://models.internal", "10.9.9.9"), Err(EgressError::Url { .. })));
}
