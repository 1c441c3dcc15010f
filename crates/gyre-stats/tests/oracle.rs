//! Every number against an independent implementation: scipy, scikit-learn, statsmodels, fairlearn, or the formula written
//! out with numpy. `oracle.py` makes `oracle.json` and says which.
#![allow(clippy::unwrap_used)]

use gyre_stats::{
    adjust,
    drift::{
        self,
        bins::Edges,
        counts::{Empty, USUAL_FLOOR, Unit},
        rows::{Components, Distances, Matrix, USUAL_SHARE},
        samples::{Pooled, Sorted, Ties},
    },
    fairness::{ClassificationGroups, Contrast, Options, RegressionGroups},
    performance::{self, BinaryStats, Estimate, MulticlassStats, RegressionStats},
    proportion::{self, Interval, Proportion},
};
use serde_json::Value;

fn cases(kind: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("oracle.json")).unwrap();
    let cases = all[kind].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).collect()
}

fn booleans(value: &Value) -> Vec<bool> {
    value.as_array().unwrap().iter().map(|truth| truth.as_bool().unwrap()).collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// Equal to nine digits, or both undefined.
#[track_caller]
fn close(case: &Value, name: &str, found: Option<f64>) {
    close_to(case, name, found, &case[name]);
}

#[track_caller]
fn close_to(case: &Value, name: &str, found: Option<f64>, expected: &Value) {
    let label = &case["name"];
    match (found, expected.is_null()) {
        (None, true) => {}
        (Some(found), false) => {
            let expected = number(expected);
            let apart = (found - expected).abs();
            assert!(
                apart <= 1e-9 * expected.abs().max(1e-3),
                "{label} {name}: {found:e} is not {expected:e}"
            );
        }
        (found, _) => panic!("{label} {name}: {found:?} is not {expected}"),
    }
}

/// Both or several numbers of an entry; `found` is `None` where the entry is undefined as a whole.
#[track_caller]
fn close_all<const N: usize>(case: &Value, name: &str, found: Option<[f64; N]>) {
    let expected = &case[name];
    if expected.is_null() {
        assert_eq!(found, None, "{} {name}", case["name"]);
    }
    for (at, found) in found.into_iter().flatten().enumerate() {
        // A single number is null where the other implementation ends in noise.
        if !expected[at].is_null() {
            close_to(case, name, Some(found), &expected[at]);
        }
    }
}

#[track_caller]
fn close_interval(case: &Value, name: &str, found: Option<Interval>) {
    let expected = &case[name];
    close_to(
        case,
        name,
        found.map(|interval| interval.lower),
        if expected.is_null() { expected } else { &expected[0] },
    );
    close_to(
        case,
        name,
        found.map(|interval| interval.upper),
        if expected.is_null() { expected } else { &expected[1] },
    );
}

#[track_caller]
fn close_estimate(case: &Value, name: &str, found: Option<Estimate>) {
    let found = found.unwrap();
    close_to(case, name, Some(found.value), &case[name][0]);
    close_to(case, name, found.standard_error, &case[name][1]);
}

#[test]
fn distances_of_samples() {
    for case in cases("samples") {
        let (reference, current) = (numbers(&case["reference"]), numbers(&case["current"]));
        let test = drift::samples::kolmogorov_smirnov(&reference, &current).unwrap();
        close(&case, "ks", Some(test.statistic));
        close(&case, "ks_p", Some(test.p_value));
        close(&case, "wasserstein", drift::samples::wasserstein(&reference, &current));
    }
}

#[test]
fn tests_of_samples() {
    for case in cases("samples").into_iter().chain(cases("few_samples")) {
        let [a, b] = ["reference", "current"].map(|side| Sorted::new(&numbers(&case[side])));
        let pooled = Pooled::new(&a, &b).unwrap();
        let test = pooled.kolmogorov_smirnov();
        close(&case, "ks", Some(test.statistic));
        close(&case, "ks_location", Some(test.location));
        close(&case, "ks_sign", Some(test.sign.into()));
        close(&case, "ks_p", Some(test.p_limit()));
        close(&case, "ks_p_asymptotic", Some(test.p_asymptotic()));
        close(&case, "ks_p_exact", test.p_exact());
        close(&case, "finite_wasserstein", pooled.wasserstein());
        close(&case, "energy", pooled.energy_distance());
        close(&case, "interquartile_range", a.interquartile_range());
        close_all(&case, "mann_whitney", pooled.mann_whitney().map(|test| [test.statistic, test.p_value]));
        let test = pooled.cramer_von_mises();
        close_all(&case, "cramer_von_mises", test.map(|test| [test.statistic, test.p_asymptotic]));
        close(&case, "cramer_von_mises_exact", test.and_then(|test| test.p_exact));
        for (name, ties) in
            [("anderson_darling_midrank", Ties::Midrank), ("anderson_darling_right", Ties::Right)]
        {
            let test = pooled.anderson_darling(ties);
            close_all(&case, name, test.map(|test| [test.statistic, test.p_table]));
        }
        let welch = drift::samples::welch(&a, &b);
        close_all(&case, "welch", welch.map(|test| [test.statistic, test.degrees_of_freedom, test.p_value]));
        // One row against many has no variance of its own, but a spread about its median: 0.
        if !case["welch"].is_null() {
            let test = drift::samples::brown_forsythe(&a, &b);
            close_all(&case, "brown_forsythe", test.map(|test| [test.statistic, test.p_value]));
        }
    }
}

#[test]
fn bins_of_samples() {
    for sample in cases("few_samples") {
        let [a, b] = ["reference", "current"].map(|side| Sorted::new(&numbers(&sample[side])));
        for case in sample["bins"].as_array().unwrap() {
            let edges = match case["name"].as_str().unwrap() {
                "deciles" => Edges::deciles(&a),
                "equal width" => Edges::equal_width(&a, 10),
                "doane" => Edges::doane(&a),
                _ => Edges::sturges(&a, &b),
            };
            let edges = edges.unwrap();
            // To the last bit: an edge decides where equal values go.
            assert_eq!(edges.as_slice(), numbers(&case["edges"]), "{sample}");
            let (before, after) = (edges.counts(&a), edges.counts(&b));
            assert_eq!((&before, &after), (&counts(&case["reference"]), &counts(&case["current"])));
            assert_eq!(edges.counts_and_outside(&b).last(), case["outside"].as_u64().as_ref());
            let floor = Empty::Floor(USUAL_FLOOR);
            close(case, "psi_floor", drift::counts::psi_with(&before, &after, floor));
            close(case, "psi_half_row", drift::counts::psi_with(&before, &after, Empty::HalfRow));
            close(case, "kullback_leibler", drift::counts::kullback_leibler(&before, &after, floor));
            let distance = |unit| drift::counts::jensen_shannon_distance(&before, &after, unit);
            close(case, "jensen_shannon_bits", distance(Unit::Bits));
            close(case, "jensen_shannon_nats", distance(Unit::Nats));
        }
    }
}

#[test]
fn distances_of_rows() {
    for case in cases("rows") {
        let [a, b] = ["reference", "current"].map(|side| Matrix::new(numbers(&case[side]), 3).unwrap());
        let distances = Distances::new(&a, &b).unwrap();
        let mmd = distances.mmd(number(&case["gamma"]));
        close(&case, "unbiased", Some(mmd.unbiased));
        close(&case, "biased", Some(mmd.biased));
        close(&case, "energy", Some(distances.energy()));
        close(&case, "median", distances.median());
        let test = distances.energy_test(19, 1);
        close(&case, "energy", Some(test.statistic));
        close(&case, "unbiased", Some(distances.mmd_test(mmd.gamma, 19, 1).statistic));
        let components = Components::of(&a, USUAL_SHARE).unwrap();
        assert_eq!(case["kept"], components.kept());
        for (index, share) in components.explained().iter().enumerate() {
            close_to(&case, "explained", Some(*share), &case["explained"][index]);
        }
        for (index, rows) in [&a, &b].into_iter().enumerate() {
            let error = components.reconstruction_error(rows).unwrap().map(|error| error.value);
            close_to(&case, "error", error, &case["error"][index]);
        }
    }
}

#[test]
fn distances_of_counts() {
    for case in cases("counts") {
        let (a, b) = (counts(&case["reference"]), counts(&case["current"]));
        close(&case, "total_variation", drift::counts::total_variation(&a, &b));
        close(&case, "l_infinity", drift::counts::l_infinity(&a, &b));
        close(&case, "hellinger", drift::counts::hellinger(&a, &b));
        close(&case, "jensen_shannon", drift::counts::jensen_shannon(&a, &b));
        close(&case, "jensen_shannon_debiased", drift::counts::jensen_shannon_debiased(&a, &b));
        close(&case, "psi", drift::counts::psi(&a, &b));
        close(&case, "psi_by_luck", drift::counts::psi_by_luck(&a, &b));
        let test = drift::counts::kolmogorov_smirnov(&a, &b).unwrap();
        close(&case, "ks", Some(test.statistic));
        close(&case, "ks_p", Some(test.p_value));
        let test = drift::chi_square(&a, &b).unwrap();
        close(&case, "chi2", Some(test.statistic));
        assert_eq!(case["chi2_df"], test.degrees_of_freedom);
        close(&case, "chi2_p", Some(test.p_value));
        table(&case["table"], &a, &b);
    }
}

#[track_caller]
fn table(case: &Value, a: &[u64], b: &[u64]) {
    let found = drift::homogeneity(a, b).unwrap();
    close_all(case, "pearson", Some([found.pearson, found.pearson_p()]));
    close_all(case, "likelihood_ratio", Some([found.likelihood_ratio, found.likelihood_ratio_p()]));
    close_to(case, "yates", found.yates, &case["yates"][0]);
    close_to(case, "yates", found.yates_p(), &case["yates"][1]);
    close(case, "smallest_expected", Some(found.smallest_expected));
    assert_eq!(case["sparse"], found.sparse_cells);
    close(case, "cramers_v", Some(found.cramers_v()));
    close(case, "cramers_v_corrected", found.cramers_v_corrected());
    let share = |counts: &[u64]| Proportion::new(counts[0], counts.iter().sum());
    let z = drift::two_proportion_z(share(a), share(b));
    close_all(case, "z_of_first", z.map(|test| [test.statistic, test.p_value]));
}

#[test]
fn proportions() {
    for case in cases("proportions") {
        let of = counts(&case["counts"]);
        let (a, b) = (Proportion::new(of[0], of[1]), Proportion::new(of[2], of[3]));
        close_interval(&case, "wilson", a.wilson(0.95));
        close_interval(&case, "newcombe", proportion::newcombe_difference(a, b, 0.95));
        close_interval(&case, "katz", proportion::katz_ratio(a, b, 0.95));
        close(&case, "fisher", Some(proportion::fisher_exact_p(a, b)));
        close(&case, "p", proportion::two_proportion_p(a, b));
    }
}

#[test]
fn adjusted_p_values() {
    for case in cases("adjust") {
        let p = numbers(&case["p"]);
        for (name, adjusted) in [
            ("benjamini_hochberg", adjust::benjamini_hochberg(&p)),
            ("benjamini_yekutieli", adjust::benjamini_yekutieli(&p)),
            ("bonferroni", adjust::bonferroni(&p)),
            ("holm", adjust::holm(&p)),
        ] {
            assert_eq!(adjusted.len(), p.len());
            for (index, found) in adjusted.into_iter().enumerate() {
                close_to(&case, name, Some(found), &case[name][index]);
            }
        }
    }
}

#[test]
fn regression_metrics() {
    for case in cases("regression") {
        let mut stats = RegressionStats::new();
        for (prediction, label) in numbers(&case["prediction"]).into_iter().zip(numbers(&case["label"])) {
            stats.push(prediction, label);
        }
        close_estimate(&case, "mae", stats.mae());
        close_estimate(&case, "rmse", stats.rmse());
        close_estimate(&case, "bias", stats.bias());
        close(&case, "r2", stats.r_squared());
    }
}

#[test]
fn binary_metrics() {
    for case in cases("binary") {
        let (scores, labels) = (numbers(&case["score"]), booleans(&case["label"]));
        let mut stats = BinaryStats::new(0.5);
        scores.iter().zip(&labels).for_each(|(score, label)| stats.push(*score, *label));
        let value = |estimate: Option<Estimate>| estimate.map(|estimate| estimate.value);
        close(&case, "accuracy", value(stats.accuracy()));
        close(&case, "precision", value(stats.precision()));
        close(&case, "recall", value(stats.recall()));
        close_estimate(&case, "f1", stats.f1());
        close(&case, "log_loss", value(stats.log_loss()));
        close(&case, "brier", value(stats.brier()));
        close_estimate(&case, "auc", performance::auc(&scores, &labels).unwrap());
    }
}

#[test]
fn multiclass_metrics() {
    for case in cases("multiclass") {
        let mut stats = MulticlassStats::new(4);
        let probabilities = numbers(&case["probability_of_actual"]);
        let pairs = counts(&case["predicted"]).into_iter().zip(counts(&case["actual"]));
        for ((predicted, actual), probability) in pairs.zip(probabilities) {
            stats.push(predicted as usize, actual as usize, Some(probability)).unwrap();
        }
        close(&case, "accuracy", stats.accuracy().map(|estimate| estimate.value));
        close(&case, "macro_f1", stats.macro_f1());
        close(&case, "log_loss", stats.log_loss().map(|estimate| estimate.value));
    }
}

#[test]
fn paired_differences() {
    for case in cases("clustered") {
        let clusters = counts(&case["cluster"]);
        let outcome =
            performance::paired(&numbers(&case["a"]), &numbers(&case["b"]), &clusters, 0.9).unwrap();
        let found = outcome.measured().unwrap();
        close(&case, "difference", Some(found.difference));
        close(&case, "standard_error", Some(found.standard_error));
        close_interval(&case, "interval_90", Some(found.interval));
        close(&case, "p_a_better", Some(found.p_a_better));
        close(&case, "p_b_better", Some(found.p_b_better));
    }
}

#[test]
fn fairness_of_decisions() {
    for case in cases("fairness") {
        let mut groups = ClassificationGroups::new();
        let (predicted, actual) = (booleans(&case["predicted"]), booleans(&case["actual"]));
        for ((group, predicted), actual) in texts(&case["group"]).into_iter().zip(predicted).zip(actual) {
            groups.push(Some(group), predicted, actual).unwrap();
        }
        let report = groups.report(&Options::default()).unwrap();
        let contrasts: [(&str, &Contrast); 6] = [
            ("selection", &report.demographic_parity),
            ("true_positive", &report.equal_opportunity),
            ("false_positive", &report.false_positive_parity),
            ("false_negative", &report.false_negative_parity),
            ("positive_predictive", &report.predictive_parity),
            ("accuracy", &report.accuracy_parity),
        ];
        for (name, contrast) in contrasts {
            close_to(&case, name, contrast.difference.value(), &case["difference"][name]);
            close_to(&case, name, contrast.ratio.unwrap().value(), &case["ratio"][name]);
        }
        close(&case, "demographic_parity_difference", report.demographic_parity.difference.value());
        close(&case, "demographic_parity_ratio", report.demographic_parity.ratio.unwrap().value());
        close(&case, "equal_opportunity_difference", report.equal_opportunity.difference.value());
        close(&case, "equalized_odds_difference", report.equalized_odds.difference.value());
        close(&case, "equalized_odds_ratio", report.equalized_odds.ratio.value());
        // Against the most selected group, the worst disparate impact is the demographic parity ratio.
        let worst = report
            .disparate_impact
            .iter()
            .filter_map(|impact| impact.ratio.value())
            .fold(f64::INFINITY, f64::min);
        close(&case, "demographic_parity_ratio", Some(worst));
    }
}

#[test]
fn fairness_of_errors() {
    for case in cases("group_errors") {
        let mut groups = RegressionGroups::new();
        let (predictions, labels) = (numbers(&case["prediction"]), numbers(&case["label"]));
        for ((group, prediction), label) in texts(&case["group"]).into_iter().zip(predictions).zip(labels) {
            groups.push(Some(group), prediction, label).unwrap();
        }
        let report = groups.report(&Options::default());
        close(&case, "difference", report.mean_error.difference.value());
        close_interval(&case, "interval", report.mean_error.difference.interval());
        close(&case, "p", report.mean_error.p_value);
    }
}
