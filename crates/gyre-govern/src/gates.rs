//! May a version take traffic? Each gate of `gyre.yaml`, held against what was measured.

use gyre_core::expr::{Expression, GateResult, Measured};

/// What is said of a gate that compares with a champion where there is none.
pub const NO_CHAMPION: &str = "no champion yet";

/// Holds `measured` against every gate: whether all hold, and each with its numbers. A gate that mentions `champion`
/// holds while there is none, for the first version has nobody to be compared with; every other gate applies to it too.
/// Without gates everything passes.
pub fn judge(gates: &[Expression], measured: &Measured, has_champion: bool) -> (bool, Vec<GateResult>) {
    let judge = |gate: &Expression| {
        if !has_champion && (gate.mentions("champion") || gate.mentions("comparison")) {
            let (gate, because) = (gate.source().to_owned(), NO_CHAMPION.to_owned());
            return GateResult { gate, passed: true, because };
        }
        gate.judge(measured)
    };
    let results: Vec<GateResult> = gates.iter().map(judge).collect();
    (results.iter().all(|result| result.passed), results)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(gates: &[&str], has_champion: bool) -> (bool, Vec<GateResult>) {
        let gates: Vec<Expression> = gates.iter().map(|gate| Expression::compile(gate).unwrap()).collect();
        let facts = json!({"candidate": {"mae": 9.0}, "champion": {"mae": 7.0}});
        judge(&gates, facts.as_object().unwrap(), has_champion)
    }

    #[test]
    fn one_gate_that_fails_is_enough_and_all_are_told() {
        let (passed, results) = judged(
            &["candidate.mae <= 12.0", "candidate.mae <= champion.mae", "candidate.rmse <= 1.0"],
            true,
        );
        assert!(!passed);
        assert_eq!(results.iter().map(|result| result.passed).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(results[1].because, "candidate.mae = 9, champion.mae = 7");
        assert!(results[2].because.contains("`rmse` is not measured"));
    }

    #[test]
    fn the_first_version_is_compared_with_nobody_but_held_to_the_rest() {
        let (passed, results) = judged(&["candidate.mae <= champion.mae"], false);
        assert!(passed && results[0].because == NO_CHAMPION);
        assert!(!judged(&["candidate.mae <= champion.mae", "candidate.mae <= 5.0"], false).0);
        assert!(judged(&[], false).0);
    }
}
