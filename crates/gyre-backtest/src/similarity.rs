//! How much each labelled row says about the requests that are there now.
//!
//! Mahadevan & Mathioudakis, "Cost-aware retraining for machine learning" (Knowledge-Based Systems, 2024), estimate what a
//! stale model costs on a batch of queries from the labelled rows of the recent past, each counted by its similarity to the
//! queries. The weight of a row is its mean similarity to a sample of the requests of the last window's length before the
//! decision; the similarity is a Gaussian of the distance, whose width is the median distance (the usual heuristic). The weights
//! do not depend on the model, so they are made once.
//!
//! Distances: numbers in standard deviations of the window, 0 between equal categories and 1 between others, missing values 1
//! from everything; squared, and their mean taken over the columns.

use gyre_core::Span;
use gyre_runtime::{Column, Table};

use crate::history::History;
use crate::timeline::Timeline;

/// Requests that stand for those of a window.
const QUERIES: usize = 64;
/// Rows from which the width is taken.
const FOR_WIDTH: usize = 64;

/// The weight of each row at the decision at which its window closes; 0 for rows before the first window.
pub(crate) fn weights(history: &History, timeline: &Timeline, of_rows: &[u32]) -> Vec<f32> {
    let mut weights = vec![0.0; history.rows()];
    let position = |moment| history.times.partition_point(|time| *time < moment);
    for (decision, closing) in timeline.moments.iter().enumerate().skip(1) {
        let Some(window) = timeline.windows.get(decision - 1) else { continue };
        let length = Span::from_millis(window.to.since(window.from).as_millis());
        let queries = spread(position(*closing - length), position(*closing), QUERIES);
        let labelled: Vec<usize> = (position(window.from)..position(window.to))
            .filter(|row| {
                let slice = of_rows.get(*row).and_then(|at| timeline.slices.get(*at as usize));
                let known = history.known_at.get(*row).copied().flatten();
                slice.zip(known).is_some_and(|(slice, known)| timeline.is_seen(slice, known))
            })
            .collect();
        for (row, weight) in labelled.iter().zip(weigh(&history.features, &labelled, &queries)) {
            if let Some(slot) = weights.get_mut(*row) {
                *slot = weight;
            }
        }
    }
    weights
}

/// At most `count` of the rows `from..to`, evenly.
fn spread(from: usize, to: usize, count: usize) -> Vec<usize> {
    let rows = to.saturating_sub(from);
    let step = rows.div_ceil(count).max(1);
    (from..to).step_by(step).collect()
}

fn weigh(features: &Table, rows: &[usize], queries: &[usize]) -> Vec<f32> {
    let columns = features.columns().len().max(1) as f32;
    let mut distances = vec![0.0_f32; rows.len() * queries.len()];
    for (_, column) in features.columns() {
        add_distances(column, rows, queries, &mut distances);
    }
    distances.iter_mut().for_each(|distance| *distance /= columns);
    let mut some: Vec<f32> =
        distances.iter().step_by(distances.len().div_ceil(FOR_WIDTH * FOR_WIDTH).max(1)).copied().collect();
    some.sort_by(f32::total_cmp);
    let width = some.get(some.len() / 2).copied().filter(|width| *width > 0.0).unwrap_or(1.0);
    let similarity = |distance: &f32| (-distance / (2.0 * width)).exp();
    let of_row = |distances: &[f32]| distances.iter().map(similarity).sum::<f32>() / queries.len() as f32;
    distances.chunks(queries.len().max(1)).map(of_row).collect()
}

/// Adds the squared distances in one column, row by row.
fn add_distances(column: &Column, rows: &[usize], queries: &[usize], distances: &mut [f32]) {
    let of_rows = distances.chunks_mut(queries.len().max(1)).zip(rows);
    match column {
        Column::Numeric(values) => {
            let value = |row: &usize| values.get(*row).copied().unwrap_or(f64::NAN);
            let scale = deviation(rows.iter().map(value));
            let queries: Vec<f64> = queries.iter().map(value).collect();
            for (distances, row) in of_rows {
                let own = value(row);
                for (distance, query) in distances.iter_mut().zip(&queries) {
                    let apart = (own - query) / scale;
                    *distance += if apart.is_finite() { (apart * apart) as f32 } else { 1.0 };
                }
            }
        }
        Column::Text(values) => {
            let queries: Vec<_> =
                queries.iter().map(|row| values.get(*row).and_then(Option::as_deref)).collect();
            for (distances, row) in of_rows {
                let own = values.get(*row).and_then(Option::as_deref);
                for (distance, query) in distances.iter_mut().zip(&queries) {
                    *distance += if own.is_some() && own == *query { 0.0 } else { 1.0 };
                }
            }
        }
    }
}

/// The standard deviation of what is there; 1 where nothing varies.
fn deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let values = values.filter(|value| value.is_finite());
    let (count, sum) = values.clone().fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
    let mean = sum / f64::max(count, 1.0);
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    let deviation = (squares / f64::max(count, 1.0)).sqrt();
    if deviation > 0.0 { deviation } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_like_the_requests_weigh_more() {
        let place = ["EWR", "EWR", "JFK", "JFK"].map(|place| Some(place.into())).to_vec();
        let columns = [
            ("distance", Column::Numeric(vec![100.0, 110.0, 900.0, 105.0])),
            ("origin", Column::Text(place)),
        ];
        let table = Table::new(columns).unwrap();
        let weights = weigh(&table, &[0, 1, 2], &[3]);
        assert!(weights[2] < weights[0] && weights[2] < weights[1], "{weights:?}");
        assert_eq!(weigh(&table, &[0, 1], &[]), Vec::<f32>::new());
    }
}
