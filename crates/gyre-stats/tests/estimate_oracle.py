"""Regenerates estimate_oracle.json, the values that tests/estimate_oracle.rs checks gyre_stats::estimate against.

    pip install numpy scipy scikit-learn
    python estimate_oracle.py > estimate_oracle.json

Isotonic curves come from scikit-learn; expected metrics are the formulas written out with numpy. Their sampling errors are
found without any: labels are drawn many times from the probabilities, and the metric that comes true is computed each time.
Inputs are seeded; the file is the same on every run.
"""

import json
import sys

import numpy as np
from scipy import stats
from sklearn.isotonic import IsotonicRegression

rng = np.random.default_rng(20240817)


def numbers(values):
    return [float(v) for v in values]


def isotonic_cases():
    n = 80
    yield "continuous", rng.normal(size=n), rng.normal(size=n), None
    x = rng.uniform(size=n)
    yield "labels", x, (rng.uniform(size=n) < x).astype(float), None
    x = rng.integers(0, 12, n) / 10
    yield "ties and weights", x, x**2 + rng.normal(0, 0.3, n), rng.uniform(0.1, 4, n)
    yield "falling", np.arange(10.0), -np.arange(10.0), None
    yield "one row", np.array([0.5]), np.array([2.0]), None
    yield "rising", np.arange(10.0), np.arange(10.0) ** 2, None


def isotonic():
    for name, x, y, w in isotonic_cases():
        at = np.concatenate([x, rng.uniform(x.min() - 1, x.max() + 1, 60)])
        curve = IsotonicRegression(out_of_bounds="clip").fit(x, y, sample_weight=w)
        yield {"name": name, "scores": numbers(x), "labels": numbers(y), "weights": None if w is None else numbers(w),
               "at": numbers(at), "curve": numbers(curve.predict(at))}


def auc(p, score, w):
    """Area under the curve of expected shares, tied scores merged."""
    order = np.argsort(-score, kind="mergesort")
    a, b = (w * p)[order], (w * (1 - p))[order]
    last = np.append(np.diff(score[order]) != 0, True)
    tpr = np.concatenate([[0], np.cumsum(a)[last] / a.sum()])
    fpr = np.concatenate([[0], np.cumsum(b)[last] / b.sum()])
    return float(np.trapezoid(tpr, fpr))


def surprise(p):
    eps = np.finfo(float).eps
    return -np.log(np.clip(p, eps, 1 - eps))


def expected(p, score, yes, w):
    tp, fp = (w * p)[yes].sum(), (w * (1 - p))[yes].sum()
    tn, fn = (w * (1 - p))[~yes].sum(), (w * p)[~yes].sum()
    mean = lambda v: float((w * v).sum() / w.sum())
    share = lambda a, b: float(a / b) if b else None
    return {
        "true_positive": tp, "false_positive": fp, "true_negative": tn, "false_negative": fn,
        "accuracy": (tp + tn) / w.sum(), "error_rate": (fp + fn) / w.sum(),
        "precision": share(tp, tp + fp), "recall": share(tp, tp + fn), "specificity": share(tn, tn + fp),
        "f1": share(2 * tp, 2 * tp + fp + fn), "roc_auc": auc(p, score, w),
        "log_loss": mean(p * surprise(score) + (1 - p) * surprise(1 - score)),
        "brier": mean(p * (1 - score) ** 2 + (1 - p) * score**2),
    }


def areas(y, score):
    """Mann-Whitney, ties counting half, for each row of labels."""
    ranks = stats.rankdata(score)
    positives = y.sum(1)
    return (y @ ranks - positives * (positives + 1) / 2) / (positives * (len(score) - positives))


def drawn(p, score, yes, draws=20_000):
    """Standard deviations of the metrics that come true."""
    y = rng.uniform(size=(draws, len(p))) < p
    tp, tn = (y & yes).sum(1), (~y & ~yes).sum(1)
    found = {
        "accuracy": (y == yes).mean(1), "precision": tp / yes.sum(), "recall": tp / y.sum(1),
        "specificity": tn / (~y).sum(1), "f1": 2 * tp / (yes.sum() + y.sum(1)), "roc_auc": areas(y, score),
        "log_loss": np.where(y, surprise(score), surprise(1 - score)).mean(1), "brier": ((y - score) ** 2).mean(1),
    }
    return {k: float(np.std(v)) for k, v in found.items()}


def binary():
    n = 300
    for name, weighted, digits in (("plain", False, 12), ("ties", False, 1), ("weights", True, 2)):
        z = rng.normal(0, 1.5, n)
        y = rng.uniform(size=n) < 1 / (1 + np.exp(-z))
        reference = np.round(1 / (1 + np.exp(-2 * z)), digits)
        score = np.round(1 / (1 + np.exp(-2 * rng.normal(0.4, 1, n))), digits)
        w = rng.uniform(0.2, 3, n) if weighted else np.ones(n)
        v = rng.uniform(0.2, 3, n) if weighted else np.ones(n)
        curve = IsotonicRegression(out_of_bounds="clip").fit(reference, y, sample_weight=v)
        yes = score >= 0.5
        group = np.clip((reference * 10).astype(int), 0, 9)
        off = sum(abs((v * (reference - y))[group == g].sum()) for g in range(10)) / v.sum()
        case = {"name": name, "reference_scores": numbers(reference), "reference_labels": [bool(b) for b in y],
                "reference_weights": numbers(v), "scores": numbers(score), "weights": numbers(w),
                "decisions": [bool(b) for b in yes], "calibration_error_10": float(off),
                "as_they_are": expected(score, score, yes, w), "isotonic": expected(curve.predict(score), score, yes, w)}
        if not weighted:
            case["drawn"] = drawn(curve.predict(score), score, yes)
        yield case


def multiclass():
    n, k = 200, 3
    def rows():
        z = rng.normal(0, 1.2, (n, k)) + [0.5, 0, -0.5]
        share = lambda z: np.exp(z) / np.exp(z).sum(1, keepdims=True)
        labels = (share(z).cumsum(1) < rng.uniform(size=(n, 1))).sum(1)
        p = np.round(share(1.7 * z), 3)
        return p, np.minimum(labels, k - 1)
    reference, labels = rows()
    p, _ = rows()
    decisions = p.argmax(1)
    columns = [IsotonicRegression(out_of_bounds="clip").fit(reference[:, c], labels == c).predict(p[:, c]) for c in range(k)]
    q = np.column_stack(columns)
    q /= q.sum(1, keepdims=True)
    one = np.ones(n)
    f1 = []
    for c in range(k):
        tp, fp, fn = q[decisions == c, c].sum(), (1 - q)[decisions == c, c].sum(), q[decisions != c, c].sum()
        f1.append(2 * tp / (2 * tp + fp + fn))
    draws = 10_000
    y = (q.cumsum(1)[None] < rng.uniform(size=(draws, n, 1))).sum(2).clip(max=k - 1)
    of_class = [2 * ((y == c) & (decisions == c)).sum(1) / ((y == c).sum(1) + (decisions == c).sum()) for c in range(k)]
    found = {"accuracy": (y == decisions).mean(1), "macro_f1": np.mean(of_class, 0),
             "macro_auc": np.mean([areas(y == c, p[:, c]) for c in range(k)], 0),
             "log_loss": surprise(p[np.arange(n), y]).mean(1)}
    yield {"name": "three classes", "classes": k, "reference_probabilities": numbers(reference.ravel()),
           "reference_labels": [int(v) for v in labels], "probabilities": numbers(p.ravel()),
           "decisions": [int(v) for v in decisions],
           "accuracy": float(q[np.arange(n), decisions].mean()), "macro_f1": float(np.mean(f1)),
           "macro_auc": float(np.mean([auc(q[:, c], p[:, c], one) for c in range(k)])),
           "log_loss": float((q * surprise(p)).sum(1).mean()), "drawn": {m: float(np.std(v)) for m, v in found.items()}}


json.dump({"isotonic": list(isotonic()), "binary": list(binary()), "multiclass": list(multiclass())}, sys.stdout,
          indent=None, separators=(",", ":"))
