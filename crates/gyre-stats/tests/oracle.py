"""Regenerates oracle.json, the values that tests/oracle.rs checks gyre-stats against.

    pip install numpy scipy scikit-learn statsmodels fairlearn
    python oracle.py > oracle.json

Expected values come from these libraries where they compute the same thing, and from the formula written out with numpy
where no library does. Inputs are seeded; the file is the same on every run.
"""

import json
import sys

import fairlearn.metrics as fl
import numpy as np
import statsmodels.api as sm
from scipy import special, stats
from scipy.spatial.distance import jensenshannon
from sklearn import metrics as sk
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint, proportions_ztest

rng = np.random.default_rng(20240601)


def samples():
    normal = rng.normal
    yield "shifted", normal(0, 1, 300), normal(0.3, 1, 200)
    yield "equal", normal(0, 1, 250), normal(0, 1, 250)
    yield "heavy tails", rng.standard_cauchy(200), rng.standard_cauchy(170) + 1
    yield "ties", rng.integers(0, 6, 300), rng.integers(0, 7, 150)
    yield "constant", np.full(40, 3.5), np.full(30, 3.5)
    yield "disjoint", rng.uniform(0, 1, 50), rng.uniform(2, 3, 60)
    yield "one row", np.array([0.5]), np.array([0.1])
    yield "one against many", np.array([0.5]), normal(0, 1, 100)
    yield "large offset", 1e9 + normal(0, 1, 120), 1e9 + normal(0.5, 1, 130)
    yield "missing", np.append(normal(0, 1, 60), [np.nan] * 5), np.append(normal(1, 2, 70), np.nan)
    yield "infinite", np.append(normal(0, 1, 60), [np.inf, -np.inf]), np.append(normal(0, 1, 70), [np.inf] * 4)
    yield "signed zeros", np.array([0.0, -0.0, 1.0, -1.0]), np.array([-0.0, -0.0, 0.0, 2.0])


def few_samples():
    """Sizes and magnitudes at which formulas change."""
    normal = rng.normal
    yield "three against four", normal(0, 1, 3), normal(0, 1, 4)
    yield "seven against nine, ties", np.round(normal(0, 1, 7)), np.round(normal(0.5, 1, 9))
    yield "twenty a side", normal(0, 1, 20), normal(1, 1, 20)
    yield "twelve against eighteen", normal(0, 1, 12), normal(0, 2, 18)
    yield "tiny magnitudes", 1e-300 * normal(0, 1, 30), 1e-300 * normal(0.5, 1, 40)
    yield "very unequal", normal(0, 1, 10), normal(0, 1, 400).round(3)
    yield "many equal rows", rng.binomial(1, 0.3, 300), rng.binomial(1, 0.45, 340)
    yield "near", normal(0, 1, 300).round(4), normal(0.02, 1, 320).round(4)
    yield "integers", rng.integers(1, 5, 40), rng.integers(1, 6, 50)
    yield "constant reference", np.zeros(30), normal(0, 1, 40)


def sample_case(name, a, b):
    a, b = np.asarray(a, float), np.asarray(b, float)
    x, y = a[~np.isnan(a)], b[~np.isnan(b)]
    n, m = len(x), len(y)
    ks = stats.ks_2samp(x, y, method="asymp")
    case = {
        "name": name,
        "reference": [repr(float(v)) for v in a],
        "current": [repr(float(v)) for v in b],
        "ks": ks.statistic,
        "ks_p": special.kolmogorov(np.sqrt(n * m / (n + m)) * ks.statistic),
        "ks_location": repr(float(ks.statistic_location)),
        "ks_sign": int(ks.statistic_sign),
        # No row is left by rounding 1·1/(1 + 1): nothing is known, so p is 1.
        "ks_p_asymptotic": ks.pvalue if np.isfinite(ks.pvalue) else 1.0,
        "ks_p_exact": stats.ks_2samp(x, y, method="exact").pvalue,
    }
    finite = np.isfinite(x).all() and np.isfinite(y).all()
    case["wasserstein"] = stats.wasserstein_distance(x, y) if finite else None
    x, y = x[np.isfinite(x)], y[np.isfinite(y)]
    rank = stats.mannwhitneyu(x, y, alternative="two-sided", method="asymptotic")
    case |= {
        "finite_wasserstein": stats.wasserstein_distance(x, y),
        "energy": stats.energy_distance(x, y),
        "mann_whitney": [rank.statistic, rank.pvalue],
        "interquartile_range": np.subtract(*np.quantile(x, [0.75, 0.25])),
    }
    if min(len(x), len(y)) > 1:
        cvm = stats.cramervonmises_2samp(x, y, method="asymptotic")
        small = max(len(x), len(y)) <= 20
        # scipy ends its series at terms of 1e-7, so its small p-values are noise.
        case["cramer_von_mises"] = [cvm.statistic, cvm.pvalue if cvm.pvalue > 1e-4 else None]
        case["cramer_von_mises_exact"] = stats.cramervonmises_2samp(x, y, method="exact").pvalue if small else None
        if len(np.unique(np.concatenate([x, y]))) > 1:
            for ties in ("midrank", "right"):
                ad = stats.anderson_ksamp([x, y], variant=ties)
                case["anderson_darling_" + ties] = [ad.statistic, ad.pvalue]
        # Neither loses a digit here: a power of two against squares that vanish, an offset against means that round.
        unit = 2.0**1000 if max(np.abs(x).max(), np.abs(y).max()) < 1e-200 else 1.0
        offset = x[0] if np.abs(x).min() > 1e6 else 0.0
        t = stats.ttest_ind((x - offset) * unit, (y - offset) * unit, equal_var=False)
        levene = stats.levene(x * unit, y * unit, center="median")
        case["welch"] = [t.statistic, t.df, t.pvalue] if np.isfinite(t.statistic) else None
        case["brown_forsythe"] = [levene.statistic, levene.pvalue] if np.isfinite(levene.statistic) else None
    return case


def histograms(x, y):
    """Edges by numpy's own rules, and distances over their counts."""
    if len(np.unique(x)) < 2:
        return
    unit = 2.0**1000 if np.abs(x).max() < 1e-200 else 1.0
    x, y = x * unit, y * unit
    rules = {
        "deciles": np.unique(np.quantile(x, np.linspace(0, 1, 11))),
        "equal width": np.linspace(x.min(), x.max(), 11),
        "doane": np.histogram_bin_edges(x, bins="doane"),
        "sturges": np.histogram_bin_edges(np.concatenate([x, y]), bins="sturges"),
    }
    for rule, edges in rules.items():
        outside = int((y < edges[0]).sum() + (y > edges[-1]).sum())
        open_edges = np.concatenate([[-np.inf], edges[1:-1], [np.inf]])
        a, b = np.histogram(x, open_edges)[0], np.histogram(y, open_edges)[0]
        p, q = a / a.sum(), b / b.sum()
        floor = lambda share: np.maximum(share, 1e-4)
        half = lambda count: (count + 0.5) / (count.sum() + 0.5 * len(count))
        index = lambda p, q: ((q - p) * np.log(q / p)).sum()
        yield {
            "name": rule,
            "edges": (edges / unit).tolist(),
            "reference": a.tolist(),
            "current": b.tolist(),
            "outside": outside,
            "psi_floor": index(floor(p), floor(q)),
            "psi_half_row": index(half(a), half(b)),
            "kullback_leibler": (floor(p) * np.log(floor(p) / floor(q))).sum(),
            "jensen_shannon_bits": jensenshannon(p, q, base=2),
            "jensen_shannon_nats": jensenshannon(p, q),
        }


def sample_cases():
    return (sample_case(*drawn) for drawn in samples())


def few_sample_cases():
    for name, a, b in few_samples():
        finite = [np.asarray(sample, float) for sample in (a, b)]
        yield sample_case(name, a, b) | {"bins": list(histograms(*finite))}


def pooled(a, b):
    """Columns pooled, rarest first, until each expects 5 in both rows."""
    n, m = a.sum(), b.sum()
    columns = sorted(([int(x), int(y)] for x, y in zip(a, b) if x + y), key=lambda c: -sum(c))
    needed = 5 * (n + m) / min(n, m)
    rare = [0, 0]
    while columns:
        if sum(columns[-1]) >= needed and (sum(rare) == 0 or sum(rare) >= needed):
            break
        last = columns.pop()
        rare = [rare[0] + last[0], rare[1] + last[1]]
    return columns + ([rare] if sum(rare) else [])


def count_cases():
    zipf = 1 / np.arange(1, 41)
    tables = {
        "equal": ([30, 40, 30], [60, 80, 60]),
        "three categories": ([120, 60, 20], [80, 90, 35]),
        "zero cells": ([50, 0, 30, 20], [40, 15, 0, 45]),
        "jointly empty": ([10, 0, 30], [12, 0, 25]),
        "two categories": ([12, 9], [3, 17]),
        "rare": ([500, 300, 3, 2, 1, 1], [480, 330, 1, 5, 0, 2]),
        "many": (rng.multinomial(5000, zipf / zipf.sum()), rng.multinomial(800, zipf / zipf.sum())),
        "disjoint": ([100, 0], [0, 50]),
    }
    for name, (a, b) in tables.items():
        a, b = np.array(a), np.array(b)
        n, m = a.sum(), b.sum()
        p, q = a / n, b / m
        used = (a + b) > 0
        k = used.sum()
        js = jensenshannon(p, q) ** 2
        smooth = lambda c: (c[used] + 0.5) / (c.sum() + 0.5 * k)
        sp, sq = smooth(a), smooth(b)
        d = np.abs(np.cumsum(p) - np.cumsum(q)).max()
        chi = stats.chi2_contingency(np.array(pooled(a, b)).T, correction=False)
        yield {
            "name": name,
            "reference": a.tolist(),
            "current": b.tolist(),
            "total_variation": 0.5 * np.abs(p - q).sum(),
            "l_infinity": np.abs(p - q).max(),
            "hellinger": np.sqrt(max(0, 1 - np.sqrt(p * q).sum())),
            "jensen_shannon": js,
            "jensen_shannon_debiased": max(0, js - (k - 1) / 8 * (1 / n + 1 / m)),
            "psi": ((sq - sp) * np.log(sq / sp)).sum(),
            "psi_by_luck": (k - 1) * (1 / n + 1 / m),
            "ks": d,
            "ks_p": special.kolmogorov(np.sqrt(n * m / (n + m)) * d),
            "chi2": chi.statistic,
            "chi2_df": int(chi.dof),
            "chi2_p": chi.pvalue,
            "table": table(a[used], b[used]),
        }


def table(a, b):
    """The table without pooling."""
    counts, n, k = np.array([a, b]), (a + b).sum(), len(a)
    pearson = stats.chi2_contingency(counts, correction=False)
    ratio = stats.chi2_contingency(counts, correction=False, lambda_="log-likelihood")
    yates = stats.chi2_contingency(counts, correction=True) if k == 2 else None
    z, z_p = proportions_ztest([a[0], b[0]], [a.sum(), b.sum()])
    sides = min((k - 1) - (k - 1) ** 2 / (n - 1), 1 - 1 / (n - 1))
    return {
        "pearson": [pearson.statistic, pearson.pvalue],
        "likelihood_ratio": [ratio.statistic, ratio.pvalue],
        "yates": [yates.statistic, yates.pvalue] if yates else [None, None],
        "smallest_expected": pearson.expected_freq.min(),
        "sparse": int((pearson.expected_freq < 5).sum()),
        "cramers_v": stats.contingency.association(counts, method="cramer"),
        "cramers_v_corrected": np.sqrt(max(0, pearson.statistic / n - (k - 1) / (n - 1)) / sides),
        "z_of_first": [z, z_p],
    }


def proportion_cases():
    tables = [(0, 10, 3, 12), (5, 5, 2, 9), (1, 40, 9, 45), (30, 100, 45, 110), (3, 1000, 14, 1200), (500, 900, 610, 1000)]
    tables += [(2, 7, 2, 7), (0, 400, 3, 500), (480, 10_000, 620, 11_000)]
    for k, n, l, m in tables:
        wilson = proportion_confint(k, n, alpha=0.05, method="wilson")
        newcombe = confint_proportions_2indep(k, n, l, m, compare="diff", method="newcomb", alpha=0.05)
        katz = confint_proportions_2indep(k, n, l, m, compare="ratio", method="log", alpha=0.05) if k and l else None
        fisher = stats.fisher_exact([[k, n - k], [l, m - l]]).pvalue
        expected = min(n, m) * min(k + l, n + m - k - l) / (n + m)
        yield {
            "counts": [k, n, l, m],
            "wilson": list(wilson),
            "newcombe": list(newcombe),
            "katz": list(katz) if katz else None,
            "fisher": fisher,
            "p": fisher if expected < 5 else proportions_ztest([k, l], [n, m])[1],
        }


def adjust_cases():
    for p in ([0.01, 0.02, 0.03, 0.04], [0.5], rng.uniform(0, 1, 20) ** 3, [0.001, 0.001, 1.0, 0.0]):
        p = np.asarray(p, float)
        bh = multipletests(p, method="fdr_bh")[1]
        yield {
            "p": p.tolist(),
            "benjamini_hochberg": bh.tolist(),
            "benjamini_yekutieli": multipletests(p, method="fdr_by")[1].tolist(),
            "bonferroni": multipletests(p, method="bonferroni")[1].tolist(),
            "holm": multipletests(p, method="holm")[1].tolist(),
        }


def regression_cases():
    label = rng.normal(10, 3, 200)
    prediction = label + rng.normal(0.5, 2, 200)
    error = prediction - label
    se = lambda x: x.std(ddof=1) / np.sqrt(len(x))
    rmse = np.sqrt(sk.mean_squared_error(label, prediction))
    yield {
        "prediction": prediction.tolist(),
        "label": label.tolist(),
        "mae": [sk.mean_absolute_error(label, prediction), se(np.abs(error))],
        "rmse": [rmse, se(error**2) / (2 * rmse)],
        "bias": [error.mean(), se(error)],
        "r2": sk.r2_score(label, prediction),
    }


def delong(score, label):
    """AUC and its standard error from all pairs."""
    pos, neg = score[label], score[~label]
    wins = (pos[:, None] > neg[None, :]) + 0.5 * (pos[:, None] == neg[None, :])
    variance = wins.mean(1).var(ddof=1) / len(pos) + wins.mean(0).var(ddof=1) / len(neg)
    return [sk.roc_auc_score(label, score), np.sqrt(variance)]


def binary_cases():
    for digits in (12, 1):
        label = rng.uniform(size=300) < 0.3
        score = np.round(np.clip(rng.beta(2, 3, 300) + 0.2 * label, 0.001, 0.999), digits)
        score = np.clip(score, 0.0, 1.0)
        decision = score >= 0.5
        tp, wrong = (decision & label).sum(), (decision != label).sum()
        f1 = sk.f1_score(label, decision)
        a = np.array([tp, wrong, len(label) - tp - wrong]) / len(label)
        gradient = np.array([2 * a[1], -2 * a[0], 0]) / (2 * a[0] + a[1]) ** 2
        covariance = (np.diag(a) - np.outer(a, a)) / len(label)
        yield {
            "score": score.tolist(),
            "label": label.tolist(),
            "accuracy": sk.accuracy_score(label, decision),
            "precision": sk.precision_score(label, decision),
            "recall": sk.recall_score(label, decision),
            "f1": [f1, np.sqrt(gradient @ covariance @ gradient)],
            "log_loss": sk.log_loss(label, score),
            "brier": sk.brier_score_loss(label, score),
            "auc": delong(score, label),
        }


def multiclass_cases():
    actual, predicted = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    predicted = np.where(rng.uniform(size=200) < 0.5, actual, predicted)
    probability = rng.dirichlet([1] * 4, 200)
    yield {
        "actual": actual.tolist(),
        "predicted": predicted.tolist(),
        "probability_of_actual": probability[np.arange(200), actual].tolist(),
        "accuracy": sk.accuracy_score(actual, predicted),
        "macro_f1": sk.f1_score(actual, predicted, average="macro"),
        "log_loss": sk.log_loss(actual, probability),
    }


def clustered_cases():
    for rows, groups in ((60, 3), (400, 14), (1000, 40)):
        cluster = rng.integers(0, groups, rows)
        a = rng.gamma(2, 3, rows) + rng.normal(0, 1, groups)[cluster]
        b = a + rng.normal(0.2, 1, rows) + rng.normal(0, 0.3, groups)[cluster]
        fit = sm.OLS(a - b, np.ones(rows)).fit(cov_type="cluster", cov_kwds={"groups": cluster}, use_t=True)
        count = len(np.unique(cluster))
        t = fit.params[0] / fit.bse[0]
        lower, upper = fit.conf_int(0.1)[0]
        yield {
            "a": a.tolist(),
            "b": b.tolist(),
            "cluster": cluster.tolist(),
            "difference": fit.params[0],
            "standard_error": fit.bse[0],
            "interval_90": [lower, upper],
            "p_a_better": stats.t.cdf(t, count - 1),
            "p_b_better": stats.t.sf(t, count - 1),
        }


def fairness_cases():
    """Only tables in which every rate of every group is defined: elsewhere fairlearn puts 0 for 0/0."""
    for groups, rows in ((2, 300), (4, 900), (6, 2500)):
        group = rng.integers(0, groups, rows)
        label = rng.uniform(size=rows) < 0.3 + 0.05 * group
        decision = np.where(rng.uniform(size=rows) < 0.7, label, rng.uniform(size=rows) < 0.4 + 0.04 * group)
        name = np.array([f"g{g}" for g in group])
        both = {"y_true": label, "y_pred": decision, "sensitive_features": name}
        rates = fl.MetricFrame(
            metrics={
                "selection": fl.selection_rate,
                "true_positive": fl.true_positive_rate,
                "false_positive": fl.false_positive_rate,
                "false_negative": fl.false_negative_rate,
                "positive_predictive": sk.precision_score,
                "accuracy": sk.accuracy_score,
            },
            **both,
        )
        yield {
            "group": name.tolist(),
            "predicted": decision.astype(bool).tolist(),
            "actual": label.tolist(),
            "difference": rates.difference().to_dict(),
            "ratio": rates.ratio().to_dict(),
            "demographic_parity_difference": fl.demographic_parity_difference(**both),
            "demographic_parity_ratio": fl.demographic_parity_ratio(**both),
            "equal_opportunity_difference": fl.equal_opportunity_difference(**both),
            "equalized_odds_difference": fl.equalized_odds_difference(**both),
            "equalized_odds_ratio": fl.equalized_odds_ratio(**both),
        }


def group_error_cases():
    group = rng.integers(0, 2, 400)
    label = rng.normal(0, 2, 400)
    prediction = label + rng.normal(0, 1 + 0.3 * group) + 0.2 * group
    a, b = [(prediction - label)[group == g] for g in (0, 1)]
    if a.mean() < b.mean():
        a, b = b, a
    test = stats.ttest_ind(a, b, equal_var=False)
    interval = test.confidence_interval(0.95)
    yield {
        "group": [f"g{g}" for g in group],
        "prediction": prediction.tolist(),
        "label": label.tolist(),
        "difference": a.mean() - b.mean(),
        "interval": [interval.low, interval.high],
        "p": test.pvalue,
    }


def row_cases():
    """Whole rows: the same columns, moved, and turned against each other."""
    for name, shift, together in (("equal", 0, 0.8), ("moved", 0.7, 0.8), ("turned", 0, -0.8)):
        covariance = lambda r: [[1, r, 0], [r, 1, 0], [0, 0, 4]]
        x = rng.multivariate_normal([0, 0, 0], covariance(0.8), 40).round(3)
        y = rng.multivariate_normal([shift, 0, 0], covariance(together), 30).round(3)
        squared = lambda a, b: ((a[:, None] - b[None]) ** 2).sum(-1)
        xx, yy, xy = squared(x, x), squared(y, y), squared(x, y)
        n, m, gamma = len(x), len(y), 0.3
        k = [np.exp(-gamma * part) for part in (xx, yy, xy)]
        both = np.vstack([x, y])
        scaled = lambda rows: (rows - x.mean(0)) / x.std(0)
        value, vector = np.linalg.eigh(np.cov(scaled(x), rowvar=False))
        value, vector = value[::-1], vector[:, ::-1]
        kept = int(np.searchsorted(np.cumsum(value) / value.sum(), 0.65) + 1)
        plane = vector[:, :kept] @ vector[:, :kept].T
        error = lambda rows: np.linalg.norm(scaled(rows) - scaled(rows) @ plane, axis=1).mean()
        yield {
            "name": name,
            "columns": 3,
            "reference": x.ravel().tolist(),
            "current": y.ravel().tolist(),
            "gamma": gamma,
            "unbiased": (k[0].sum() - n) / (n * (n - 1)) + (k[1].sum() - m) / (m * (m - 1)) - 2 * k[2].mean(),
            "biased": k[0].mean() + k[1].mean() - 2 * k[2].mean(),
            "energy": 2 * np.sqrt(xy).mean() - np.sqrt(xx).mean() - np.sqrt(yy).mean(),
            "median": np.median(squared(both, both)[np.triu_indices(n + m, 1)]),
            "explained": (value / value.sum()).tolist(),
            "kept": kept,
            "error": [error(x), error(y)],
        }


cases = {
    "samples": sample_cases,
    "counts": count_cases,
    "proportions": proportion_cases,
    "adjust": adjust_cases,
    "regression": regression_cases,
    "binary": binary_cases,
    "multiclass": multiclass_cases,
    "clustered": clustered_cases,
    "fairness": fairness_cases,
    "group_errors": group_error_cases,
    "few_samples": few_sample_cases,
    "rows": row_cases,
}
# One case a line, so that a change shows as one.
out = []
for kind, make in cases.items():
    lines = ",\n".join("  " + json.dumps(case, default=float) for case in make())
    out.append(f'"{kind}": [\n{lines}\n]')
sys.stdout.write("{\n" + ",\n".join(out) + "\n}\n")
