//! Numbers in words: `51,000`, `25 %`, and a cell as it is shown in a reason.

use gyre_core::Value;

/// The longest piece of a cell that a reason shows.
const SHOWN: usize = 60;

/// A count with its thousands apart.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share as a percentage with up to two decimals.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", (share * 10_000.0).round() / 100.0)
}

/// A cell, cut when it is long.
pub(super) fn cell(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Several cells, the first dozen of them.
pub(super) fn cells(values: &[Value]) -> String {
    let shown: Vec<String> = values.iter().take(12).map(cell).collect();
    let more =
        if values.len() > shown.len() { format!(", … ({} values)", values.len()) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let counts = [0, 999, 1_000, 51_000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "51,000", "1,234,567"]);
        assert_eq!(percent(0.0012), "0.12 %");
        assert_eq!(cell(&Value::Text("é".repeat(100).into())).chars().count(), SHOWN + 1);
    }
}
