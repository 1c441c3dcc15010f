use std::sync::Arc;

use super::rows::Cells;
use super::*;

/// Even numbers in (0, 1) that only the seed knows.
struct Random(u64, u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.1 += 1;
        (hash(self.0, self.1) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// Two numbers with this correlation, a name, a number with missing values, and one of noise.
fn world(rows: usize, correlation: f64, seed: u64) -> Sampled {
    let mut random = Random(seed, 0);
    let (mut x, mut y, mut noise, mut gaps, mut tree) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        let (a, b) = (random.normal(), random.normal());
        x.push(a);
        y.push(correlation * a + (1.0 - correlation * correlation).sqrt() * b);
        noise.push(random.normal().exp());
        gaps.push(if random.next() < 0.2 { f64::NAN } else { random.next() });
        let name = ["oak", "elm", "ash"].get((random.next() * 3.0) as usize);
        tree.push(name.filter(|_| random.next() < 0.95).map(|name| Arc::from(*name)));
    }
    let columns = [
        ("x", Cells::Numbers(x)),
        ("y", Cells::Numbers(y)),
        ("noise", Cells::Numbers(noise)),
        ("gaps", Cells::Numbers(gaps)),
        ("tree", Cells::Names(tree)),
    ];
    Sampled { columns: columns.map(|(name, cells)| (name.to_owned(), cells)).to_vec() }
}

fn options(seed: u64) -> Options {
    Options { pair_rows: 100, permutations: 99, seed, ..Options::default() }
}

#[test]
fn a_relation_that_turns_round_is_found_although_every_column_is_as_it_was() {
    let found = together(world(800, 0.8, 1), world(800, -0.8, 2), &options(3));
    assert_eq!(found.verdict, Verdict::Drift, "{found:#?}");
    let classifier = found.look("domain_classifier").unwrap();
    assert!(classifier.value > 0.65 && classifier.p_value < 1e-6, "{classifier:?}");
    assert!(found.look("reconstruction").unwrap().p_value < 1e-3, "{:?}", found.looks);
    let telling: Vec<&str> = found.telling.iter().take(2).map(|of| of.column.as_str()).collect();
    assert!(telling.contains(&"x") && telling.contains(&"y"), "{:?}", found.telling);
    assert!(found.telling[1].auc_drop > 0.1 && found.telling[2].auc_drop < 0.03, "{:?}", found.telling);
}

#[test]
fn the_same_seed_gives_the_same_numbers() {
    let once = || together(world(200, 0.5, 1), world(200, 0.2, 2), &options(3));
    assert_eq!(once(), once());
}

#[test]
fn nothing_is_said_where_nothing_changed() {
    let verdicts = (0..5).map(|seed| {
        together(world(400, 0.6, 100 + seed), world(300, 0.6, 200 + seed), &options(seed)).verdict
    });
    assert_eq!(verdicts.filter(|verdict| *verdict != Verdict::Stable).count(), 0);
}

#[test]
fn rows_that_go_missing_together_are_found() {
    let mut after = world(800, 0.7, 5);
    // A fifth of the values is missing still, but now where x is high.
    let Cells::Numbers(x) = after.columns[0].1.clone() else { panic!() };
    if let Cells::Numbers(gaps) = &mut after.columns[3].1 {
        gaps.iter_mut().zip(&x).for_each(|(gap, x)| *gap = if *x > 0.84 { f64::NAN } else { 0.5 });
    }
    let found = together(world(800, 0.7, 4), after, &options(6));
    assert_eq!((found.verdict, found.telling[0].column.as_str()), (Verdict::Drift, "gaps"), "{found:#?}");
}

#[test]
fn odd_tables_have_a_defined_answer() {
    let few = together(world(40, 0.5, 1), world(200, 0.5, 2), &options(1));
    assert_eq!((few.verdict, few.looks.len()), (Verdict::Insufficient, 0));
    let constant =
        |value: f64, rows| Sampled { columns: vec![("c".to_owned(), Cells::Numbers(vec![value; rows]))] };
    let same = together(constant(1.0, 200), constant(1.0, 200), &options(1));
    assert!(matches!(same.verdict, Verdict::Stable | Verdict::Insufficient), "{same:?}");
    let moved = together(constant(1.0, 200), constant(2.0, 200), &options(1));
    assert_eq!(moved.verdict, Verdict::Drift, "{moved:?}");
    for odd in [f64::NAN, f64::INFINITY, f64::MAX, -0.0] {
        let found = together(constant(1.0, 200), constant(odd, 200), &options(1));
        assert!(found.looks.iter().all(|look| look.value.is_finite() && look.p_value.is_finite()));
    }
}

#[test]
fn a_sample_of_a_file_is_of_whole_rows_and_of_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    let lines: String = (0..30_000).map(|row| format!("{row},n{row}\n")).collect();
    std::fs::write(&path, format!("number,name\n{lines}")).unwrap();
    let columns = rows::common(&path, &path, None).unwrap();
    assert_eq!(columns, [("name".to_owned(), true), ("number".to_owned(), false)]);
    let found = sample(&path, &columns, 500, 7).unwrap();
    let (Cells::Names(names), Cells::Numbers(numbers)) = (&found.columns[0].1, &found.columns[1].1) else {
        panic!()
    };
    assert_eq!(numbers.len(), 500);
    assert!(names.iter().zip(numbers).all(|(name, number)| name.as_deref() == Some(&format!("n{number}"))));
    let mean = numbers.iter().sum::<f64>() / 500.0;
    assert!((mean - 15_000.0).abs() < 1_500.0, "{mean}");
    let all = sample(&path, &columns, 50_000, 7).unwrap();
    assert_eq!(all.rows(), 30_000);
}
