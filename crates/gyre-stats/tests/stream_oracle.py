"""Regenerates stream_oracle.json, the values at which the detectors of tests/stream_oracle.rs must fire.

    pip install river==0.26.1 numpy scipy
    python stream_oracle.py > stream_oracle.json

Only what is expected is stored: the streams are made of SplitMix64 by sums and products alone, so that the Rust test
makes the same ones to the last bit. River gives the indices of all detectors but two: its KSWIN is random, so here the
newest values are compared with all the older ones by scipy's exact test; and it has no CUSUM, so here is the textbook's.
"""

import json
import sys

from river import drift
from river.drift import binary
from scipy import stats

LENGTH = 3_000
MASK = (1 << 64) - 1


class Random:
    def __init__(self, seed):
        self.state = seed

    def uniform(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return ((z ^ (z >> 31)) >> 11) / (1 << 53)


def streams():
    """Name, whether its values are errors, values."""
    half = LENGTH // 2
    after = lambda at: 1.0 if at >= half else 0.0
    ramp = lambda at: min(max((at - half) / half, 0.0), 1.0)

    def errors(seed, rate):
        random = Random(seed)
        return [1.0 if random.uniform() < rate(at) else 0.0 for at in range(LENGTH)]

    def values(seed, scale, shift):
        random = Random(seed)
        bell = lambda: random.uniform() + random.uniform() + random.uniform() + random.uniform() - 2.0
        return [bell() * scale(at) + shift(at) for at in range(LENGTH)]

    def autoregression(seed):
        random, value, out = Random(seed), 0.0, []
        for _ in range(LENGTH):
            value = 0.9 * value + (random.uniform() - 0.5)
            out.append(value)
        return out

    one, none = (lambda at: 1.0), (lambda at: 0.0)
    yield "errors unchanged", True, errors(1, lambda at: 0.2)
    yield "errors doubled", True, errors(2, lambda at: 0.2 + 0.2 * after(at))
    yield "errors halved", True, errors(3, lambda at: 0.4 - 0.2 * after(at))
    yield "errors rising", True, errors(4, lambda at: 0.05 + 0.25 * ramp(at))
    yield "errors always", True, [1.0] * 300
    yield "errors never", True, [0.0] * 300
    yield "values unchanged", False, values(5, one, none)
    yield "values shifted", False, values(6, one, lambda at: 0.3 * after(at))
    yield "values spread", False, values(7, lambda at: 1.0 + 2.0 * after(at), none)
    yield "values rising", False, values(8, one, lambda at: 1.5 * ramp(at))
    yield "values with outliers", False, values(9, one, lambda at: 20.0 if at % 250 == 0 else 0.0)
    yield "values autoregressive", False, autoregression(10)
    yield "values constant", False, [3.25] * 300


class Kswin:
    drift_detected = False

    def __init__(self, alpha, window_size, stat_size):
        self.alpha, self.size, self.newest, self.window = alpha, window_size, stat_size, []

    def update(self, value):
        self.window = (self.window + [value])[-self.size :]
        self.drift_detected = False
        if len(self.window) == self.size:
            test = stats.ks_2samp(self.window[: -self.newest], self.window[-self.newest :], method="exact")
            self.drift_detected = bool(test.pvalue <= self.alpha and test.statistic > 0.1)
            if self.drift_detected:
                self.window = self.window[-self.newest :]


class Cusum:
    drift_detected = False

    def __init__(self, target, deviation, k, h, direction):
        self.at = (target, deviation, k, h, direction)
        self.above = self.below = 0.0

    def update(self, value):
        target, deviation, k, h, direction = self.at
        z = (value - target) / deviation
        self.above, self.below = max(0.0, self.above + z - k), max(0.0, self.below - z - k)
        risen, fallen = self.above > h and direction != "down", self.below > h and direction != "up"
        self.drift_detected = risen or fallen
        if self.drift_detected:
            self.above = self.below = 0.0


RENAMED = {"direction": "mode", "two_sided": "two_sided_test", "lambda": "lambda_val"}
OF_VALUES = {"adwin": drift.ADWIN, "page_hinkley": drift.PageHinkley}
OF_ERRORS = {"ddm": binary.DDM, "eddm": binary.EDDM, "hddm_a": binary.HDDMA, "hddm_w": binary.HDDMW, "fhddm": binary.FHDDM}
OWN = {"kswin": Kswin, "cusum": Cusum}
SETTINGS = [
    ("adwin", {}),
    ("adwin", {"delta": 0.05}),
    ("adwin", {"delta": 0.3, "clock": 1, "max_buckets": 3, "min_window_length": 10, "grace_period": 60}),
    ("page_hinkley", {}),
    ("page_hinkley", {"threshold": 10.0, "direction": "up", "min_instances": 100}),
    ("page_hinkley", {"threshold": 8.0, "direction": "down"}),
    ("page_hinkley", {"threshold": 20.0, "delta": 0.05, "alpha": 1.0}),
    ("cusum", {"target": 0.2, "deviation": 0.4, "k": 0.5, "h": 5.0, "direction": "both"}),
    ("cusum", {"target": 0.0, "deviation": 0.6, "k": 0.25, "h": 8.0, "direction": "up"}),
    ("kswin", {"alpha": 0.005, "window_size": 100, "stat_size": 30}),
    ("kswin", {"alpha": 0.0001, "window_size": 60, "stat_size": 30}),
    ("ddm", {}),
    ("ddm", {"warm_start": 100, "warning_threshold": 1.5, "drift_threshold": 4.0}),
    ("eddm", {}),
    ("eddm", {"warm_start": 50, "alpha": 0.85, "beta": 0.75}),
    ("hddm_a", {}),
    ("hddm_a", {"two_sided": True, "drift_confidence": 0.01, "warning_confidence": 0.05}),
    ("hddm_w", {}),
    ("hddm_w", {"two_sided": True, "lambda": 0.1}),
    ("fhddm", {}),
    ("fhddm", {"sliding_window_size": 60, "confidence_level": 0.01, "short_window_size": 20}),
    ("fhddm", {"sliding_window_size": 40, "confidence_level": 0.05, "short_window_size": 40}),
]


def run(name, settings, values):
    if name in OWN:
        detector = OWN[name](**settings)
    else:
        settings = {RENAMED.get(key, key): value for key, value in settings.items()}
        detector = {**OF_VALUES, **OF_ERRORS}[name](**settings)
    changes, warnings, windows = [], [], []
    for at, value in enumerate(values):
        detector.update(int(value) if name in OF_ERRORS else value)
        if detector.drift_detected:
            changes.append(at)
        elif getattr(detector, "warning_detected", False):
            warnings.append(at)
        if name == "adwin" and at % 500 == 499:
            windows.append([detector.width, detector.estimation, detector.variance / detector.width])
    # Of the warnings, of which there are thousands: how many, and the sum of their indices.
    return {"changes": changes, "warnings": [len(warnings), sum(warnings)], "windows": windows}


def main():
    cases = []
    for stream, errors, values in streams():
        for name, settings in SETTINGS:
            if (name in OF_ERRORS and not errors) or (name == "kswin" and errors):
                continue
            cases.append({"stream": stream, "detector": name, "settings": settings, **run(name, settings, values)})
    sys.stdout.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


main()
