"""Fills an MLflow store through MLflow's own client: everything that an import must bring, with the odd cases.

populate.py TRACKING_URI
"""

import math
import os
import pathlib
import sys
import tempfile
import warnings

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
warnings.filterwarnings("ignore")

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import (  # noqa: E402
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    RunTag,
)

T = 1_700_000_000_000
uri = sys.argv[1]
mlflow.set_tracking_uri(uri)
mlflow.set_registry_uri(uri)
client = MlflowClient()

alpha = client.create_experiment("alpha", tags={"owner": "ann", "note": "ünï"})
gone = client.create_experiment("gone")
client.set_experiment_tag("0", "kind", "default")


def artifacts(put):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "notes.txt").write_text("the same bytes twice\n")
        (folder / "blob.bin").write_bytes(bytes(range(256)) * 1000)
        put(str(folder / "notes.txt"), None)
        put(str(folder / "blob.bin"), "model/data")


parent = client.create_run(alpha, start_time=T, run_name="parent", tags={"mlflow.user": "ann"})
run = parent.info.run_id
client.log_batch(
    run,
    metrics=[Metric("loss", 1 / (i + 1), T + i // 3, i) for i in range(900)]
    + [Metric("odd", math.nan, T, 0), Metric("odd", math.inf, T + 1, 1), Metric("odd", -math.inf, T + 2, 2)],
    params=[Param("lr", "0.1"), Param("long", "x" * 6000), Param("empty", ""), Param("ü", "ß")],
    tags=[RunTag("team", "a"), RunTag("long", "y" * 7000)],
)
client.log_batch(run, metrics=[Metric("loss", 5.0, T + 5000, -3), Metric("a/b c", 2.0, T, 7)])
artifacts(lambda path, folder: client.log_artifact(run, path, folder))
client.log_inputs(
    run,
    datasets=[
        DatasetInput(
            Dataset("train", "d1", "local", '{"uri": "a.csv"}', schema='{"x": 1}', profile='{"rows": 9}'),
            [InputTag("mlflow.data.context", "training")],
        ),
        DatasetInput(Dataset("test", "d2", "local", '{"uri": "b.csv"}'), []),
    ],
)
client.set_terminated(run, "FINISHED", end_time=T + 9000)

child = client.create_run(alpha, start_time=T + 1, run_name="child", tags={"mlflow.parentRunId": run}).info.run_id
client.log_metric(child, "acc", 0.5, timestamp=T, step=0)
client.set_terminated(child, "FAILED", end_time=T + 10)
dropped = client.create_run(alpha, start_time=T + 2, run_name="dropped").info.run_id
client.log_param(dropped, "p", "1")
client.delete_run(dropped)
client.create_run("0", start_time=T + 3, run_name="in default")
lost = client.create_run(gone, start_time=T + 4, run_name="lost").info.run_id
client.log_metric(lost, "m", 1.0, timestamp=T, step=0)
client.delete_experiment(gone)

model = client.create_logged_model(
    alpha, name="net", source_run_id=run, tags={"k": "v"}, params={"depth": "3"}, model_type="cnn"
)
artifacts(lambda path, folder: client.log_model_artifact(model.model_id, path, folder))
client.log_metric(
    run, "auc", 0.75, timestamp=T, step=4, model_id=model.model_id, dataset_name="train", dataset_digest="d1"
)
client.finalize_logged_model(model.model_id, "READY")
client.log_outputs(run, [LoggedModelOutput(model.model_id, 4)]) if hasattr(client, "log_outputs") else None
client.log_inputs(child, models=[LoggedModelInput(model.model_id)])
broken = client.create_logged_model(alpha, name="broken")
client.finalize_logged_model(broken.model_id, "FAILED")

client.create_registered_model("net", tags={"team": "a"}, description="The net. " * 400)
root = client.get_run(run).info.artifact_uri
client.create_model_version("net", f"{root}/model", run, tags={"t": "1"}, description="first")
client.create_model_version("net", f"models:/{model.model_id}", None, model_id=model.model_id)
client.create_model_version("net", f"runs:/{run}/model", run)
client.create_model_version("net", f"{root}/model", run)
client.delete_model_version("net", "3")
client.set_registered_model_alias("net", "champion", "2")
client.set_registered_model_alias("net", "shadow", "4")
client.transition_model_version_stage("net", "1", "Production")
client.transition_model_version_stage("net", "4", "Staging")
client.create_registered_model("empty")
if not uri.startswith("file:"):
    mlflow.genai.register_prompt("greet", "Hello {{name}}", tags={"lang": "en"})
    mlflow.genai.register_prompt("greet", "Good day, {{name}}")
    mlflow.set_experiment(experiment_id=alpha)
    with mlflow.start_span("ask") as root:
        root.set_inputs({"question": "why?"})
        mlflow.update_current_trace(tags={"kind": "odd"}, metadata={"mlflow.trace.session": "s1"})
        with mlflow.start_span("look up", span_type="LLM", attributes={"depth": 2}) as step:
            usage = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
            step.set_attribute("mlflow.chat.tokenUsage", usage)
            step.set_outputs([1, 2])
        root.set_outputs("because")
    mlflow.flush_trace_async_logging()
    mlflow.log_feedback(trace_id=root.trace_id, name="good", value=0.75, rationale="short")
    mlflow.log_expectation(trace_id=root.trace_id, name="answer", value={"text": "because"})
print(run)
