//! A metric's history as bytes.
//!
//! Points come one at a time or a thousand at a time, and are read back whole or sampled. They are kept in blocks; a chunk
//! (a row of `tracking_points`) is blocks one after another, so that adding points is adding bytes, and a history of a
//! million points is a few thousand rows. A block: how many points, then all timestamps, all steps (each as the difference
//! from the one before, zigzag, in LEB128), then all values (IEEE 754, little-endian; NaN is a NaN). About eleven bytes a
//! point.

/// One value of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The step.
    pub step: i64,
    /// The value; may be NaN, never infinite.
    pub value: f64,
}

impl Point {
    /// A point as it is kept: infinities become the largest numbers there are, as MLflow's SQL store has it.
    pub fn new(timestamp: i64, step: i64, value: f64) -> Self {
        Self { timestamp, step, value: if value.is_nan() { value } else { value.clamp(f64::MIN, f64::MAX) } }
    }

    /// Which of two points is later: by step, then timestamp, then value (NaN counts as 0).
    pub fn rank(&self) -> (i64, i64, Ordered) {
        (self.step, self.timestamp, Ordered(if self.value.is_nan() { 0.0 } else { self.value }))
    }

    /// The order of a history: by timestamp, then step, then value (NaN counts as 0).
    fn place(&self) -> (i64, i64, Ordered, bool) {
        let (step, timestamp, value) = self.rank();
        (timestamp, step, value, self.value.is_nan())
    }
}

/// A number in its total order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ordered(f64);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // 0 and -0 are the same value of a metric.
        if self.0 == other.0 { std::cmp::Ordering::Equal } else { self.0.total_cmp(&other.0) }
    }
}

/// `points` as one block.
pub fn encode(points: &[Point]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + points.len() * 12);
    leb128(&mut bytes, points.len() as u64);
    for number in [|point: &Point| point.timestamp, |point: &Point| point.step] {
        let mut before = 0_i64;
        for point in points {
            let difference = number(point).wrapping_sub(before);
            before = number(point);
            leb128(&mut bytes, ((difference << 1) ^ (difference >> 63)) as u64);
        }
    }
    for point in points {
        bytes.extend(point.value.to_le_bytes());
    }
    bytes
}

/// Adds the points of a chunk's blocks to `points`; none when the bytes are not blocks.
pub fn decode(mut bytes: &[u8], points: &mut Vec<Point>) -> Option<()> {
    while !bytes.is_empty() {
        let count = usize::try_from(read(&mut bytes)?).ok()?;
        // A point has at least ten bytes: what promises more than there is, is no block.
        if count > bytes.len() / 10 {
            return None;
        }
        let from = points.len();
        points.resize(from + count, Point { timestamp: 0, step: 0, value: 0.0 });
        let block = points.get_mut(from..)?;
        let mut before = 0_i64;
        for point in block.iter_mut() {
            before = before.wrapping_add(difference(&mut bytes)?);
            point.timestamp = before;
        }
        before = 0;
        for point in block.iter_mut() {
            before = before.wrapping_add(difference(&mut bytes)?);
            point.step = before;
        }
        let (values, rest) = bytes.split_at_checked(count * 8)?;
        for (point, value) in block.iter_mut().zip(values.as_chunks::<8>().0) {
            point.value = f64::from_le_bytes(*value);
        }
        bytes = rest;
    }
    Some(())
}

fn leb128(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn difference(bytes: &mut &[u8]) -> Option<i64> {
    let zigzag = read(bytes)?;
    Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
}

/// Brings points into the order of a history, and drops repeats.
pub fn arrange(points: &mut Vec<Point>) {
    if !points.is_sorted_by(|a, b| a.place() < b.place()) {
        points.sort_by_key(Point::place);
        points.dedup_by(|a, b| a.place() == b.place());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(points: &[Point]) -> Vec<(i64, i64, u64)> {
        points.iter().map(|p| (p.timestamp, p.step, p.value.to_bits())).collect()
    }

    fn any_point() -> impl Strategy<Value = Point> {
        (any::<i64>(), any::<i64>(), any::<f64>()).prop_map(|(t, s, v)| Point::new(t, s, v))
    }

    proptest! {
        #[test]
        fn what_is_decoded_is_what_was_encoded(
            blocks in prop::collection::vec(prop::collection::vec(any_point(), 0..40), 0..5)
        ) {
            let bytes: Vec<u8> = blocks.iter().flat_map(|block| encode(block)).collect();
            let mut found = Vec::new();
            prop_assert!(decode(&bytes, &mut found).is_some());
            prop_assert_eq!(bits(&found), bits(&blocks.concat()));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, &mut Vec::new());
        }
    }

    #[test]
    fn a_history_is_in_order_and_without_repeats() {
        let p = Point::new;
        let mut points = vec![
            p(2, 0, 1.0),
            p(1, 5, 1.0),
            p(1, 5, 1.0),
            p(1, 2, f64::NAN),
            p(1, 2, 0.0),
            p(1, 2, f64::NAN),
        ];
        arrange(&mut points);
        let places: Vec<_> = points.iter().map(|p| (p.timestamp, p.step, p.value.is_nan())).collect();
        assert_eq!(places, [(1, 2, false), (1, 2, true), (1, 5, false), (2, 0, false)]);
    }

    #[test]
    fn ordinary_points_take_few_bytes() {
        let points: Vec<Point> =
            (0..1000).map(|i| Point::new(1_700_000_000_000 + i * 1000, i, i as f64)).collect();
        assert!(encode(&points).len() < 11_100, "{}", encode(&points).len());
        assert_eq!(Point::new(0, 0, f64::INFINITY).value, f64::MAX);
    }
}
