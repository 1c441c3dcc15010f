"""Trains the model of flights' air time with scikit-learn and leaves it as ONNX.

This is the `train` stage of dvc.yaml, an ordinary script that knows nothing of gyre: what it reads and writes stands on its
command line, and which columns are features stands below.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

TARGET = "air_time_min"
TEXT = ["carrier", "origin", "dest"]
NUMBERS = ["distance_miles", "hour", "dow"]


def read(path):
    """Features and target of the rows that have one."""
    table = pd.read_parquet(path, columns=[*TEXT, *NUMBERS, TARGET]).dropna(subset=[TARGET])
    return table[TEXT].astype(object).join(table[NUMBERS].astype(np.float32)), table[TARGET]


def fit(features, target):
    """Gradient-boosted trees on the columns as they are; a category never seen is one of its own."""
    columns = ColumnTransformer([
        ("text", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), TEXT),
        ("numbers", "passthrough", NUMBERS),
    ])
    # The absolute error is what the model is judged by, and it lets single flights that circled weigh less.
    model = HistGradientBoostingRegressor(loss="absolute_error", max_iter=100, random_state=0)
    return Pipeline([("columns", columns), ("model", model)]).fit(features, target)


def measure(model, features, target):
    """How wrong the model is, in minutes; without rows there is only their number."""
    if target.empty:
        return {"rows": 0}
    error = model.predict(features) - target
    return {
        "rows": len(target),
        "mae": round(float(error.abs().mean()), 4),
        "rmse": round(float(np.sqrt((error**2).mean())), 4),
    }


def export(model):
    """The model as ONNX, each column an input of its own by its name."""
    inputs = [(name, StringTensorType([None, 1])) for name in TEXT]
    inputs += [(name, FloatTensorType([None, 1])) for name in NUMBERS]
    return to_onnx(model, initial_types=inputs).SerializeToString()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--train", type=Path, required=True, help="rows to learn from (Parquet)")
    parser.add_argument("--holdout", type=Path, help="rows to be measured on beside them (Parquet)")
    parser.add_argument("--out", type=Path, required=True, help="where the model goes (ONNX)")
    parser.add_argument("--metrics", type=Path, required=True, help="where its errors go (JSON)")
    options = parser.parse_args()

    features, target = read(options.train)
    model = fit(features, target)
    metrics = {"train": measure(model, features, target)}
    if options.holdout:
        metrics["holdout"] = measure(model, *read(options.holdout))

    for path in (options.out, options.metrics):
        path.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(export(model))
    options.metrics.write_text(json.dumps(metrics, indent=2) + "\n")


if __name__ == "__main__":
    main()
