"""Fills a server with what a person would then look at in MLflow's pages, and says what is where, as JSON.

fill.py TRACKING_URI
"""

import json
import os
import sys
import warnings

os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
os.environ["GIT_PYTHON_REFRESH"] = "quiet"
warnings.filterwarnings("ignore")

import mlflow  # noqa: E402
import numpy as np  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric  # noqa: E402
from sklearn.datasets import load_diabetes  # noqa: E402
from sklearn.linear_model import Ridge  # noqa: E402

mlflow.set_tracking_uri(sys.argv[1])
client = MlflowClient()
X, y = load_diabetes(return_X_y=True, as_frame=True)

client.create_experiment("empty-handed")
experiment = mlflow.set_experiment("diabetes")
client.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", "How the **disease** goes on.")

runs, models = {}, {}
for alpha in (0.1, 1.0, 10.0):
    name = f"ridge-{alpha}"
    with mlflow.start_run(run_name=name, description="A ridge regression.") as run:
        mlflow.log_params({"alpha": alpha, "solver": "svd"})
        now = run.info.start_time
        client.log_batch(run.info.run_id, [Metric("loss", 60 / (alpha * (step + 1)), now + step, step) for step in range(50)])
        model = Ridge(alpha=alpha, solver="svd").fit(X, y)
        mlflow.log_metric("mae", float(np.abs(model.predict(X) - y).mean()))
        mlflow.set_tag("team", "science")
        mlflow.log_input(mlflow.data.from_pandas(X.assign(target=y), name="patients", targets="target"), context="training")
        mlflow.log_text("The weather of Thebes.\n", "notes/readme.txt")
        mlflow.log_dict({"kept": [1, 2, 3]}, "config.json")
        mlflow.log_image(np.full((8, 8, 3), 200, dtype=np.uint8), "square.png")
        mlflow.log_table({"question": ["why", "who"], "answer": ["because", "nobody"]}, "answers.json")
        info = mlflow.sklearn.log_model(model, name="model", input_example=X.head(2))
        runs[name], models[name] = run.info.run_id, info
with mlflow.start_run(run_name="sweep") as parent, mlflow.start_run(run_name="sweep-part", nested=True) as child:
    mlflow.log_metric("mae", 50.0)
with mlflow.start_run(run_name="to be dropped") as dropped:
    mlflow.log_param("alpha", -1)
runs |= {"sweep": parent.info.run_id, "sweep-part": child.info.run_id, "to be dropped": dropped.info.run_id}

for name in ("ridge-0.1", "ridge-1.0"):
    mlflow.register_model(models[name].model_uri, "progression")
client.update_registered_model("progression", "Tells how far it has come after a year.")
client.set_registered_model_tag("progression", "owner", "ann")
client.update_model_version("progression", "1", "The first of its kind.")
client.set_model_version_tag("progression", "1", "checked", "yes")
client.set_registered_model_alias("progression", "champion", "1")

mlflow.genai.register_prompt("greet", "Hello {{name}}, how are you?", commit_message="politely")
with mlflow.start_span("ask the oracle") as span:
    span.set_inputs({"question": "what will be?"})
    with mlflow.start_span("look up", span_type="RETRIEVER") as inner:
        inner.set_outputs(["entrails"])
    span.set_outputs({"answer": "nobody knows"})
mlflow.flush_trace_async_logging()
mlflow.log_feedback(trace_id=span.trace_id, name="helpful", value=True, rationale="it is honest")

print(
    json.dumps(
        {
            "experiment": experiment.experiment_id,
            "runs": runs,
            "models": {name: info.model_id for name, info in models.items()},
            "trace": span.trace_id,
        }
    )
)
