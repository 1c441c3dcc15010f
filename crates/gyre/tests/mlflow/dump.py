"""Writes all that MLflow's client sees at a tracking server, as JSON with a line for each fact, sorted.

dump.py TRACKING_URI
"""

import hashlib
import json
import os
import sys
import tempfile
import warnings

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
warnings.filterwarnings("ignore")

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import ViewType  # noqa: E402
from mlflow.utils import get_results_from_paginated_fn  # noqa: E402

uri = sys.argv[1]
mlflow.set_tracking_uri(uri)
mlflow.set_registry_uri(uri)
client = MlflowClient()
lines = []


def say(*words):
    lines.append(json.dumps(words, ensure_ascii=False, sort_keys=True))


def pages(function):
    return get_results_from_paginated_fn(lambda n, token: function(max_results=n, page_token=token), 100)


def number(value):
    # A file store says inf where the others say the largest number there is.
    largest = sys.float_info.max
    return "NaN" if value != value else min(max(value, -largest), largest)


def files(what, folder):
    for base, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)
            with open(path, "rb") as file:
                say(what, "artifact", os.path.relpath(path, folder), hashlib.sha256(file.read()).hexdigest())


experiments = pages(lambda **kw: client.search_experiments(view_type=ViewType.ALL, **kw))
for e in experiments:
    say("experiment", e.experiment_id, e.name, e.lifecycle_stage, sorted(e.tags.items()))
    if e.experiment_id != "0":
        say("experiment times", e.experiment_id, e.creation_time, e.last_update_time)
    runs = pages(
        lambda **kw: client.search_runs([e.experiment_id], run_view_type=ViewType.ALL, **kw)
    )
    say("order of runs", e.experiment_id, [r.info.run_id for r in runs])
    for r in runs:
        r = client.get_run(r.info.run_id)
        i, d = r.info, r.data
        say("run", i.run_id, i.experiment_id, i.run_name, i.user_id, i.status, i.start_time, i.end_time, i.lifecycle_stage)
        say("run data", i.run_id, sorted(d.params.items()), sorted(d.tags.items()))
        say("run metrics", i.run_id, sorted((k, number(v)) for k, v in d.metrics.items()))
        for key in d.metrics:
            history = client.get_metric_history(i.run_id, key)
            # MLflow's file store forgets the step of a metric that names a dataset.
            points = sorted((m.timestamp, 0 if key == "auc" else m.step, str(number(m.value))) for m in history)
            say("history", i.run_id, key, points)
        for x in r.inputs.dataset_inputs if r.inputs else []:
            s = x.dataset
            tags = sorted((t.key, t.value) for t in x.tags)
            say("input", i.run_id, s.name, s.digest, s.source_type, s.source, s.schema, s.profile, tags)
        for x in r.inputs.model_inputs if r.inputs else []:
            say("model input", i.run_id, x.model_id)
        for x in r.outputs.model_outputs if r.outputs else []:
            say("model output", i.run_id, x.model_id, x.step)
        if i.lifecycle_stage == "active":
            with tempfile.TemporaryDirectory() as folder:
                if client.list_artifacts(i.run_id):
                    client.download_artifacts(i.run_id, "", folder)
                files(i.run_id, folder)

models = pages(
    lambda **kw: client.search_logged_models([e.experiment_id for e in experiments if e.lifecycle_stage == "active"], **kw)
)
for m in models:
    say("logged model", m.model_id, m.experiment_id, m.name, m.creation_timestamp, m.last_updated_timestamp)
    say("logged model is", m.model_id, str(m.status), m.status_message or "", m.model_type or "", m.source_run_id or "")
    say("logged model data", m.model_id, sorted(m.params.items()), sorted(m.tags.items()))
    for x in m.metrics or []:
        say("logged model metric", m.model_id, x.key, x.value, x.timestamp, x.step, x.run_id, x.dataset_name, x.dataset_digest)
    if str(m.status) == "READY":
        with tempfile.TemporaryDirectory() as folder:
            mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{m.model_id}", dst_path=folder)
            files(m.model_id, folder)

if not uri.startswith("file:"):
    for t in client.search_traces(locations=[e.experiment_id for e in experiments if e.lifecycle_stage == "active"]):
        say("trace", t.info.trace_id, t.info.to_dict())
        for s in t.data.spans:
            say("trace span", t.info.trace_id, s.to_dict())

prompts = []
if not uri.startswith("file:"):
    prompts = client.search_registered_models("tags.`mlflow.prompt.is_prompt` = 'true'")
models = [client.get_registered_model(m.name) for m in pages(client.search_registered_models)]
for m in models + list(prompts):
    name, prompt = m.name, m in prompts
    aliases = sorted((k, str(v)) for k, v in m.aliases.items())
    say("registered model", m.name, m.creation_timestamp, m.last_updated_timestamp, m.description or "", aliases)
    say("registered model tags", m.name, sorted(m.tags.items()))
    condition = f"name = '{name}'" + (" and tags.`mlflow.prompt.is_prompt` = 'true'" if prompt else "")
    for v in pages(lambda **kw: client.search_model_versions(condition, **kw)):
        version = (v.name, str(v.version))
        say("version", *version, v.creation_timestamp, v.last_updated_timestamp, v.description or "", v.current_stage)
        say("version from", *version, v.run_id or "", v.run_link or "", v.status, v.user_id or "")
        # Aliases are told with the model: the search has them at a file store only.
        say("version tags", *version, sorted(v.tags.items()))
        if not prompt:
            with tempfile.TemporaryDirectory() as folder:
                place = client.get_model_version_download_uri(*version)
                mlflow.artifacts.download_artifacts(artifact_uri=place, dst_path=folder)
                files(f"{name}/{v.version}", folder)
print("\n".join(sorted(lines)))
