"""A scikit-learn pipeline, kept as MLflow keeps it: a pickle with its signature, for `mlflow models serve`."""

import sys

import mlflow.sklearn
import pandas as pd
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

flats = pd.read_csv("flats.csv")
# Numbers come over the wire as doubles, and MLflow would refuse them for a column of integers.
features = flats[["size", "rooms", "district"]].astype({"size": float, "rooms": float})
encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["district"]), remainder="passthrough")
model = make_pipeline(encoder, GradientBoostingRegressor(random_state=0))
model.fit(features, flats["price"])

mlflow.sklearn.save_model(
    model,
    sys.argv[1] if len(sys.argv) > 1 else "sklearn-model",
    signature=infer_signature(features, model.predict(features)),
    serialization_format="cloudpickle",
    # Given, so that nothing is loaded to find them out; `--env-manager local` does not install them.
    pip_requirements=["scikit-learn", "cloudpickle", "pandas"],
)
