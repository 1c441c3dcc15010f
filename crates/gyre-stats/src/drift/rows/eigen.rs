//! Eigenvalues and eigenvectors of a symmetric matrix by Jacobi's rotations.
//!
//! Slower than a reduction to tridiagonal form, but twenty lines, and precise for small eigenvalues too; for the few hundred
//! columns of a table it takes well under a second. (Golub & Van Loan, "Matrix computations", 2013, §8.5.)

/// Sweeps over all pairs after which rotation ends; ten are enough for any matrix that was seen.
const MOST_SWEEPS: usize = 60;

/// Eigenvalues, largest first, each with its unit eigenvector, of a symmetric matrix given row after row.
pub(super) fn eigen(mut matrix: Vec<f64>, size: usize) -> Vec<(f64, Vec<f64>)> {
    // Rows are turned, so the eigenvectors end up as rows.
    let mut vectors = vec![0.0; size * size];
    vectors.iter_mut().step_by(size + 1).for_each(|entry| *entry = 1.0);
    let scale: f64 = matrix.iter().map(|entry| entry * entry).sum();
    for _ in 0..MOST_SWEEPS {
        let outside: f64 = (0..size)
            .flat_map(|p| matrix[p * size + p + 1..(p + 1) * size].iter())
            .map(|entry| entry * entry)
            .sum();
        if outside <= 1e-30 * scale {
            break;
        }
        for p in 0..size {
            for q in p + 1..size {
                rotate(&mut matrix, &mut vectors, size, p, q);
            }
        }
    }
    let mut found: Vec<(f64, Vec<f64>)> =
        vectors.chunks(size).enumerate().map(|(i, vector)| (matrix[i * size + i], vector.to_vec())).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found
}

/// Turns the plane of columns `p` < `q` so that their common entry vanishes.
fn rotate(matrix: &mut [f64], vectors: &mut [f64], size: usize, p: usize, q: usize) {
    let common = matrix[p * size + q];
    let (at_p, at_q) = (matrix[p * size + p], matrix[q * size + q]);
    if common.abs() <= 1e-18 * (at_p.abs() * at_q.abs()).sqrt() || common == 0.0 {
        return;
    }
    let ratio = (at_q - at_p) / (2.0 * common);
    let tangent = ratio.signum() / (ratio.abs() + ratio.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    turn_rows(matrix, size, p, q, cosine, sine);
    for row in matrix.chunks_exact_mut(size) {
        let (x, y) = (row[p], row[q]);
        row[p] = cosine * x - sine * y;
        row[q] = sine * x + cosine * y;
    }
    matrix[p * size + q] = 0.0;
    matrix[q * size + p] = 0.0;
    turn_rows(vectors, size, p, q, cosine, sine);
}

fn turn_rows(matrix: &mut [f64], size: usize, p: usize, q: usize, cosine: f64, sine: f64) {
    let (upper, lower) = matrix.split_at_mut(q * size);
    let (row_p, row_q) = (&mut upper[p * size..(p + 1) * size], &mut lower[..size]);
    for (x, y) in row_p.iter_mut().zip(row_q) {
        (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_put_together_again() {
        let size = 7;
        let entry = |i: usize, j: usize| ((i * j) as f64).sin() + if i == j { i as f64 } else { 0.0 };
        let matrix: Vec<f64> = (0..size * size).map(|at| entry(at / size, at % size)).collect();
        let found = eigen(matrix.clone(), size);
        assert!(found.windows(2).all(|pair| pair[0].0 >= pair[1].0));
        for i in 0..size {
            for j in 0..size {
                let sum: f64 = found.iter().map(|(value, vector)| value * vector[i] * vector[j]).sum();
                assert!((sum - matrix[i * size + j]).abs() < 1e-12);
                let dot: f64 = found[i].1.iter().zip(&found[j].1).map(|(x, y)| x * y).sum();
                assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_diagonal_matrix_is_done() {
        let found = eigen(vec![1.0, 0.0, 0.0, 2.0], 2);
        assert_eq!(found, [(2.0, vec![0.0, 1.0]), (1.0, vec![1.0, 0.0])]);
        assert_eq!(eigen(vec![0.0; 4], 2)[0].0, 0.0);
    }
}
