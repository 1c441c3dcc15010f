#!/usr/bin/env python3
"""Performance estimated without labels, beside NannyML: by window, how far the estimate is from what came true.

Sets: those that ship with NannyML with a model's answers (four binary ones, one of three classes, one regression); the census (boosted
trees on 2015, reference 2016, windows of 2017 and 2018) and the flights (the air time by boosted trees on January to March,
reference April to June, windows of July to December). Features, answers and labels are the same for both; NannyML estimates by CBPE or
DLE with its defaults, gyre by its counterparts, and by PAPE, which weights the reference like the window. "unchanged" says that
the reference's own performance goes on, which anybody can say.

    cargo build --release -p gyre-estimate --example estimate_csv
    python3 -m venv ENV && ENV/bin/pip install 'nannyml==0.13.1' 'pandas<3' 'numpy<2' 'pyarrow<21'
    ENV/bin/python bench/estimate.py --data FOLDER [--example PATH] [SET …]

FOLDER has census.parquet and flights.parquet; without it these two are left out.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

import lightgbm
os.environ.setdefault("NML_DISABLE_USAGE_LOGGING", "1")
import nannyml
import numpy as np
import pandas as pd
from sklearn import metrics as truth

warnings.filterwarnings("ignore")
ROOT = pathlib.Path(__file__).resolve().parent.parent
SHIPPED = pathlib.Path(nannyml.__file__).parent / "datasets" / "data"


class Set:
    """Reference and windows in one form: features, `__score`s, `__decision`, `__label`."""

    def __init__(self, kind, reference, windows, features, rows):
        self.kind, self.reference, self.windows, self.features, self.rows = kind, reference, windows, features, rows


def read(name):
    path = SHIPPED / name
    return pd.read_parquet(path) if path.suffix == ".pq" else pd.read_csv(path)


def shipped(kind, reference, analysis, target, label, score, decision, drop, rows):
    before, after = read(reference), read(analysis)
    after = after.merge(read(target), on="id")
    features = [c for c in before.columns if c not in [label, decision, *drop] and not c.startswith(score)]
    frames = []
    for frame in (before, after):
        made = frame[features].copy()
        for column in [c for c in frame.columns if c.startswith(score)] if kind == "multiclass" else [score]:
            made["__score" + column.removeprefix(score)] = frame[column]
        made["__decision"], made["__label"] = frame[decision if kind != "regression" else score], frame[label]
        frames.append(made)
    return Set(kind, *frames, features, rows)


def census(folder):
    rows = pd.read_parquet(folder / "census.parquet").drop(columns="person_id")
    features = [c for c in rows.columns if c not in ("employed", "year")]
    train = rows[rows.year == 2015]
    model = lightgbm.LGBMClassifier(random_state=0, verbose=-1).fit(train[features], train.employed)
    frames = []
    for frame in (rows[rows.year == 2016], rows[rows.year > 2016]):
        made = frame[features].reset_index(drop=True)
        made["__score"] = model.predict_proba(frame[features])[:, 1]
        made["__decision"], made["__label"] = (made["__score"] >= 0.5).astype(int), frame.employed.to_numpy()
        frames.append(made)
    return Set("binary", *frames, features, 5_000)


def flights(folder):
    rows = pd.read_parquet(folder / "flights.parquet").dropna(subset="air_time_min").sort_values("scheduled_departure")
    when = pd.to_datetime(rows.scheduled_departure)
    rows["hour"], rows["weekday"], month = when.dt.hour, when.dt.dayofweek, when.dt.month
    features = ["carrier", "origin", "dest", "distance_miles", "hour", "weekday"]
    coded = rows[features].astype({c: "category" for c in ("carrier", "origin", "dest")})
    model = lightgbm.LGBMRegressor(random_state=0, verbose=-1, objective="mae").fit(coded[month <= 3], rows.air_time_min[month <= 3])
    frames = []
    for part in ((month > 3) & (month <= 6), month > 6):
        made = rows[part][features].reset_index(drop=True)
        made["__score"] = model.predict(coded[part])
        made["__decision"], made["__label"] = made["__score"], rows.air_time_min[part].to_numpy()
        frames.append(made)
    return Set("regression", *frames, features, 5_000)


SETS = {
    "car loan": lambda _: shipped("binary", "synthetic_car_loan_reference.csv", "synthetic_car_loan_analysis.csv",
        "synthetic_car_loan_analysis_target.csv", "repaid", "y_pred_proba", "y_pred", ["id", "timestamp"], 5_000),
    "work from home": lambda _: shipped("binary", "synthetic_sample_reference.csv", "synthetic_sample_analysis.csv",
        "synthetic_sample_analysis_gt.csv", "work_home_actual", "y_pred_proba", "y_pred", ["id", "timestamp", "period"], 5_000),
    "employment MA": lambda _: shipped("binary", "employment_MA_reference.pq", "employment_MA_analysis.pq",
        "employment_MA_analysis_target.pq", "employed", "predicted_probability", "prediction", ["id", "year"], 5_000),
    "housing": lambda _: shipped("binary", "california_housing_reference.csv", "california_housing_analysis.csv",
        "california_housing_analysis_gt.csv", "clf_target", "y_pred_proba", "y_pred", ["id", "timestamp"], 800),
    "credit cards (3 classes)": lambda _: shipped("multiclass", "mc_reference.csv", "mc_analysis.csv", "mc_analysis_gt.csv",
        "y_true", "y_pred_proba_", "y_pred", ["id", "timestamp"], 6_000),
    "car price (regression)": lambda _: shipped("regression", "regression_synthetic_reference.csv",
        "regression_synthetic_analysis.csv", "regression_synthetic_analysis_targets.csv", "y_true", "y_pred", "y_pred",
        ["id", "timestamp"], 5_000),
    "census": census,
    "flights (regression)": flights,
}
METRICS = {"binary": ["roc_auc", "f1", "accuracy"], "multiclass": ["roc_auc", "f1", "accuracy"], "regression": ["mae", "rmse"]}


def came_true(kind, rows):
    label, decision = rows["__label"], rows["__decision"]
    if kind == "regression":
        return {"mae": truth.mean_absolute_error(label, decision), "rmse": truth.mean_squared_error(label, decision) ** 0.5}
    if kind == "binary":
        area = truth.roc_auc_score(label, rows["__score"])
        return {"roc_auc": area, "f1": truth.f1_score(label, decision), "accuracy": truth.accuracy_score(label, decision)}
    scores = sorted(c for c in rows.columns if c.startswith("__score"))
    names = [c.removeprefix("__score") for c in scores]
    area = truth.roc_auc_score(label, rows[scores], multi_class="ovr", average="macro", labels=names)
    return {"roc_auc": area, "f1": truth.f1_score(label, decision, average="macro"), "accuracy": truth.accuracy_score(label, decision)}


def peer(of):
    wanted = METRICS[of.kind]
    size = {"chunk_size": of.rows}
    if of.kind == "regression":
        estimator = nannyml.DLE(of.features, y_pred="__score", y_true="__label", metrics=wanted, **size)
    elif of.kind == "binary":
        estimator = nannyml.CBPE(metrics=wanted, y_pred="__decision", y_pred_proba="__score", y_true="__label",
            problem_type="classification_binary", **size)
    else:
        scores = {c.removeprefix("__score"): c for c in of.reference.columns if c.startswith("__score")}
        estimator = nannyml.CBPE(metrics=wanted, y_pred="__decision", y_pred_proba=scores, y_true="__label",
            problem_type="classification_multiclass", **size)
    begun = time.perf_counter()
    estimator.fit(of.reference)
    fitted = time.perf_counter()
    found = estimator.estimate(of.windows.drop(columns="__label"))
    took = (fitted - begun, time.perf_counter() - fitted)
    table = found.filter(period="analysis").to_df()
    return {metric: table[(metric, "value")].tolist() for metric in wanted}, took


def ours(of, example, folder):
    paths = []
    for name, frame in (("reference", of.reference), ("windows", of.windows)):
        path = pathlib.Path(folder) / f"{name}.csv"
        frame = frame.copy()
        for column in frame.select_dtypes(["object", "category"]):
            frame[column] = frame[column].astype(str).where(frame[column].notna(), "").str.replace(",", ";")
        for column in frame.select_dtypes("bool"):
            frame[column] = frame[column].map({True: "yes", False: "no"})
        frame.to_csv(path, index=False)
        paths.append(str(path))
    done = subprocess.run([example, of.kind, *paths, str(of.rows)], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]

    def values(of_line):
        return {metric: [of_line(line).get(metric, {}).get("value", float("nan")) for line in lines] for metric in METRICS[of.kind]}

    if of.kind == "regression":
        return {"DLE": values(lambda line: line["dle"])}, done.stderr
    return {"CBPE": values(lambda line: line["cbpe"]), "PAPE": values(lambda line: line["pape"].get("metrics", {}))}, done.stderr


def error(estimates, came):
    return {metric: float(np.mean(np.abs(np.array(found) - np.array([c[metric] for c in came])))) for metric, found in estimates.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--example", default=str(ROOT / "target" / "release" / "examples" / "estimate_csv"))
    parser.add_argument("sets", nargs="*", default=[])
    arguments = parser.parse_args()
    print("| set, windows | metric | gyre | gyre PAPE | NannyML | unchanged |\n| --- | --- | --- | --- | --- | --- |")
    for name, make in SETS.items():
        if (arguments.sets and name not in arguments.sets) or (make in (census, flights) and not arguments.data):
            continue
        of = make(arguments.data)
        chunks = [of.windows.iloc[at : at + of.rows] for at in range(0, len(of.windows), of.rows)]
        # The last window of NannyML takes in rows that do not fill one of their own: windows are whole ones only.
        of.windows = of.windows.iloc[: len(of.windows) // of.rows * of.rows]
        chunks = [chunk for chunk in chunks if len(chunk) == of.rows]
        came = [came_true(of.kind, chunk) for chunk in chunks]
        theirs, took = peer(of)
        with tempfile.TemporaryDirectory() as folder:
            mine, said = ours(of, arguments.example, folder)
        usual = came_true(of.kind, of.reference)
        columns = [*({k: error(v, came) for k, v in mine.items()}.values())]
        columns += [{}] * (2 - len(columns)) + [error(theirs, came), error({m: [usual[m]] * len(came) for m in usual}, came)]
        for metric in METRICS[of.kind]:
            cells = " | ".join(f"{column[metric]:.4g}" if metric in column else "" for column in columns)
            print(f"| {name}, {len(came)} of {of.rows:,} | {metric} | {cells} |", flush=True)
        print(f"{name}: NannyML fit {took[0]:.2f} s, estimate {took[1]:.2f} s; gyre {said.strip()}", file=sys.stderr)


if __name__ == "__main__":
    main()
