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
    assert!(wrong.code == 2 && wrong.err.contains("regoin"), "{}", wrong.err);
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

/// A table of two columns, and one with no more than a header line.
fn csv(dir: &Path, name: &str, rows: usize, row: impl Fn(usize) -> String) {
    let rows: String = (0..rows).map(|at| row(at) + "\n").collect();
    std::fs::write(dir.join(name), format!("x,mode\n{rows}")).unwrap();
}

#[test]
fn a_constant_that_changes_is_drift_and_told_with_its_size() {
    let dir = tempfile::tempdir().unwrap();
    csv(dir.path(), "before.csv", 500, |_| "1,3".to_owned());
    csv(dir.path(), "after.csv", 500, |row| format!("100,{}", if row % 2 == 0 { 3 } else { 5 }));
    let found = gyre(dir.path(), "drift before.csv after.csv --fail");
    assert_eq!(found.code, 1, "{}", found.err);
    for words in
        ["2 of 2 columns drift", "share of a value changed by 100.0 points", "changed by 50.0 points ("]
    {
        assert!(found.out.contains(words), "{words}: {}", found.out);
    }
}

#[test]
fn what_cannot_be_judged_does_not_pass_for_good() {
    let dir = tempfile::tempdir().unwrap();
    csv(dir.path(), "before.csv", 500, |row| format!("{row},a"));
    csv(dir.path(), "none.csv", 0, |_| String::new());
    csv(dir.path(), "few.csv", 1, |_| "7,a".to_owned());
    for window in ["none.csv", "few.csv"] {
        let told = gyre(dir.path(), &format!("drift before.csv {window}")).done().out;
        assert!(told.contains("0 stable, 2 with too few rows"), "{told}");
        let failed = gyre(dir.path(), &format!("drift before.csv {window} --fail"));
        assert!(failed.code == 2 && failed.err.contains("nothing could be judged"), "{}", failed.err);
    }
    // A column that went empty is missing, and no other type.
    csv(dir.path(), "gone.csv", 500, |_| ",a".to_owned());
    let gone = gyre(dir.path(), "drift before.csv gone.csv").done().out;
    assert!(gone.contains("missing +100.0 points") && gone.contains("1 of 2 columns drift"), "{gone}");
}

#[test]
fn a_retyped_column_is_told_first_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    csv(dir.path(), "before.csv", 100, |row| format!("{row},a"));
    csv(dir.path(), "after.csv", 100, |row| format!("n{row},a"));
    let found = gyre(dir.path(), "drift before.csv after.csv --fail");
    assert_eq!(found.code, 1);
    assert!(found.out.starts_with("x: numbers in the reference, text now"), "{}", found.out);
    assert!(
        found.out.contains("0 of 1 columns drift") && found.out.contains("; 1 of another type"),
        "{}",
        found.out
    );
}

#[test]
fn a_clock_that_fell_back_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    for (name, year) in [("before.csv", 2024), ("after.csv", 1970)] {
        csv(dir.path(), name, 240, |row| format!("{year}-01-{:02}T{:02}:00:00,a", 1 + row / 24, row % 24));
    }
    let told = gyre(dir.path(), "drift before.csv after.csv").done().out;
    for words in
        ["2024-01-01 00:00 to 2024-01-10 23:00", "now 1970-01-01 00:00 to", "all of it before the reference"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn files_that_would_be_read_wrongly_are_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    csv(dir.path(), "before.csv", 100, |row| format!("{row},a"));
    gyre(dir.path(), "profile before.csv --output stored.json").done();
    for (name, text, words) in [
        ("twice.csv", "x,x\n1,2\n", "there are two columns `x`"),
        ("other.csv", "y\n1\n", "no column in common"),
        ("ragged.csv", "x,mode\n1,a\n2,b,c\n", "line 3: 3 fields, and the first line names 2 columns"),
        ("semicolons.csv", "x;mode\n1;a\n", "save it with commas"),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
        let refused = gyre(dir.path(), &format!("drift before.csv {name}"));
        assert!(refused.code != 0 && refused.err.contains(words), "{name}: {}", refused.err);
    }
    let refused = gyre(dir.path(), "drift before.csv stored.json");
    assert!(refused.code != 0 && refused.err.contains("name the file that was profiled"), "{}", refused.err);
}
