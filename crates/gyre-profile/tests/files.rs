//! Whole files into profiles, parts against the whole, and what is no table.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{FixedSizeListBuilder, Float32Builder, ListBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, LargeStringArray, ListArray, RecordBatch,
    StringArray, StructArray, TimestampSecondArray, UInt64Array,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use gyre_profile::figures::{ColumnFigures, Kind};
use gyre_profile::sketch::Quantiles;
use gyre_profile::{Column, Figures, Profile, ProfileError, profile};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const ROWS: usize = 40_000;

/// A number in (0, 1) for each row, evenly spread and in no order.
fn even(row: usize, seed: usize) -> f64 {
    ((row + 7_919 * seed) as f64 * 0.618_033_988_749_895).fract()
}

fn write(path: PathBuf, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    );
    let batch = batch.unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

/// Rows of a table with every kind of column.
fn table(path: PathBuf, rows: std::ops::Range<usize>) -> PathBuf {
    let each = || rows.clone();
    let price = each().map(|row| match row % 100 {
        0..5 => None,
        5 => Some(f64::NAN),
        6 => Some(f64::INFINITY),
        7..40 => Some(0.0),
        _ => Some((even(row, 1) * 8.0 - 4.0).exp()),
    });
    let tree = each().map(|row| Some(["oak", "elm", "日本"][(even(row, 2) * 3.0) as usize]));
    let mut vectors = FixedSizeListBuilder::new(Float32Builder::new(), 3);
    for row in each() {
        [3.0, 4.0 * (row % 2) as f32, 0.0]
            .into_iter()
            .for_each(|number| vectors.values().append_value(number));
        vectors.append(true);
    }
    write(
        path,
        vec![
            ("price", Arc::new(price.collect::<Float64Array>())),
            ("id", Arc::new(each().map(|row| Some((1 << 60) + row as i64)).collect::<Int64Array>())),
            ("tree", Arc::new(tree.collect::<StringArray>())),
            ("text", Arc::new(each().map(|row| Some(format!("text {row}"))).collect::<LargeStringArray>())),
            (
                "paid",
                Arc::new(each().map(|row| (row % 10 > 0).then_some(row % 2 == 0)).collect::<BooleanArray>()),
            ),
            ("when", Arc::new(each().map(|row| Some(3_600 * row as i64)).collect::<TimestampSecondArray>())),
            ("vector", Arc::new(vectors.finish())),
            ("bytes", Arc::new(each().map(|_| Some(&b"x"[..])).collect::<BinaryArray>())),
        ],
    )
}

fn of(files: &[&Path]) -> Result<Profile, ProfileError> {
    let files: Vec<PathBuf> = files.iter().map(|file| file.to_path_buf()).collect();
    profile(&files, None, &|_| {})
}

fn csv(dir: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    std::fs::write(dir.join(name), text).unwrap();
    dir.join(name)
}

fn column<'a>(figures: &'a Figures, name: &str) -> &'a ColumnFigures {
    figures.columns.iter().find(|column| column.name == name).unwrap()
}

fn quantile(column: &ColumnFigures, rank: f64) -> f64 {
    column.numbers.as_ref().unwrap().quantiles.iter().find(|quantile| quantile.rank == rank).unwrap().value
}

#[test]
fn every_kind_of_column_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let found = of(&[&table(dir.path().join("t.parquet"), 0..ROWS)]).unwrap();
    let figures = found.figures();
    assert_eq!((figures.rows, figures.files, figures.columns.len()), (ROWS as u64, 1, 8));

    let price = column(&figures, "price");
    let numbers = price.numbers.as_ref().unwrap();
    assert_eq!((price.kind, price.missing, numbers.positive_infinite), (Kind::Number, 2_400, 400));
    assert_eq!((numbers.least, numbers.finite), (Some(0.0), 37_200));
    // 33 of 93 are 0; of the others the logarithms are even from -4 to 4.
    assert_eq!((quantile(price, 0.25), price.frequent[0].value.as_f64()), (0.0, Some(0.0)));
    assert!((price.frequent[0].at_least..=price.frequent[0].at_most).contains(&13_200), "{price:?}");
    let rank = 33.0 / 93.0 + 60.0 / 93.0 * (quantile(price, 0.75).ln() + 4.0) / 8.0;
    assert!((rank - 0.75).abs() < 4.0 * Quantiles::RANK_ERROR, "{rank}");
    assert!(numbers.skewness.unwrap() > 1.0);
    let shares: f64 = numbers.histogram.iter().map(|bin| bin.share).sum();
    assert!((shares - 1.0).abs() < 1e-9 && numbers.histogram.len() > 20);

    // Identifiers beyond 2^53 are told apart.
    let id = column(&figures, "id");
    let distinct = id.distinct.unwrap();
    assert!((distinct.estimate / ROWS as f64 - 1.0).abs() < 0.06 && !distinct.exact, "{distinct:?}");
    assert_eq!(
        (id.kind, id.frequent.len(), id.declared.as_slice()),
        (Kind::Whole, 0, &["Int64".to_owned()][..])
    );

    let tree = column(&figures, "tree");
    assert_eq!(
        (tree.kind, tree.distinct.unwrap().estimate, tree.distinct.unwrap().exact),
        (Kind::Text, 3.0, true)
    );
    assert_eq!(tree.frequent.iter().map(|value| value.at_least).sum::<u64>(), ROWS as u64);
    assert_eq!((tree.texts.as_ref().unwrap().shortest, tree.texts.as_ref().unwrap().longest), (2, 3));

    let text = column(&figures, "text").texts.as_ref().unwrap();
    assert_eq!((text.shortest, text.longest, text.length_quantiles[3].value), (6, 10, 10.0));

    let paid = column(&figures, "paid");
    assert_eq!((paid.kind, paid.missing, paid.frequent[0].at_least), (Kind::Boolean, 4_000, 20_000));

    let when = column(&figures, "when").times.as_ref().unwrap();
    assert_eq!(
        (when.earliest.to_string().as_str(), when.latest.date().as_str()),
        ("1970-01-01T00:00:00Z", "1974-07-25")
    );
    assert!((when.hours[5] - 1.0 / 24.0).abs() < 1e-3 && (when.weekdays[3] - 1.0 / 7.0).abs() < 1e-3);
    // A day that is no more than one weekday more than the others: 1970 began on a Thursday.
    assert!(when.weekdays[3] > when.weekdays[2], "{:?}", when.weekdays);

    let vector = column(&figures, "vector").vectors.as_ref().unwrap();
    assert_eq!(
        (vector.dimensions, vector.least_norm, vector.greatest_norm),
        (Some((3, 3)), Some(3.0), Some(5.0))
    );
    assert_eq!(vector.mean, Some(vec![3.0, 2.0, 0.0]));

    let bytes = column(&figures, "bytes");
    assert_eq!((bytes.kind, bytes.distinct, bytes.frequent.len()), (Kind::Other, None, 0));
}

/// Counts, sums and exact figures are equal; sketches are within their bounds.
fn assert_alike(one: &Profile, other: &Profile) {
    assert_eq!(one.rows, other.rows);
    assert_eq!(one.columns.len(), other.columns.len());
    for (a, b) in one.columns.iter().zip(&other.columns) {
        assert_eq!(
            (&a.name, a.rows, a.missing, a.other, a.booleans),
            (&b.name, b.rows, b.missing, b.other, b.booleans)
        );
        let (fa, fb) = (a.figures(), b.figures());
        assert_eq!((&fa.kinds, &fa.declared), (&fb.kinds, &fb.declared));
        if let (Some(a), Some(b)) = (&fa.distinct, &fb.distinct) {
            assert!((a.estimate / b.estimate - 1.0).abs() < 0.08, "{}: {a:?} {b:?}", fa.name);
        }
        // The truth lies within both, so they overlap.
        for value in fa.frequent.iter().take(2) {
            let same = fb.frequent.iter().find(|other| other.value == value.value).unwrap();
            assert!(
                value.at_least <= same.at_most && same.at_least <= value.at_most,
                "{}: {value:?} {same:?}",
                fa.name
            );
        }
        if let (Some(a), Some(b)) = (&a.numbers, &b.numbers) {
            let (sa, sb) = (a.shape.moments(), b.shape.moments());
            assert_eq!((sa.count(), sa.min(), sa.max()), (sb.count(), sb.min(), sb.max()));
            // Where neighbours among doubles are far apart, as for large identifiers, so much is rounding.
            let rounding = 1e-15 * sa.mean().unwrap().abs();
            let near = |a: Option<f64>, b: Option<f64>| {
                (a.unwrap() - b.unwrap()).abs() <= 1e-9 * a.unwrap().abs() + rounding
            };
            assert!(near(sa.mean(), sb.mean()), "{}: {sa:?} {sb:?}", fa.name);
            assert!(near(sa.standard_deviation(), sb.standard_deviation()), "{}: {sa:?} {sb:?}", fa.name);
            let (qa, qb) = (a.quantiles.sorted(), b.quantiles.sorted());
            for rank in [0.1, 0.5, 0.9, 0.99] {
                let value = qa.quantile(rank).unwrap();
                // With ties a value has a range of ranks.
                let (below, up_to) =
                    (qb.share_up_to(value.next_down()).unwrap(), qb.share_up_to(value).unwrap());
                let off = (below - rank).max(rank - up_to).max(0.0);
                assert!(off < 6.0 * Quantiles::RANK_ERROR, "{} at {rank}: {below} {up_to}", fa.name);
            }
        }
        if let (Some(a), Some(b)) = (&a.texts, &b.texts) {
            assert_eq!(a.lengths, b.lengths);
        }
        if let (Some(a), Some(b)) = (&a.times, &b.times) {
            assert_eq!(
                (a.earliest, a.latest, a.hours, a.weekdays),
                (b.earliest, b.latest, b.hours, b.weekdays)
            );
        }
        if let (Some(a), Some(b)) = (&fa.vectors, &fb.vectors) {
            assert_eq!((a.rows, a.broken, a.dimensions, &a.mean), (b.rows, b.broken, b.dimensions, &b.mean));
        }
    }
}

#[test]
fn merged_profiles_are_the_profile_of_all_rows_in_any_order_of_merging() {
    let dir = tempfile::tempdir().unwrap();
    let cuts = [0, 10_000, 10_010, ROWS];
    let parts: Vec<PathBuf> =
        (0..3).map(|at| table(dir.path().join(format!("{at}.parquet")), cuts[at]..cuts[at + 1])).collect();
    let whole = of(&[&table(dir.path().join("whole.parquet"), 0..ROWS)]).unwrap();
    assert_alike(&of(&parts.iter().map(PathBuf::as_path).collect::<Vec<_>>()).unwrap(), &whole);
    let [a, b, c] = [0, 1, 2].map(|at: usize| of(&[&parts[at]]).unwrap());
    let merged = |one: &Profile, other: &Profile| {
        let mut one = one.clone();
        one.merge(other).unwrap();
        one
    };
    let left = merged(&merged(&a, &b), &c);
    assert_alike(&left, &whole);
    assert_alike(&merged(&a, &merged(&b, &c)), &whole);
    assert_alike(&merged(&c, &merged(&b, &a)), &whole);
    // Stored ones merge as well, with each other and with tables.
    let stored = dir.path().join("left.json");
    let first = merged(&a, &b);
    first.store(&stored).unwrap();
    assert_eq!(Profile::load(&stored).unwrap(), first);
    assert_alike(&of(&[&stored, &parts[2]]).unwrap(), &whole);
    let mut twice = left.clone();
    twice.merge(&left).unwrap();
    assert_eq!(twice.rows, 2 * ROWS as u64);
}

#[test]
fn csv_and_parquet_of_the_same_rows_are_alike() {
    let dir = tempfile::tempdir().unwrap();
    // More rows than a part has.
    let rows = 0..70_000_usize;
    let number = |row: usize| (!row.is_multiple_of(20)).then(|| (even(row, 3) * 1e6).round() / 1e3 + 0.0001);
    let mut text = "x,n,who,when,ok\n".to_owned();
    for row in rows.clone() {
        let x = number(row).map_or_else(String::new, |x| x.to_string());
        text += &format!(
            "{x},{},\"a, {}\",2013-03-01T{:02}:00:00Z,{}\n",
            row % 7,
            row % 5,
            row % 24,
            row % 2 == 0
        );
    }
    let from_csv = of(&[&csv(dir.path(), "t.csv", text)]).unwrap();
    let when = rows.clone().map(|row| Some(1_362_096_000 + 3_600 * (row % 24) as i64));
    let parquet = write(
        dir.path().join("t.parquet"),
        vec![
            ("x", Arc::new(rows.clone().map(number).collect::<Float64Array>())),
            ("n", Arc::new(rows.clone().map(|row| Some((row % 7) as u64)).collect::<UInt64Array>())),
            (
                "who",
                Arc::new(rows.clone().map(|row| Some(format!("a, {}", row % 5))).collect::<StringArray>()),
            ),
            ("when", Arc::new(when.collect::<TimestampSecondArray>())),
            ("ok", Arc::new(rows.map(|row| Some(row % 2 == 0)).collect::<BooleanArray>())),
        ],
    );
    let mut from_parquet = of(&[&parquet]).unwrap();
    from_parquet.columns.iter_mut().for_each(|column| column.declared.clear());
    assert_alike(&from_csv, &from_parquet);
    let kinds: Vec<Kind> = from_csv.figures().columns.iter().map(|column| column.kind).collect();
    assert_eq!(kinds, [Kind::Number, Kind::Whole, Kind::Text, Kind::Time, Kind::Boolean]);
}

#[test]
fn mixed_columns_and_columns_that_only_some_tables_have_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = "age,gone\n".to_owned();
    (0..200).for_each(|row| text += &format!("{},1\n", 20 + row % 50));
    text += "unknown,2\n\"40, about\",3\ninf,4\n2013-03-01,5\n";
    let one = csv(dir.path(), "one.csv", &text);
    let other = csv(dir.path(), "two.csv", "new,age\nx,31\n");
    let figures = of(&[&one, &other]).unwrap().figures();
    let age = column(&figures, "age");
    assert_eq!((figures.rows, age.rows, age.kind), (205, 205, Kind::Mixed));
    assert_eq!(age.kinds, [(Kind::Whole, 201), (Kind::Text, 2), (Kind::Number, 1), (Kind::Time, 1)]);
    assert_eq!(
        (age.numbers.as_ref().unwrap().positive_infinite, age.texts.as_ref().unwrap().longest),
        (1, 9)
    );
    // Fifty ages, two texts, infinity, and a day.
    assert_eq!((age.distinct.unwrap().estimate, age.distinct.unwrap().exact), (54.0, true));
    assert_eq!((column(&figures, "gone").rows, column(&figures, "new").rows), (204, 1));
    let chosen = profile(std::slice::from_ref(&one), Some(&["gone".to_owned()]), &|_| {}).unwrap();
    assert_eq!((chosen.columns.len(), chosen.rows, chosen.columns[0].rows), (1, 204, 204));
    let error = profile(&[one], Some(&["ages".to_owned()]), &|_| {}).unwrap_err().to_string();
    assert!(error.contains("no column `ages`; there are age, gone"), "{error}");
}

#[test]
fn little_and_nothing_have_defined_results() {
    let dir = tempfile::tempdir().unwrap();
    let none = of(&[&csv(dir.path(), "none.csv", "a,b\n")]).unwrap().figures();
    assert_eq!((none.rows, none.columns.len(), none.columns[0].kind), (0, 2, Kind::Empty));
    let empty =
        write(dir.path().join("empty.parquet"), vec![("x", Arc::new(Float64Array::from(Vec::<f64>::new())))]);
    let empty = of(&[&empty]).unwrap().figures();
    assert_eq!((empty.rows, empty.columns[0].kind, &empty.columns[0].numbers), (0, Kind::Empty, &None));

    let ten = csv(dir.path(), "ten.csv", format!("x,void\n{}", "1,\n".repeat(10)));
    let figures = of(&[&ten]).unwrap().figures();
    let (x, void) = (column(&figures, "x"), column(&figures, "void"));
    let numbers = x.numbers.as_ref().unwrap();
    assert_eq!((numbers.mean, numbers.standard_deviation, numbers.skewness), (Some(1.0), Some(0.0), None));
    assert_eq!((x.frequent[0].at_least, numbers.histogram.len()), (10, 2));
    assert_eq!((void.kind, void.missing, void.distinct), (Kind::Empty, 10, None));

    let odd = Float64Array::from(vec![f64::NAN, f64::NEG_INFINITY, f64::INFINITY]);
    let odd = of(&[&write(dir.path().join("odd.parquet"), vec![("x", Arc::new(odd))])]).unwrap().figures();
    let numbers = odd.columns[0].numbers.as_ref().unwrap();
    assert_eq!((odd.columns[0].missing, numbers.negative_infinite, numbers.positive_infinite), (1, 1, 1));
    assert_eq!(
        (numbers.mean, numbers.quantiles.len(), odd.columns[0].distinct.unwrap().estimate),
        (None, 0, 2.0)
    );
    let json = serde_json::to_string(&odd).unwrap();
    assert!(!json.contains("mean"), "{json}");

    let huge = Float64Array::from(vec![f64::MAX, f64::MIN, f64::MAX, 1e-320]);
    let huge = of(&[&write(dir.path().join("huge.parquet"), vec![("x", Arc::new(huge))])]).unwrap();
    let stored = dir.path().join("huge.json");
    huge.store(&stored).unwrap();
    assert_eq!(Profile::load(&stored).unwrap(), huge);
}

#[test]
fn nested_and_broken_values_are_counted_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let mut vectors = ListBuilder::new(Float32Builder::new());
    vectors.append_value([Some(3.0), Some(4.0)]);
    vectors.append_value([Some(f32::NAN), Some(4.0)]);
    vectors.append_value([None, Some(4.0)]);
    vectors.append_value([Some(1.0)]);
    vectors.append_null();
    let ints = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)]); 5]);
    let mut deep: ArrayRef = Arc::new(ints);
    for level in 0..40 {
        let field = arrow_schema::Field::new(format!("level{level}"), deep.data_type().clone(), true);
        deep = Arc::new(StructArray::from(vec![(Arc::new(field), deep)]));
    }
    let path = write(dir.path().join("t.parquet"), vec![("v", Arc::new(vectors.finish())), ("deep", deep)]);
    let found = of(&[&path]).unwrap();
    let figures = found.figures();
    let vector = column(&figures, "v").vectors.as_ref().unwrap();
    assert_eq!((vector.rows, vector.broken, vector.dimensions), (4, 2, Some((1, 2))));
    assert_eq!((column(&figures, "v").missing, &vector.mean), (1, &None));
    let deep = column(&figures, "deep");
    assert_eq!(deep.kinds, [(Kind::Other, 5)]);
    assert!(deep.declared[0].len() <= 64, "{:?}", deep.declared);
}

#[test]
fn a_column_takes_no_more_than_it_may_however_many_values_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let rows = 0..300_000_usize;
    let long = |row: usize| Some(format!("{row} {}", "x".repeat(row % 300)));
    let path = write(
        dir.path().join("t.parquet"),
        vec![
            ("text", Arc::new(rows.clone().map(long).collect::<LargeStringArray>())),
            ("number", Arc::new(rows.map(|row| Some(even(row, 5))).collect::<Float64Array>())),
        ],
    );
    let found = of(&[&path]).unwrap();
    let stored = dir.path().join("t.json");
    found.store(&stored).unwrap();
    // In base64, three bytes are four.
    let most = gyre_profile::column::Texts::MOST_BYTES + gyre_profile::column::Numbers::MOST_BYTES;
    let size = std::fs::metadata(&stored).unwrap().len() as usize;
    assert!(size < most / 3 * 4, "{size} {most}");
    const { assert!(Column::MOST_BYTES < 460_000) };
    let figures = found.figures();
    let distinct = column(&figures, "text").distinct.unwrap();
    assert!((distinct.estimate / 300_000.0 - 1.0).abs() < 0.08, "{distinct:?}");
    assert_eq!(column(&figures, "text").frequent, []);
}

#[test]
fn what_is_no_table_and_no_profile_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let say = |text: &[u8]| of(&[&csv(dir.path(), "bad", text)]).unwrap_err().to_string();
    for (text, reason) in [
        (&b""[..], "no line with the columns' names"),
        (b"PAR1", "not a readable Parquet file"),
        (b"PAR1xxxxPAR1", "not a readable Parquet file"),
        (b"a,b\n1\n", "line 2: 1 fields, and the first line names 2 columns"),
        (b"a,b\n1,2\n3,\xff\n", "line 3: not UTF-8"),
        (b"a,a\n1,2\n", "two columns `a`"),
        (b"{", "not a stored profile"),
        (b"{\"a\": 1}", "not a stored profile: missing field `format`"),
        (b"{\"format\": \"other\", \"version\": 1}", "its format is `other`"),
        (
            b"{\"format\": \"gyre-profile\", \"version\": 2}",
            "a profile of format 2, this gyre reads format 1",
        ),
        (b"{\"format\": \"gyre-profile\", \"version\": 1}", "missing field `profile`"),
    ] {
        let said = say(text);
        assert!(said.contains(reason) && said.contains("bad"), "{}: {said}", String::from_utf8_lossy(text));
    }
    assert!(of(&[&dir.path().join("nowhere")]).unwrap_err().to_string().contains("cannot read"));
    // One bad file among good ones.
    let good = csv(dir.path(), "good.csv", "a\n1\n");
    assert!(of(&[&good, &dir.path().join("bad"), &good]).is_err());
}

#[test]
fn a_stored_profile_that_was_changed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.json");
    of(&[&table(dir.path().join("t.parquet"), 0..2_000)]).unwrap().store(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let refused =
        |text: String| Profile::load(&csv(dir.path(), "changed.json", text)).unwrap_err().to_string();
    assert!(refused(text.replacen("\"missing\":", "\"missing\":1", 1)).contains("do not add up to its rows"));
    assert!(
        refused(text.replacen("\"rows\":2000", "\"rows\":1999", 1)).contains("more rows than the tables")
    );
    assert!(refused(text.replacen("\"name\":\"id\"", "\"name\":\"price\"", 1)).contains("there twice"));
    assert!(refused(text.replacen("\"whole\":", "\"hole\":", 1)).contains("unknown field `hole`"));
    // Whatever byte of a sketch is another, the answer is a profile or a reason.
    let from = text.find("\"quantiles\":\"").unwrap() + 13;
    for at in (from..from + 200).chain((from..text.len()).step_by(2_999)).filter(|at| *at < text.len() - 1) {
        let other = if text.as_bytes()[at] == b'Q' { "/" } else { "Q" };
        let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        if let Ok(mut profile) = Profile::load(&csv(dir.path(), "changed.json", changed)) {
            let same = profile.clone();
            profile.merge(&same).unwrap();
            assert_eq!(profile.figures().columns.len(), profile.columns.len());
        }
    }
}

#[test]
fn an_arrow_file_profiles_as_a_parquet_file_does() {
    let dir = tempfile::tempdir().unwrap();
    let parquet = table(dir.path().join("t.parquet"), 0..3_000);
    let batches = ParquetRecordBatchReaderBuilder::try_new(File::open(&parquet).unwrap()).unwrap();
    let batches = batches.with_batch_size(1_000).build().unwrap();
    let arrow = dir.path().join("t.arrow");
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap();
    let schema = arrow_array::RecordBatchReader::schema(&batches);
    let mut writer =
        FileWriter::try_new_with_options(File::create(&arrow).unwrap(), &schema, options).unwrap();
    batches.for_each(|batch| writer.write(&batch.unwrap()).unwrap());
    writer.finish().unwrap();
    let of = |path: &PathBuf| profile(std::slice::from_ref(path), None, &|_| {}).unwrap();
    let (expected, found) = (of(&parquet), of(&arrow));
    assert_eq!(found.rows, 3_000);
    assert_alike(&found, &expected);
    let only = profile(&[arrow], Some(&["tree".to_owned()]), &|_| {}).unwrap();
    assert_eq!((only.columns.len(), only.columns[0].name.as_str()), (1, "tree"));
}
