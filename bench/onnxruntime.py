#!/usr/bin/env python3
"""A convolutional network of about 1 MB by onnxruntime: one row and 256 rows through gyre beside onnxruntime in Python, and the
time from `gyre up` to its first prediction.

`PYTHON=PATH` names a Python of an environment with crates/gyre-onnxruntime/tests/requirements.txt (its library is the one
that gyre uses, too); build first: `cargo build --release && cargo build --release -p gyre-onnxruntime --example onnx_bench`."""

import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time
import urllib.error

from project import GYRE, ROOT, post, rss_mib, start

PYTHON = pathlib.Path(os.environ.get("PYTHON", ROOT / "target/test-venv/bin/python")).absolute()
EXAMPLE = ROOT / "target/release/examples/onnx_bench"
PEER = """
import sys, time, numpy as np, onnxruntime as ort
options = ort.SessionOptions(); options.intra_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
for rows, runs in [(1, 5000), (256, 200)]:
    x, times = np.random.default_rng(1).normal(size=(rows, 784)).astype("f4"), []
    for _ in range(runs):
        begun = time.perf_counter(); session.run(None, {"x": x}); times.append(time.perf_counter() - begun)
    print(f"onnxruntime in Python, {rows} rows: {sorted(times)[runs // 2] * 1e6:.1f} us")
"""


def first_prediction(url, body):
    while True:
        try:
            return post(url, "/v2/models/digits/infer", body)
        except urllib.error.HTTPError as error:
            if error.code not in (404, 503):
                raise
            time.sleep(0.0005)


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    # Not the link's target: an environment is told by where its python lies.
    environment = PYTHON.parent.parent
    subprocess.run([PYTHON, ROOT / "crates/gyre-onnxruntime/tests/graphs.py", folder, "large"], check=True)
    (folder / ".venv").symlink_to(environment)
    model = folder / "large.onnx"
    subprocess.run([EXAMPLE, model], check=True, env={**os.environ, "VIRTUAL_ENV": str(environment)})
    subprocess.run([PYTHON, "-c", PEER, model], check=True)
    columns = json.loads((folder / "large.json").read_text())["columns"]
    tensor = lambda c: {"name": c["name"], "shape": [1], "datatype": "FP32", "data": c["numbers"][:1]}
    body = {"inputs": [tensor(column) for column in columns]}
    process, url, _ = start(folder)
    subprocess.run([GYRE, "deploy", "digits", "--file", model, "-C", folder], check=True, stdout=subprocess.DEVNULL)
    process.terminate()
    process.wait(30)
    times, memory = [], []
    for _ in range(11):
        begun = time.perf_counter()
        process, url, _ = start(folder)
        first_prediction(url, body)
        times.append((time.perf_counter() - begun) * 1e3)
        memory.append(rss_mib(process))
        process.terminate()
        process.wait(30)
for what, values in [("gyre up to first prediction, ms", times), ("memory then, MiB", memory)]:
    print(f"{what:32} median {statistics.median(values):7.1f}  min {min(values):7.1f}  max {max(values):7.1f}")
