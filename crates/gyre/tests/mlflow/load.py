"""Loads a model that gyre itself trained, as any model of the registry, and has it predict the rows of standard input.

load.py URL MODEL < ROWS, a JSON array of objects; says what it found as JSON.
"""

import hashlib
import json
import os
import pathlib
import sys
import tempfile

os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
os.environ["GIT_PYTHON_REFRESH"] = "quiet"

import mlflow  # noqa: E402
import pandas as pd  # noqa: E402
import requests  # noqa: E402
from mlflow import MlflowClient  # noqa: E402

url, name = sys.argv[1:]
mlflow.set_tracking_uri(url)
client = MlflowClient()
rows = pd.DataFrame(json.load(sys.stdin))

model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
predicted = model.predict(rows)["prediction"].reshape(-1).tolist()
# What a table has too many is no trouble, nor is another order.
assert model.predict(rows[rows.columns[::-1]].assign(more=1))["prediction"].reshape(-1).tolist() == predicted

version = client.get_model_version_by_alias(name, "champion")
with tempfile.TemporaryDirectory() as folder:
    files = pathlib.Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version.version}", dst_path=folder))
    onnx = (files / "model.onnx").read_bytes()
    sha256, size = hashlib.sha256(onnx).hexdigest(), len(onnx)
info = mlflow.models.get_model_info(f"models:/{name}/{version.version}")
assert info.metadata["model_sha256"] == sha256, info.metadata
assert info.run_id == version.run_id and info.signature.inputs.input_names() == list(rows.columns), info

folder = {"path": f"gyre/{name}/{version.version}"}
listing = requests.get(f"{url}/api/2.0/mlflow-artifacts/artifacts", params=folder, timeout=30).json()["files"]
assert {file["path"]: file["file_size"] for file in listing}["model.onnx"] == size, listing

# The page of the version asks in its own way.
asked = {"name": name, "version": version.version, "path": "MLmodel"}
page = requests.get(f"{url}/model-versions/get-artifact", params=asked, timeout=30)
assert page.status_code == 200 and "loader_module: mlflow.onnx" in page.text, page.text
file = f"{url}/api/2.0/mlflow-artifacts/artifacts/gyre/{name}/{version.version}/model.onnx"
part = requests.get(file, headers={"Range": "bytes=4-9"}, timeout=30)
assert part.status_code == 206 and part.content == onnx[4:10], part
assert requests.get(file.replace("model.onnx", "nothing"), timeout=30).status_code == 404
for change in (requests.put, requests.delete):
    refused = change(file, data=b"forged", timeout=30)
    assert refused.status_code == 403 and "cannot be changed" in refused.text, refused.text

# A version may be made of it under another name.
copy = client.copy_model_version(f"models:/{name}/{version.version}", f"{name}-copy")
copied = mlflow.pyfunc.load_model(f"models:/{name}-copy/{copy.version}")
assert copied.predict(rows)["prediction"].reshape(-1).tolist() == predicted

print(json.dumps({"predicted": predicted, "files": [file["path"] for file in listing], "sha256": sha256}))
