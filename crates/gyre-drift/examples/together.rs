//! How often the looks at all columns together say that something changed: where nothing did, which must be as often as their
//! level says, and where only the relation of two columns did.
//!
//! `cargo run --release -p gyre-drift --example together -- [PAIRS OF TABLES]`

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use gyre_drift::multivariate::{Options, multivariate};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// Ten columns: two numbers with a correlation, five of noise (two heavy-tailed), one with missing values, two of names.
fn write(path: &Path, rows: usize, correlation: f64, random: &mut Random) -> std::io::Result<()> {
    let mut text = "x,y,a,b,c,d,e,gaps,tree,road\n".to_owned();
    for _ in 0..rows {
        let (x, z) = (random.normal(), random.normal());
        let y = correlation * x + (1.0 - correlation * correlation).sqrt() * z;
        let _ = write!(text, "{x:.4},{y:.4}");
        for column in 0..5 {
            let value = random.normal();
            let _ = write!(text, ",{:.4}", if column < 2 { (2.0 * value).exp() } else { value });
        }
        let gap = if random.next() < 0.2 { String::new() } else { format!("{:.4}", random.next()) };
        let tree = ["oak", "elm", "ash"][(random.next() * 3.0) as usize];
        let _ = writeln!(text, ",{gap},{tree},r{}", (random.next().powi(2) * 60.0) as usize);
    }
    std::fs::write(path, text)
}

fn main() -> Result<(), Box<dyn Error>> {
    let pairs: u32 = std::env::args().nth(1).map_or(Ok(400), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let (before, after) = (folder.path().join("before.csv"), folder.path().join("after.csv"));
    println!("{pairs} pairs of tables of 2,000 rows, share found at 5 % and at 1 %, by look");
    println!(
        "{:<28} {:>18} {:>18} {:>18} {:>18}",
        "", "domain_classifier", "reconstruction", "mmd", "energy"
    );
    for (what, old, new) in [
        ("nothing changed", 0.6, 0.6),
        ("correlation 0.6 -> 0.3", 0.6, 0.3),
        ("correlation 0.6 -> -0.6", 0.6, -0.6),
    ] {
        let mut found: [[u32; 2]; 4] = Default::default();
        for pair in 0..pairs {
            let mut random = Random(u64::from(pair) + 1);
            write(&before, 2_000, old, &mut random)?;
            write(&after, 2_000, new, &mut random)?;
            let options =
                Options { seed: pair.into(), pair_rows: 300, permutations: 199, ..Options::default() };
            let looks = multivariate(&before, &after, None, &options)?.looks;
            for look in looks {
                let at = ["domain_classifier", "reconstruction", "mmd", "energy"]
                    .iter()
                    .position(|name| *name == look.name);
                if let Some(found) = at.and_then(|at| found.get_mut(at)) {
                    found[0] += u32::from(look.p_value <= 0.05);
                    found[1] += u32::from(look.p_value <= 0.01);
                }
            }
        }
        let share = |count: u32| format!("{:.1} %", 100.0 * f64::from(count) / f64::from(pairs));
        let cells = found.map(|[five, one]| format!("{} {}", share(five), share(one)));
        println!("{what:<28} {:>18} {:>18} {:>18} {:>18}", cells[0], cells[1], cells[2], cells[3]);
    }
    Ok(())
}
