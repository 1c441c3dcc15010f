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


def sample_cases():
    for name, a, b in samples():
        x, y = a[~np.isnan(a)], b[~np.isnan(b)]
        d = stats.ks_2samp(x, y, method="asymp").statistic
        n, m = len(x), len(y)
        finite = np.isfinite(x).all() and np.isfinite(y).all()
        yield {
            "name": name,
            "reference": [repr(float(v)) for v in a],
            "current": [repr(float(v)) for v in b],
            "ks": d,
            "ks_p": special.kolmogorov(np.sqrt(n * m / (n + m)) * d),
            "wasserstein": stats.wasserstein_distance(x, y) if finite else None,
        }


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
        yield {"p": p.tolist(), "benjamini_hochberg": bh.tolist(), "holm": multipletests(p, method="holm")[1].tolist()}


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
}
# One case a line, so that a change shows as one.
out = []
for kind, make in cases.items():
    lines = ",\n".join("  " + json.dumps(case, default=float) for case in make())
    out.append(f'"{kind}": [\n{lines}\n]')
sys.stdout.write("{\n" + ",\n".join(out) + "\n}\n")
