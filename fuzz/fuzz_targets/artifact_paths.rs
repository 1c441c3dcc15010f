//! Paths of artifacts: what is let through stays in its tree, also for whoever decodes it again, reads it as Windows does, or
//! cuts it off at a sign that his server understands.

#![no_main]

use std::path::{Component, Path};

use gyre_artifacts::{ArtifactPath, Folder};
use libfuzzer_sys::fuzz_target;

fn stays(path: &str) {
    let normal = |path: &str| Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    assert!(!path.is_empty() && normal(path), "{path:?}");
    for sign in [';', '?', '#'] {
        let mut parts = path.split('/').map(|part| part.split(sign).next().unwrap_or_default());
        assert!(parts.all(|part| part != ".."), "{path:?} cut at {sign}");
    }
    assert!(!path.contains(['\\', '\0', '\n', '\r']), "{path:?}");
    let mut decoded = path.to_owned();
    while let Some(again) = decode(&decoded) {
        assert!(normal(&again) && !again.contains('\\'), "{path:?} decoded is {again:?}");
        decoded = again;
    }
}

/// Undoes percent-encoding where there is one; none when there is none.
fn decode(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    let mut found = false;
    while let [first, after @ ..] = rest {
        let hex = |byte: u8| char::from(byte).to_digit(16);
        match (first, after) {
            (b'%', [high, low, ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.push((hex(*high).unwrap_or_default() * 16 + hex(*low).unwrap_or_default()) as u8);
                rest = &after[2..];
                found = true;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    found.then(|| String::from_utf8_lossy(&bytes).into_owned())
}

fuzz_target!(|text: &str| {
    for path in [ArtifactPath::from_field(text), ArtifactPath::from_url(text)].into_iter().flatten() {
        stays(path.as_str());
        assert_eq!(
            ArtifactPath::from_field(path.as_str()).as_ref(),
            Ok(&path),
            "read once more it is the same"
        );
    }
    for folder in
        [Folder::from_field(text), Folder::from_url(text), Folder::from_uri(text)].into_iter().flatten()
    {
        if !folder.is_root() {
            stays(folder.as_str());
        }
    }
});
