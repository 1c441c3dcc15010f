//! Whatever the input: what is accepted stays inside.

use std::path::{Component, Path};

use proptest::prelude::*;

use super::*;

fn from_url(raw: &str) -> Result<String, Flaw> {
    ArtifactPath::from_url(raw).map(|path| path.0).map_err(|invalid| invalid.flaw)
}

#[test]
fn ordinary_paths_are_what_they_are() {
    for (raw, path) in [
        ("3/abc/artifacts/model/MLmodel", "3/abc/artifacts/model/MLmodel"),
        ("a%20b/c+d/e&f=g", "a b/c+d/e&f=g"),
        ("%D7%A9%D7%9C%D7%95%D7%9D.txt", "שלום.txt"),
        ("a%2Fb", "a/b"),
        ("100%25.txt", "100%.txt"),
        ("50%2525.txt", "50%25.txt"),
        (".hidden/..also/...", ".hidden/..also/..."),
        ("a;b/c%3Bd", "a;b/c;d"),
        ("what%3F/no%231", "what?/no#1"),
        ("run:1/v@2", "run:1/v@2"),
    ] {
        assert_eq!(from_url(raw).as_deref(), Ok(path), "{raw}");
    }
}

/// One line for each way in that was found in MLflow and its like; the numbers are those of the CVE lists.
#[test]
fn each_known_way_out_is_closed() {
    let cases = [
        // 2023-1177, 2023-2356, 2023-6909: parents, plainly.
        ("../../etc/passwd", Flaw::Dots),
        ("model/../../../etc/passwd", Flaw::Dots),
        ("a/..", Flaw::Dots),
        ("./a", Flaw::Dots),
        // 2023-2780: absolute, by a scheme or by an empty first part.
        ("/etc/passwd", Flaw::Absolute),
        ("//etc/passwd", Flaw::Absolute),
        ("a//b", Flaw::EmptyPart),
        // 2023-6831, 2024-1560: encoded, and encoded twice or more often.
        ("%2e%2e/%2e%2e/etc", Flaw::Dots),
        ("%2e%2e%2fetc", Flaw::Dots),
        ("%2Fetc%2Fpasswd", Flaw::Absolute),
        ("%252e%252e%252fetc", Flaw::EncodedTwice),
        ("%25252e%25252e/etc", Flaw::EncodedTwice),
        ("a/%252e%252e;/b", Flaw::EncodedTwice),
        ("%252Fetc", Flaw::EncodedTwice),
        ("a%2500b", Flaw::EncodedTwice),
        ("a%255c..", Flaw::EncodedTwice),
        // A broken escape beside the second encoding does not hide it.
        ("%25zz/%252e%252e/x", Flaw::EncodedTwice),
        // 2024-1593: parameters after `;`.
        ("..;/..;/etc", Flaw::Dots),
        ("..%3Bx=1/etc", Flaw::Dots),
        (".;/a", Flaw::Dots),
        (";..", Flaw::Dots),
        // 2024-3573: query and fragment.
        ("..%3F/etc", Flaw::Dots),
        ("..%23/etc", Flaw::Dots),
        ("%23..", Flaw::Dots),
        // Windows: backslashes, drives, spaces that do not count.
        ("..\\..\\windows", Flaw::Backslash),
        ("a%5c..%5cb", Flaw::Backslash),
        ("C:/windows", Flaw::Absolute),
        ("c:windows", Flaw::Absolute),
        (".. /x", Flaw::Dots),
        // 2024-7340 and others: bytes that end a string elsewhere.
        ("a%00.png", Flaw::Control),
        ("a%0d%0aSet-Cookie:%20x", Flaw::Control),
        ("a%7f", Flaw::Control),
        ("%c0%ae%c0%ae/etc", Flaw::Encoding),
        ("a%2", Flaw::Encoding),
        ("a%zz", Flaw::Encoding),
        ("", Flaw::Empty),
        ("a/", Flaw::EmptyPart),
    ];
    for (raw, flaw) in cases {
        assert_eq!(from_url(raw), Err(flaw), "{raw}");
    }
}

#[test]
fn lengths_are_bounded() {
    assert_eq!(from_url(&"a".repeat(256)), Err(Flaw::PartTooLong));
    assert!(from_url(&"a".repeat(255)).is_ok());
    assert_eq!(from_url(&"a/".repeat(1_024)), Err(Flaw::EmptyPart));
    assert_eq!(from_url(&"abc/".repeat(600)), Err(Flaw::TooLong));
}

#[test]
fn folders_may_end_with_a_slash_and_roots_are_uris() {
    assert_eq!(Folder::from_field("a/b/").map(|folder| folder.0), Ok("a/b".to_owned()));
    assert!(Folder::from_field("a//").is_err());
    assert!(Folder::from_url("").is_ok_and(|folder| folder.is_root()));
    for uri in ["mlflow-artifacts:/3/r/artifacts", "mlflow-artifacts:///3/r/artifacts/"] {
        assert_eq!(Folder::from_uri(uri).map(|folder| folder.0), Ok("3/r/artifacts".to_owned()), "{uri}");
    }
    for uri in [
        "s3://bucket/a",
        "file:///etc",
        "/etc",
        "mlflow-artifacts://other.example/3",
        "mlflow-artifacts:/3?x=/../..",
        "mlflow-artifacts:/3#/../..",
        "mlflow-artifacts:/../x",
        "mlflow-artifacts:////etc",
        "http://127.0.0.1/api/2.0/mlflow-artifacts/artifacts/3",
        "",
    ] {
        assert!(Folder::from_uri(uri).is_err(), "{uri}");
    }
    let told = Folder::from_uri("s3://bucket/a").unwrap_err().to_string();
    assert!(told.contains("s3://bucket/a") && told.contains("mlflow-artifacts:/PATH"), "{told}");
}

#[test]
fn ancestors_are_the_folders_above() {
    let path = ArtifactPath::from_field("a/b/c").unwrap();
    assert_eq!(path.ancestors().collect::<Vec<_>>(), ["a", "a/b"]);
    assert_eq!(path.name(), "c");
}

/// Joined to any folder, by this system or by one that knows backslashes and drives, and decoded as often as anybody
/// likes, it stays below.
fn stays_inside(path: &str) -> bool {
    let mut text = path.to_owned();
    loop {
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        let inside = Path::new(&text).components().all(plain)
            && !text.contains(['\\', '\0'])
            && !text.split('/').any(|part| part.is_empty() || part == "." || part == "..");
        if !inside {
            return false;
        }
        match decode_what_decodes(&text) {
            Some(decoded) => text = decoded,
            None => return true,
        }
    }
}

/// Texts that attackers would write.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "..", ".", "/", "\\", "%2e", "%2E", "%2f", "%5c", "%25", "%252e", "%00", ";", "?", "#", "%3b", "C:",
        "a", " ", "%", "é", "%c3%a9", "\u{202e}", "\n",
    ]);
    prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn whatever_comes_stays_inside(raw in prop_oneof![hostile(), any::<String>()]) {
        for path in [ArtifactPath::from_url(&raw), ArtifactPath::from_field(&raw)].into_iter().flatten() {
            prop_assert!(stays_inside(path.as_str()), "{:?} became {:?}", raw, path);
        }
        if let Ok(folder) = Folder::from_uri(&raw) {
            prop_assert!(folder.is_root() || stays_inside(folder.as_str()));
        }
    }

    #[test]
    fn a_path_is_found_in_its_folder_and_in_no_other(path in "[a-z./ é%]{1,20}", folder in "[a-z./ é]{1,8}") {
        let (Ok(path), Ok(folder)) = (ArtifactPath::from_field(&path), Folder::from_field(&folder)) else { return Ok(()) };
        let key = path.as_str();
        let within = folder.prefix().as_str() <= key && key < folder.end().as_str();
        prop_assert_eq!(within, key.starts_with(&folder.prefix()));
    }
}
