//! A full disk: the upload is refused and leaves nothing, what is there stays readable, and there is no other damage.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use gyre_artifacts::{ArtifactError, ArtifactPath, Artifacts, Folder, ROOM, index};
use gyre_core::Clock;
use gyre_core::time::SystemClock;
use gyre_store::{Room, Store, StoreError};

static ROOMS: [&Room; 1] = [&ROOM];

/// Where the small disk is mounted: set for the process that lives on it.
const DISK: &str = "GYRE_TEST_DISK";

#[test]
fn a_full_disk_refuses_a_file_and_keeps_the_others() {
    gyre_testing::live_on_a_small_disk(8, DISK);
}

#[test]
#[ignore = "runs on a small disk; started by a_full_disk_refuses_a_file_and_keeps_the_others"]
fn on_a_small_disk() {
    let dir = PathBuf::from(std::env::var_os(DISK).unwrap());
    let clock = Arc::new(SystemClock) as Arc<dyn Clock>;
    let store = Arc::new(Store::open(&dir, &ROOMS, Arc::clone(&clock)).unwrap());
    let artifacts = Artifacts::local(Arc::clone(&store), clock);
    let path = |text: &str| ArtifactPath::from_field(text).unwrap();
    artifacts.put(&path("r/small"), b"kept").unwrap();
    let chunk: Bytes = (0..1_u32 << 20).map(|number| (number % 251) as u8).collect();
    for _ in 0..2 {
        let mut upload = artifacts.begin().unwrap();
        let refused = (0..16).find_map(|_| upload.write(&chunk).err()).unwrap();
        assert!(matches!(refused, ArtifactError::Store(StoreError::Full)), "{refused}");
        drop(upload);
        assert_eq!(std::fs::read_dir(dir.join("artifacts/incoming")).unwrap().count(), 0);
    }
    let listing = store.read(|tx| index::list(tx, &Folder::from_field("r").unwrap(), None, 10)).unwrap();
    assert_eq!(listing.children.len(), 1);
    artifacts.put(&path("r/more"), &chunk).unwrap();
    let file = store.read(|tx| index::file(tx, &path("r/small"))).unwrap();
    assert_eq!(artifacts.open(&file, 0, 4).unwrap().next_chunk().unwrap().unwrap(), &b"kept"[..]);
}
