//! Disparate impact and the four-fifths rule of the Uniform Guidelines (29 CFR 1607.4 D).

use serde::{Deserialize, Serialize};

use super::Measure;
use crate::proportion::Proportion;

/// What the four-fifths rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FourFifths {
    /// The group is selected at four fifths of the reference group's rate or more.
    Pass,
    /// It is selected less often than that.
    Fail,
    /// A group is empty, or nobody of the reference group is selected.
    Undefined,
}

/// How often a group is selected, against a reference group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DisparateImpact {
    /// The group.
    pub group: String,
    /// The group that it is compared with.
    pub reference: String,
    /// Its selection rate ÷ that of the reference group, with Katz' interval.
    pub ratio: Measure,
    /// The four-fifths rule, decided on integers.
    pub four_fifths: FourFifths,
    /// Two-sided p-value that both are selected equally often (Fisher where counts are small, else z), by Holm over all
    /// groups compared.
    pub p_value: Option<f64>,
    /// Whether the four-fifths rule fails and the difference is significant.
    pub adverse_impact: bool,
}

/// Whether `group` is selected at four fifths of the rate of `reference` or more: 5·k_d·n_a ≥ 4·k_a·n_d, exactly.
#[must_use]
pub fn four_fifths(group: Proportion, reference: Proportion) -> FourFifths {
    if group.trials() == 0 || reference.trials() == 0 || reference.successes() == 0 {
        return FourFifths::Undefined;
    }
    // k·n < 2¹²⁸, and five times that may not be: divide the question in two where it would overflow.
    let product = |x: u64, y: u64| u128::from(x) * u128::from(y);
    let ours = product(group.successes(), reference.trials());
    let theirs = product(reference.successes(), group.trials());
    let passes = match (ours.checked_mul(5), theirs.checked_mul(4)) {
        (Some(ours), Some(theirs)) => ours >= theirs,
        // ⌈theirs·4/5⌉ without overflow: 4·(theirs div 5) + ⌈4·(theirs mod 5)/5⌉.
        _ => ours >= 4 * (theirs / 5) + (4 * (theirs % 5)).div_ceil(5),
    };
    if passes { FourFifths::Pass } else { FourFifths::Fail }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exactly_four_fifths_passes_where_floats_fail() {
        let mut floats_fail = 0;
        for n in 1..=60_u64 {
            for m in 1..=60_u64 {
                for k in 1..=m {
                    // Selected in the group at exactly 4/5 of k/m, where that is a whole number of people.
                    if !(4 * k * n).is_multiple_of(5 * m) {
                        continue;
                    }
                    let selected = 4 * k * n / (5 * m);
                    let (group, reference) = (Proportion::new(selected, n), Proportion::new(k, m));
                    assert_eq!(
                        four_fifths(group, reference),
                        FourFifths::Pass,
                        "{selected}/{n} against {k}/{m}"
                    );
                    if selected > 0 {
                        let one_less = Proportion::new(selected - 1, n);
                        assert_eq!(four_fifths(one_less, reference), FourFifths::Fail);
                    }
                    let ratio = group.value().unwrap() / reference.value().unwrap();
                    floats_fail += u32::from(ratio < 0.8);
                }
            }
        }
        assert!(floats_fail > 0, "the test would pass with floating-point numbers too");
    }

    #[test]
    fn the_largest_counts_do_not_overflow() {
        let all = Proportion::new(u64::MAX, u64::MAX);
        assert_eq!(four_fifths(all, all), FourFifths::Pass);
        assert_eq!(four_fifths(Proportion::new(u64::MAX / 5 * 4, u64::MAX), all), FourFifths::Pass);
        assert_eq!(four_fifths(Proportion::new(u64::MAX / 5 * 4 - 1, u64::MAX), all), FourFifths::Fail);
    }

    #[test]
    fn without_anyone_selected_there_is_no_rule() {
        assert_eq!(four_fifths(Proportion::new(0, 10), Proportion::new(0, 10)), FourFifths::Undefined);
        assert_eq!(four_fifths(Proportion::new(0, 0), Proportion::new(5, 10)), FourFifths::Undefined);
    }

    proptest! {
        #![proptest_config(crate::seeded())]

        #[test]
        fn small_counts_agree_with_the_definition(k in 0u64..2000, n in 1u64..2000, l in 1u64..2000, m in 1u64..2000) {
            let (group, reference) = (Proportion::new(k, n), Proportion::new(l, m));
            let expected = 5 * group.successes() * m >= 4 * reference.successes() * n;
            prop_assert_eq!(four_fifths(group, reference) == FourFifths::Pass, expected);
        }
    }
}
