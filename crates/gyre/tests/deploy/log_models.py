"""Logs models with MLflow's own client, and says what they predict themselves. Argument: the server's URL."""

import json
import sys

import mlflow
import pandas as pd
import xgboost
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

mlflow.set_tracking_uri(sys.argv[1])
flats = pd.DataFrame({"size": [float(20 + 7 * i % 111) for i in range(80)], "rooms": [float(1 + i % 5) for i in range(80)]})
price = flats["size"] * 3 + flats["rooms"] * 11
dear = (price > 240).astype(int)
ask = flats.head(12)


def logged(log, model, **options):
    """The id of the run, and what the model predicts as MLflow loads it."""
    with mlflow.start_run() as run:
        signature = infer_signature(flats, model.predict(flats))
        # Given, so that no time is spent on finding them out.
        info = log(model, signature=signature, pip_requirements=["scikit-learn", "xgboost-cpu", "cloudpickle"], **options)
    return {"run": run.info.run_id, "said": mlflow.pyfunc.load_model(info.model_uri).predict(ask).tolist()}


forest = RandomForestRegressor(7, random_state=0).fit(flats, price)
trees = xgboost.XGBClassifier(n_estimators=9).fit(flats, dear)
line = LinearRegression().fit(flats, price)
trusted = ["sklearn.tree._tree.Tree"]
answer = {
    "rows": ask.values.tolist(),
    "forest": logged(mlflow.sklearn.log_model, forest, name="forest", registered_model_name="forest",
                     serialization_format="skops", skops_trusted_types=trusted),
    "trees": logged(mlflow.xgboost.log_model, trees, name="trees", registered_model_name="trees"),
    "line": logged(mlflow.sklearn.log_model, line, name="line", serialization_format="cloudpickle"),
}
mlflow.MlflowClient().set_registered_model_alias("trees", "best", 1)
print(json.dumps(answer))
