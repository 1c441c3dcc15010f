//! What it costs to count a value into the bins of a reference: `cargo run --release -p gyre-stats --example histogram`
//!
//! Ten million values of one core, in random order, for references with few and with many bins; and the bytes of a window
//! beside the cut points, which all windows of a reference share.

use std::hint::black_box;
use std::time::Instant;

use gyre_stats::profile::{NumericReference, NumericWindow, numeric::DEFAULT_BINS};

const VALUES: usize = 1 << 20;
const TURNS: usize = 10;

/// Numbers in (0, 1), spread evenly, in no order (SplitMix64).
fn even(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed;
    std::iter::from_fn(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Some(((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64)
    })
}

fn main() {
    println!("bins asked for  cut points  ns a value  ns one by one  bytes a window");
    let training: Vec<f64> = even(1).take(200_000).map(|share| (share / (1.0 - share)).ln()).collect();
    let live: Vec<f64> = even(2).take(VALUES).map(|share| (share / (1.0 - share)).ln()).collect();
    for bins in [10, DEFAULT_BINS, 112] {
        let reference = NumericReference::with_bins(&training, bins);
        let (mut window, mut alone) = (NumericWindow::new(&reference), NumericWindow::new(&reference));
        let turns = (0..TURNS).map(|_| {
            let begun = Instant::now();
            window.extend(black_box(&live).iter().copied());
            begun.elapsed().as_secs_f64() * 1e9 / VALUES as f64
        });
        let fastest = turns.fold(f64::INFINITY, f64::min);
        let one_by_one = (0..TURNS).map(|_| {
            let begun = Instant::now();
            black_box(&live).iter().for_each(|value| alone.push(*value));
            begun.elapsed().as_secs_f64() * 1e9 / VALUES as f64
        });
        let one_by_one = one_by_one.fold(f64::INFINITY, f64::min);
        assert_eq!(window.counts(), alone.counts());
        black_box(&window);
        let (cuts, bytes) = (window.cuts().len(), size_of::<NumericWindow>() + 8 * window.counts().len());
        println!("{bins:14}  {cuts:10}  {fastest:10.1}  {one_by_one:13.1}  {bytes:14}");
    }
}
