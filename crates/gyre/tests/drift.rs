//! `gyre drift`: what changed between two files, for people, pages, programs and pipelines.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use support::gyre;

/// Ages and trades; of the second table the ages are `older`, and a trade is new.
fn tables(dir: &Path, older: u32, new: bool) {
    let table = |name: &str, older: u32, new: bool| {
        let mut text = "age,trade\n".to_owned();
        for row in 0..2_000_u32 {
            let trade =
                if new && row % 20 == 0 { "pilot" } else { ["baker", "smith", "nurse"][row as usize % 3] };
            text += &format!("{},{trade}\n", 20 + row * 37 % 50 + older);
        }
        std::fs::write(dir.join(name), text).unwrap();
    };
    table("before.csv", 0, false);
    table("after.csv", older, new);
}

#[test]
fn people_programs_and_pipelines_hear_what_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    tables(dir.path(), 10, true);
    let said = gyre(dir.path(), "drift before.csv after.csv --html out/drift.html").done().out;
    for words in [
        "age",
        "moved by",
        "trade",
        "names not in the reference +5.0 points",
        "2 of 2 columns drift",
        "report: out/",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let page = std::fs::read_to_string(dir.path().join("out/drift.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("pilot") && !page.contains("src=\"http"));
    let found = gyre(dir.path(), "drift before.csv after.csv --json").done().json();
    assert_eq!(
        (&found["columns"][0]["name"], &found["columns"][0]["verdict"]),
        (&"age".into(), &"drift".into())
    );
    assert_eq!(gyre(dir.path(), "drift before.csv after.csv --fail").code, 1);
    // What is too small for them is theirs to say.
    let lax = "drift before.csv after.csv --fail --min-shift 1 --min-unseen 0.1 --min-share 0.1";
    assert!(
        gyre(dir.path(), lax).done().out.contains("0 of 2 columns drift; 2 changed by too little to matter")
    );
    tables(dir.path(), 0, false);
    let said = gyre(dir.path(), "drift before.csv after.csv --fail").done().out;
    assert_eq!(
        said.trim(),
        "0 of 2 columns drift; 0 changed by too little to matter, 2 stable, 0 with too few rows"
    );
}

#[test]
fn what_is_wrong_is_said() {
    let dir = tempfile::tempdir().unwrap();
    tables(dir.path(), 0, false);
    let wrong = gyre(dir.path(), "drift before.csv after.csv --columns aeg");
    assert!(
        wrong.code == 2 && wrong.err.contains("no column `aeg`") && wrong.err.contains("age, trade"),
        "{}",
        wrong.err
    );
    let missing = gyre(dir.path(), "drift before.csv gone.csv");
    assert!(missing.code != 0 && missing.err.contains("gone.csv"), "{}", missing.err);
    assert_eq!(gyre(dir.path(), "drift before.csv after.csv --fdr 2").code, 2);
}

#[test]
fn columns_that_fall_apart_are_found_together_and_in_none_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let table = |name: &str, turned: bool| {
        let mut text = "heat,ice\n".to_owned();
        for row in 0..800_u32 {
            let heat = (f64::from(row) * 0.618_033_988_749_895).fract();
            let noise = (f64::from(row) * 0.414_213_562_373_095).fract();
            let ice = 0.8 * if turned { 1.0 - heat } else { heat } + 0.2 * noise;
            text += &format!("{heat},{ice}\n");
        }
        std::fs::write(dir.path().join(name), text).unwrap();
    };
    table("before.csv", false);
    table("after.csv", true);
    let alone = gyre(dir.path(), "drift before.csv after.csv --fail").done().out;
    assert!(alone.contains("0 of 2 columns drift"), "{alone}");
    let together = "drift before.csv after.csv --multivariate --html drift.html";
    let said = gyre(dir.path(), together).done().out;
    assert!(said.contains("0 of 2 columns drift") && said.contains("the columns drift together"), "{said}");
    assert!(std::fs::read_to_string(dir.path().join("drift.html")).unwrap().contains("All columns together"));
    let found = gyre(dir.path(), "drift before.csv after.csv --multivariate --json --fail");
    assert_eq!((found.code, &found.json()["multivariate"]["verdict"]), (1, &"drift".into()));
}

#[test]
fn what_moves_within_each_segment_is_found_although_the_whole_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let table = |name: &str, swapped: bool| {
        let mut text = "region,load\n".to_owned();
        for row in 0..2_000_u32 {
            let north = row % 2 == 0;
            let load =
                (f64::from(row) * 0.618_033_988_749_895).fract() + f64::from(u8::from(north != swapped));
            text += &format!("{},{load}\n", if north { "north" } else { "south" });
        }
        text += "islands,0.5\n";
        std::fs::write(dir.path().join(name), text).unwrap();
    };
    table("before.csv", false);
    table("after.csv", true);
    let whole = gyre(dir.path(), "drift before.csv after.csv --fail").done().out;
    assert!(whole.contains("0 of 2 columns drift"), "{whole}");
    let said = gyre(dir.path(), "drift before.csv after.csv --by region");
    assert_eq!(said.code, 0);
    for words in ["REGION", "north", "load: moved by", "islands", "too few rows"] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    let found = gyre(dir.path(), "drift before.csv after.csv --by region --json --fail");
    let segments = &found.json()["by"]["segments"];
    assert_eq!(
        (found.code, &segments[0]["segment"], &segments[0]["reference_rows"]),
        (1, &"north".into(), &1_000.into())
    );
    assert_eq!(segments[1]["columns"][0]["verdict"], "drift");
    let wrong = gyre(dir.path(), "drift before.csv after.csv --by regoin");
    assert!(wrong.code != 0 && wrong.err.contains("regoin"), "{}", wrong.err);
}

#[test]
fn a_flag_that_was_rare_in_a_large_reference_and_fills_a_small_window_is_drift() {
    let dir = tempfile::tempdir().unwrap();
    let table = |name: &str, rows: u32, flagged: u32| {
        let text: String = (0..rows).map(|row| if row < flagged { "true\n" } else { "false\n" }).collect();
        std::fs::write(dir.path().join(name), format!("flag\n{text}")).unwrap();
    };
    table("before.csv", 200_000, 40);
    table("after.csv", 500, 30);
    table("calm.csv", 500, 0);
    let found = gyre(dir.path(), "drift before.csv after.csv --json --fail");
    assert_eq!((found.code, &found.json()["columns"][0]["verdict"]), (1, &"drift".into()));
    assert_eq!(gyre(dir.path(), "drift before.csv calm.csv --fail").code, 0);
}
