"""The whole way of an MLflow user, with whichever client is installed: tracking, model, registry, serving, comparison."""

import json
import math
import os
import sys
import tempfile

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

three = int(mlflow.__version__.split(".")[0]) >= 3
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
os.environ["GIT_PYTHON_REFRESH"] = "quiet"
mlflow.set_tracking_uri(sys.argv[1])
client = MlflowClient()


def refused(code, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except MlflowException as error:
        assert error.error_code == code, (error.error_code, code, str(error))
        return
    raise AssertionError(f"not refused: {call} {args} {kwargs}")


# Experiments
name = f"diabetes-{mlflow.__version__}"
experiment = mlflow.set_experiment(name)
client.set_experiment_tag(experiment.experiment_id, "team", "science")
assert client.get_experiment_by_name(name).tags["team"] == "science"
assert [e.name for e in client.search_experiments(filter_string=f"name = '{name}'")] == [name]
refused("RESOURCE_ALREADY_EXISTS", client.create_experiment, name)
refused("RESOURCE_DOES_NOT_EXIST", client.get_experiment, "987654")

# Autologging, a model, its metrics
data = load_diabetes()
X, y = data.data, data.target
mlflow.sklearn.autolog(log_datasets=True)
runs = []
for alpha in (0.01, 0.1, 1.0):
    with mlflow.start_run(run_name=f"ridge-{alpha}") as run:
        model = Ridge(alpha=alpha).fit(X, y)
        mlflow.log_metric("mae", float(np.abs(model.predict(X) - y).mean()))
        for step in range(5):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metric("nothing", float("nan"))
        mlflow.set_tag("stage", "try")
        runs.append(run.info.run_id)
mlflow.sklearn.autolog(disable=True)
logged = client.get_run(runs[1])
assert logged.info.status == "FINISHED" and logged.info.run_name == "ridge-0.1"
assert logged.data.params["alpha"] == "0.1" and logged.data.metrics["loss"] == 0.2
assert math.isnan(logged.data.metrics["nothing"])
assert "training_score" in logged.data.metrics, logged.data.metrics
assert logged.inputs.dataset_inputs, logged.inputs
assert [m.step for m in client.get_metric_history(runs[1], "loss")] == [0, 1, 2, 3, 4]
assert "estimator.html" in [f.path for f in client.list_artifacts(runs[1])], client.list_artifacts(runs[1])

# Comparison
frame = mlflow.search_runs(
    [experiment.experiment_id], "params.alpha != '1.0' and metrics.loss < 0.5", order_by=["metrics.mae ASC"]
)
assert list(frame.run_id) == runs[:2], frame
assert list(frame["params.alpha"]) == ["0.01", "0.1"]
pages = client.search_runs([experiment.experiment_id], max_results=2)
assert len(pages) == 2 and pages.token
assert len(client.search_runs([experiment.experiment_id], max_results=2, page_token=pages.token)) == 1
refused("INVALID_PARAMETER_VALUE", client.search_runs, [experiment.experiment_id], "metrics.a > 1 OR metrics.b > 1")
refused("INVALID_PARAMETER_VALUE", client.search_runs, [experiment.experiment_id], "", page_token="forged")
refused("INVALID_PARAMETER_VALUE", client.log_param, runs[0], "alpha", "other")

# Nested runs, artifacts, deletion
with mlflow.start_run() as parent:
    mlflow.log_text("hällo", "notes/a b.txt")
    mlflow.log_dict({"a": 1}, "config.json")
    with mlflow.start_run(nested=True) as child:
        mlflow.log_param("depth", 1)
assert client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == parent.info.run_id
with tempfile.TemporaryDirectory() as folder:
    local = client.download_artifacts(parent.info.run_id, "notes/a b.txt", folder)
    assert open(local, encoding="utf-8").read() == "hällo"
assert mlflow.artifacts.load_dict(f"runs:/{parent.info.run_id}/config.json") == {"a": 1}
client.delete_run(child.info.run_id)
assert child.info.run_id not in [r.info.run_id for r in client.search_runs([experiment.experiment_id])]
refused("INVALID_PARAMETER_VALUE", client.log_metric, child.info.run_id, "late", 1.0)
client.restore_run(child.info.run_id)

# Model, registry, alias, serving
with mlflow.start_run() as run:
    model = Ridge(alpha=0.1).fit(X, y)
    words = {"name": "model"} if three else {"artifact_path": "model"}
    info = mlflow.sklearn.log_model(model, input_example=X[:2], registered_model_name=name, **words)
version = client.get_model_version(name, "1")
assert version.run_id == run.info.run_id and version.status == "READY", version
client.set_registered_model_alias(name, "champion", "1")
client.set_model_version_tag(name, "1", "checked", "yes")
client.update_model_version(name, "1", description="the first")
loaded = mlflow.pyfunc.load_model(f"models:/{name}@champion")
np.testing.assert_allclose(loaded.predict(X), model.predict(X))
np.testing.assert_allclose(mlflow.sklearn.load_model(info.model_uri).predict(X), model.predict(X))
second = mlflow.register_model(info.model_uri, name)
assert second.version in ("2", 2), second
client.set_registered_model_alias(name, "champion", "2")
assert client.get_model_version_by_alias(name, "champion").version == second.version
assert [m.name for m in client.search_registered_models(f"name = '{name}'")] == [name]
assert sorted(int(v.version) for v in client.search_model_versions(f"name = '{name}'")) == [1, 2]
client.delete_registered_model_alias(name, "champion")
client.delete_model_version(name, "1")
refused("RESOURCE_DOES_NOT_EXIST", client.get_model_version, name, "1")

if three:
    model_id = info.model_id
    found = mlflow.search_logged_models(experiment_ids=[experiment.experiment_id], output_format="list")
    assert model_id in [m.model_id for m in found]
    assert mlflow.get_logged_model(model_id).status.name == "READY"

print(json.dumps({"client": mlflow.__version__, "name": name, "features": X[:2].tolist(), "expected": model.predict(X[:2]).tolist()}))
