//! Artifacts come, are listed, are replaced, go, and leave no bytes behind.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gyre_artifacts::index::{self, Child, Listing};
use gyre_artifacts::{ArtifactError, ArtifactPath, Artifacts, Folder, ROOM};
use gyre_core::time::ManualClock;
use gyre_core::{Clock, Digest, Span, Timestamp};
use gyre_store::{Room, Store, StoreError};
use gyre_testing::Place;
use proptest::prelude::*;

gyre_testing::on_both!(
    a_file_is_no_folder,
    a_folder_with_thousands_of_files_is_one_entry,
    an_upload_that_breaks_off_leaves_nothing,
    bytes_that_are_being_deleted_cannot_be_referred_to,
    bytes_without_a_path_are_swept_up_and_others_are_left_alone,
    damage_is_told_and_mended_by_uploading_again,
    folders_are_listed_with_sizes_in_pages,
    nothing_is_deleted_that_anything_refers_to,
    the_digest_of_a_tree_is_that_of_its_documented_lines,
    what_comes_out_is_what_went_in_and_the_same_bytes_lie_there_once,
);

static ROOMS: [&Room; 1] = [&ROOM];

struct Scene<'a> {
    artifacts: Artifacts,
    store: Arc<Store>,
    clock: Arc<ManualClock>,
    place: &'a Place,
}

fn path(text: &str) -> ArtifactPath {
    ArtifactPath::from_field(text).unwrap()
}

fn folder(text: &str) -> Folder {
    Folder::from_field(text).unwrap()
}

fn open(place: &Place, clock: &Arc<ManualClock>) -> (Arc<Store>, Artifacts) {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let store = Arc::new(place.open(&ROOMS, Arc::clone(&clock)));
    (Arc::clone(&store), Artifacts::local(store, clock))
}

impl<'a> Scene<'a> {
    fn new(place: &'a Place) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_800_000_000_000)));
        let (store, artifacts) = open(place, &clock);
        Self { artifacts, store, clock, place }
    }

    fn put(&self, at: &str, bytes: &[u8]) {
        self.artifacts.put(&path(at), bytes).unwrap();
    }

    fn get(&self, at: &str) -> Result<Vec<u8>, ArtifactError> {
        let file = self.store.read(|tx| index::file(tx, &path(at)))?;
        let mut download = self.artifacts.open(&file, 0, file.size)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = download.next_chunk()? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn list(&self, at: &str, after: Option<&Child>, limit: usize) -> Listing {
        self.store.read(|tx| index::list(tx, &folder(at), after, limit)).unwrap()
    }

    fn names(&self, at: &str) -> Vec<(String, Option<u64>)> {
        self.list(at, None, 1_000).children.into_iter().map(|child| (child.name, child.size)).collect()
    }

    fn remove_tree(&self, at: &str) -> usize {
        let (at, now) = (folder(at), self.clock.now());
        self.store.write(move |tx| index::remove_tree(tx, &at, now)).unwrap()
    }

    /// The files under the folder of artifacts, by their names relative to it.
    fn on_disk(&self) -> Vec<PathBuf> {
        let root = self.place.dir().join("artifacts");
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let entry = entry.unwrap().path();
                if entry.is_dir() {
                    folders.push(entry)
                } else {
                    found.push(entry.strip_prefix(&root).unwrap().to_owned())
                }
            }
        }
        found.sort();
        found
    }

    fn collect(&self) -> u64 {
        self.artifacts.collect(self.clock.now(), Span::from_millis(1_000)).unwrap().blobs
    }

    fn wait(&self, millis: i64) {
        self.clock.set(Timestamp::from_millis(self.clock.now().as_millis() + millis));
    }
}

fn what_comes_out_is_what_went_in_and_the_same_bytes_lie_there_once(place: &Place) {
    let scene = Scene::new(place);
    let large: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    scene.put("1/r/artifacts/model/weights.bin", &large);
    scene.put("1/r/artifacts/copy of weights.bin", &large);
    scene.put("1/r/artifacts/empty", b"");
    assert_eq!(scene.get("1/r/artifacts/copy of weights.bin").unwrap(), large);
    assert_eq!(scene.get("1/r/artifacts/empty").unwrap(), b"");
    let hex = Digest::of(&large).to_hex();
    assert_eq!(scene.on_disk().len(), 2);
    assert!(scene.on_disk().contains(&Path::new(&hex[..2]).join(&hex[2..])));
    let file = scene.store.read(|tx| index::file(tx, &path("1/r/artifacts/model/weights.bin"))).unwrap();
    let mut range = scene.artifacts.open(&file, 1_000_000, 1_000_010).unwrap();
    assert_eq!(range.next_chunk().unwrap().unwrap(), &large[1_000_000..1_000_010]);
    assert!(range.next_chunk().unwrap().is_none());
    assert!(matches!(
        scene.get("1/r/artifacts/model"),
        Err(ArtifactError::Store(StoreError::NotFound { .. }))
    ));
}

fn folders_are_listed_with_sizes_in_pages(place: &Place) {
    let scene = Scene::new(place);
    for name in ["a.txt", "a/1", "a/2", "a/b/3", "a-b/4", "z", "ü/5"] {
        scene.put(&format!("r/{name}"), name.as_bytes());
    }
    scene.put("r2/other", b"");
    let names = |list: &[(&str, Option<u64>)]| -> Vec<(String, Option<u64>)> {
        list.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect()
    };
    let all = names(&[("a-b", None), ("a.txt", Some(5)), ("a", None), ("z", Some(1)), ("ü", None)]);
    assert_eq!(scene.names("r"), all);
    assert_eq!(scene.names("r/a"), names(&[("1", Some(3)), ("2", Some(3)), ("b", None)]));
    assert_eq!(scene.names(""), names(&[("r", None), ("r2", None)]));
    assert_eq!(scene.names("r/a.txt"), []);
    assert_eq!(scene.names("nowhere"), []);
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = scene.list("r", after.as_ref(), 2);
        after = page.children.last().cloned();
        paged.extend(page.children.into_iter().map(|child| (child.name, child.size)));
        if !page.more {
            break;
        }
    }
    assert_eq!(paged, all);
}

fn a_folder_with_thousands_of_files_is_one_entry(place: &Place) {
    let scene = Scene::new(place);
    scene
        .store
        .write(|tx| {
            for number in 0..3_000 {
                tx.execute(
                    "INSERT INTO artifacts_files VALUES (?1, 'x', 1, 0)",
                    &[format!("r/deep/{number}").into()],
                )?;
            }
            tx.execute("INSERT INTO artifacts_files VALUES ('r/last', 'x', 7, 0)", &[]).map(drop)
        })
        .unwrap();
    assert_eq!(scene.names("r"), [("deep".to_owned(), None), ("last".to_owned(), Some(7))]);
    assert_eq!(scene.names("r/deep").len(), 1_000);
    assert!(scene.list("r/deep", None, 1_000).more);
}

fn a_file_is_no_folder(place: &Place) {
    let scene = Scene::new(place);
    scene.put("r/a", b"1");
    scene.put("r/b/c", b"2");
    for at in ["r/a/x", "r/a/x/y", "r/b"] {
        let refused = scene.artifacts.put(&path(at), b"3").unwrap_err();
        assert!(matches!(refused, ArtifactError::Store(StoreError::Conflict(_))), "{at}: {refused}");
    }
    assert_eq!(scene.get("r/a").unwrap(), b"1");
}

fn nothing_is_deleted_that_anything_refers_to(place: &Place) {
    let scene = Scene::new(place);
    scene.put("r/a", b"shared");
    scene.put("r/b", b"shared");
    scene.put("r/c", b"alone");
    let now = scene.clock.now();
    assert!(scene.store.write(move |tx| index::remove(tx, &path("r/a"), now)).unwrap());
    scene.put("r/c", b"replaced");
    scene.wait(999);
    assert_eq!(scene.collect(), 0, "within the grace period");
    scene.wait(1);
    assert_eq!(scene.collect(), 1, "`alone`");
    assert_eq!(scene.get("r/b").unwrap(), b"shared");
    assert_eq!(scene.get("r/c").unwrap(), b"replaced");
    assert_eq!(scene.remove_tree("r"), 2);
    scene.put("q/again", b"shared");
    scene.wait(1_000);
    assert_eq!(scene.collect(), 1, "`replaced`");
    assert_eq!(scene.get("q/again").unwrap(), b"shared");
    assert_eq!(scene.remove_tree(""), 1);
    scene.wait(1_000);
    assert_eq!(scene.collect(), 1);
    assert_eq!(scene.on_disk(), [] as [PathBuf; 0]);
}

fn bytes_without_a_path_are_swept_up_and_others_are_left_alone(place: &Place) {
    let scene = Scene::new(place);
    let root = place.dir().join("artifacts");
    std::fs::create_dir_all(root.join("ab")).unwrap();
    let stray = root.join("ab").join("c".repeat(62));
    std::fs::write(&stray, "of a crash between rename and commit").unwrap();
    std::fs::write(root.join("ab/notes.txt"), "of a person").unwrap();
    let model = scene.store.blobs().put(b"a model of the loop").unwrap();
    scene.put("r/a", b"kept");
    assert_eq!(scene.artifacts.collect(Timestamp::from_millis(0), Span::from_millis(0)).unwrap().blobs, 0);
    let later = Timestamp::from_millis(i64::MAX);
    assert_eq!(scene.artifacts.collect(later, Span::from_millis(0)).unwrap().blobs, 1);
    assert!(!stray.exists());
    assert!(root.join("ab/notes.txt").exists());
    assert_eq!(scene.store.blobs().get(&model).unwrap(), b"a model of the loop");
    assert_eq!(scene.get("r/a").unwrap(), b"kept");
}

fn bytes_that_are_being_deleted_cannot_be_referred_to(place: &Place) {
    let scene = Scene::new(place);
    scene.put("r/a", b"going");
    scene.remove_tree("r");
    let condemned = "UPDATE artifacts_blobs SET refs = -1 WHERE refs = 0";
    scene.store.write(move |tx| tx.execute(condemned, &[])).unwrap();
    let refused = scene.artifacts.put(&path("r/b"), b"going").unwrap_err();
    assert!(matches!(refused, ArtifactError::Store(StoreError::Busy)), "{refused}");
    assert_eq!(scene.collect(), 1);
    scene.put("r/b", b"going");
    assert_eq!(scene.get("r/b").unwrap(), b"going");
}

fn an_upload_that_breaks_off_leaves_nothing(place: &Place) {
    let Scene { artifacts, store, clock, .. } = Scene::new(place);
    let mut upload = artifacts.begin().unwrap();
    upload.write(&"half".into()).unwrap();
    drop(upload);
    let mut upload = artifacts.begin().unwrap();
    upload.write(&"of a process that was killed".into()).unwrap();
    std::mem::forget(upload);
    let incoming = place.dir().join("artifacts/incoming");
    assert_eq!(std::fs::read_dir(&incoming).unwrap().count(), 1);
    drop((artifacts, store));
    let (store, artifacts) = open(place, &clock);
    assert!(!incoming.exists());
    assert_eq!(store.read(|tx| index::list(tx, &Folder::root(), None, 10)).unwrap(), Listing::default());
    artifacts.put(&path("a"), b"goes on").unwrap();
}

fn damage_is_told_and_mended_by_uploading_again(place: &Place) {
    let scene = Scene::new(place);
    let blob = |bytes: &[u8]| {
        let hex = Digest::of(bytes).to_hex();
        place.dir().join("artifacts").join(&hex[..2]).join(&hex[2..])
    };
    scene.put("r/rotten", b"good bytes");
    std::fs::write(blob(b"good bytes"), "evil bytes").unwrap();
    assert!(matches!(scene.get("r/rotten"), Err(ArtifactError::Damaged(_))));
    scene.put("r/lost", b"other bytes");
    std::fs::remove_file(blob(b"other bytes")).unwrap();
    assert!(matches!(scene.get("r/lost"), Err(ArtifactError::Damaged(_))));
    scene.put("r/lost", b"other bytes");
    assert_eq!(scene.get("r/lost").unwrap(), b"other bytes");
}

fn the_digest_of_a_tree_is_that_of_its_documented_lines(place: &Place) {
    let scene = Scene::new(place);
    for root in ["x", "y/z"] {
        for (name, bytes) in [("b", "2"), ("a/c", "1"), ("a.d", "")] {
            scene.put(&format!("{root}/{name}"), bytes.as_bytes());
        }
    }
    let digest = |at: &str| scene.store.read(|tx| index::tree_digest(tx, &folder(at))).unwrap();
    let line =
        |name: &str, bytes: &str| format!("{name}\0{}\0{}\n", bytes.len(), Digest::of(bytes.as_bytes()));
    let lines = [line("a.d", ""), line("a/c", "1"), line("b", "2")].concat();
    let tree = digest("x");
    assert_eq!((tree.digest, tree.files, tree.bytes), (Digest::of(lines.as_bytes()), 3, 2));
    assert_eq!(digest("y/z"), tree);
    assert_eq!(digest("nowhere").digest, Digest::of(b""));
    scene.put("x/b", b"3");
    assert_ne!(digest("x").digest, tree.digest);
}

#[derive(Debug, Clone)]
enum Step {
    Put(String, u8),
    Remove(String),
    RemoveTree(String),
    Collect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = || prop::sample::select(vec!["a", "b", "a/b", "a/c", "b/c", "b/c/d", "a-b", "é/x"]);
    let step = prop_oneof![
        4 => (name(), 0_u8..4).prop_map(|(name, byte)| Step::Put(name.to_owned(), byte)),
        2 => name().prop_map(|name| Step::Remove(name.to_owned())),
        1 => name().prop_map(|name| Step::RemoveTree(name.to_owned())),
        1 => Just(Step::Collect),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A map from paths to bytes is what the artifacts are, whatever happens to them.
    #[test]
    fn artifacts_are_a_map(steps in steps()) {
        let place = Place::sqlite();
        let scene = Scene::new(&place);
        let mut model = BTreeMap::<String, Vec<u8>>::new();
        for step in steps {
            scene.wait(600);
            match step {
                Step::Put(at, byte) => {
                    let clash = model.keys().any(|key| {
                        key.starts_with(&format!("{at}/")) || at.starts_with(&format!("{key}/"))
                    });
                    let bytes = vec![byte; usize::from(byte)];
                    prop_assert_eq!(scene.artifacts.put(&path(&at), &bytes).is_err(), clash);
                    if !clash {
                        model.insert(at, bytes);
                    }
                }
                Step::Remove(at) => {
                    let (key, now) = (path(&at), scene.clock.now());
                    let removed = scene.store.write(move |tx| index::remove(tx, &key, now)).unwrap();
                    prop_assert_eq!(removed, model.remove(&at).is_some());
                }
                Step::RemoveTree(at) => {
                    let before = model.len();
                    model.retain(|key, _| !key.starts_with(&format!("{at}/")));
                    prop_assert_eq!(scene.remove_tree(&at), before - model.len());
                }
                Step::Collect => drop(scene.collect()),
            }
            for (at, bytes) in &model {
                prop_assert_eq!(&scene.get(at).unwrap(), bytes);
            }
            let mut top: Vec<&str> = model.keys().map(|key| key.split('/').next().unwrap()).collect();
            top.sort_unstable();
            top.dedup();
            let mut listed = scene.names("").into_iter().map(|(name, _)| name).collect::<Vec<_>>();
            listed.sort_unstable();
            prop_assert_eq!(listed, top);
        }
        scene.remove_tree("");
        scene.wait(10_000);
        scene.collect();
        prop_assert_eq!(scene.on_disk(), [] as [PathBuf; 0]);
    }
}
