#!/usr/bin/env python3
"""One row over HTTP, side by side: gyre, a bare axum handler that reads the same JSON, and the model servers of Python.

One model (a scaler and a logistic regression over 20 features), wrk with one thread on the same cores, server after server in
one run, each with its defaults and one worker. Needs `wrk`, and a Python environment with scikit-learn, skl2onnx, onnxruntime,
FastAPI, uvicorn and mlflow (`--python`); LitServe, MLServer and BentoML are measured when `--peers DIR` holds environments
named `litserve`, `mlserver` and `bentoml`.

    cargo build --release -p gyre && cargo build --release -p gyre-server --example bare
    python3 bench/gateway.py --python target/test-venv/bin/python [--peers DIR] [--seconds 5]
"""

import argparse
import json
import os
import pathlib
import random
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
GYRE = ROOT / "target" / "release" / "gyre"
BARE = ROOT / "target" / "release" / "examples" / "bare"
FEATURES = 20

MAKE = """
import numpy as np, pickle, sys
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
import mlflow.sklearn
rng = np.random.default_rng(7)
x = rng.normal(0, 2, size=(2000, 20)).astype(np.float32)
y = (x @ rng.normal(size=20) > 0).astype(int)
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
graph = convert_sklearn(model, initial_types=[("input", FloatTensorType([None, 20]))], options={"zipmap": False})
open("model.onnx", "wb").write(graph.SerializeToString())
pickle.dump(model, open("model.pkl", "wb"))
mlflow.sklearn.save_model(model, "mlflow-model")
import joblib
joblib.dump(model, "model.joblib")
"""

FASTAPI = """
import numpy as np, onnxruntime
from fastapi import FastAPI, Request
options = onnxruntime.SessionOptions(); options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession("model.onnx", options)
app = FastAPI()
@app.post("/infer")
async def infer(request: Request):
    asked = await request.json()
    tensor = asked["inputs"][0]
    rows = np.asarray(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
    label, scores = session.run(None, {"input": rows})
    return {"id": asked["id"], "outputs": [{"name": "label", "data": label.tolist()}, {"name": "scores", "data": scores.ravel().tolist()}]}
"""

LITSERVE = """
import numpy as np, onnxruntime, litserve, sys
class Api(litserve.LitAPI):
    def setup(self, device):
        options = onnxruntime.SessionOptions(); options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession("model.onnx", options)
    def decode_request(self, request): return np.asarray(request["inputs"], dtype=np.float32)
    def predict(self, x): return self.session.run(None, {"input": x})
    def encode_response(self, output): return {"label": output[0].tolist(), "scores": output[1].tolist()}
if __name__ == "__main__":
    litserve.LitServer(Api(), accelerator="cpu", workers_per_device=1).run(port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False, num_api_servers=1)
"""

BENTOML = """
import bentoml, numpy as np, onnxruntime
@bentoml.service(workers=1, traffic={"timeout": 60})
class Model:
    def __init__(self):
        options = onnxruntime.SessionOptions(); options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession("model.onnx", options)
    @bentoml.api
    def infer(self, inputs: list[list[float]]) -> dict:
        label, scores = self.session.run(None, {"input": np.asarray(inputs, dtype=np.float32)})
        return {"label": label.tolist(), "scores": scores.tolist()}
"""

POST = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = io.open(os.getenv("BODY")):read("*a")
done = function(summary, latency, _)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format("RESULT %.4f %.4f %.1f %d\\n", latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    summary.requests / summary.duration * 1e6, failed))
end
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def memory(pid):
    """Resident memory of a process and its children, in MiB."""
    held, todo = 0, [pid]
    while todo:
        pid = todo.pop()
        try:
            held += int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
        except (OSError, TypeError):
            pass
    return held / 1024


def wrk(url, body, connections, seconds, folder):
    script = folder / "post.lua"
    script.write_text(POST)
    env = {**os.environ, "BODY": str(body)}
    said = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script), url],
        env=env, capture_output=True, text=True, check=True,
    ).stdout
    found = re.search(r"RESULT (\S+) (\S+) (\S+) (\d+)", said)
    p50, p99, rate, failed = found.groups()
    return {"p50_ms": float(p50), "p99_ms": float(p99), "requests_per_second": float(rate), "failed": int(failed)}


def post(url, body):
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def measure(name, command, url, body, folder, seconds, prepare=None, env=None):
    log = open(folder / f"{name}.log", "wb")
    begun = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command], cwd=folder, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **(env or {})}
    )
    try:
        if prepare:
            url = prepare(process)
        while True:
            try:
                post(url, body.read_bytes())
                break
            except OSError:
                if process.poll() is not None or time.perf_counter() - begun > 180:
                    print(f"{name:24} did not start; see {log.name}", flush=True)
                    print((folder / f"{name}.log").read_text(errors="replace")[-2000:])
                    return None
                time.sleep(0.01)
        cold = time.perf_counter() - begun
        idle = memory(process.pid)
        wrk(url, body, 1, 1, folder)
        found = {"name": name, "cold_seconds": cold, "idle_mib": idle}
        for connections in (1, 16):
            # The best of three: the machine's noise only ever slows a server down.
            runs = [wrk(url, body, connections, seconds, folder) for _ in range(3)]
            best = max(runs, key=lambda run: run["requests_per_second"])
            found[f"c{connections}"] = best
        one, many = found["c1"], found["c16"]
        print(
            f"{name:24} 1: p50 {one['p50_ms']:.3f} ms, p99 {one['p99_ms']:.3f} ms, {one['requests_per_second']:8.0f}/s   "
            f"16: {many['requests_per_second']:8.0f}/s, p99 {many['p99_ms']:.2f} ms   "
            f"cold {cold:.2f} s, {idle:.0f} MiB, failed {one['failed'] + many['failed']}",
            flush=True,
        )
        return found
    finally:
        try:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(15)
        except (OSError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGKILL)


def duel(bare, folder, body, seconds, start, rounds=7):
    """gyre and the bare handler, taking turns: what a shared machine does to one in a minute it does to the other too."""
    process, url = start()
    try:
        for connections in (1, 16):
            pairs = []
            for _ in range(rounds):
                pairs.append([wrk(where, body, connections, seconds, folder) for where in (bare, url)])
            ratio = lambda key: sorted(ours[key] / theirs[key] for theirs, ours in pairs)
            rates, times = ratio("requests_per_second"), ratio("p50_ms")
            print(
                f"{connections:2} connections, {rounds} rounds in turn: requests/s {statistics.median(rates):.2f} of the bare handler's "
                f"({rates[0]:.2f} to {rates[-1]:.2f}), p50 {statistics.median(times):.2f} x ({times[0]:.2f} to {times[-1]:.2f})",
                flush=True,
            )
    finally:
        process.terminate()
        process.wait(15)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=str(ROOT / "target/test-venv/bin/python"))
    parser.add_argument("--peers", type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    python = pathlib.Path(asked.python).absolute()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([str(python), "-c", MAKE], cwd=folder, check=True, capture_output=True)
        rng = random.Random(7)
        row = [round(rng.gauss(0, 2), 6) for _ in range(FEATURES)]
        v2, inputs = folder / "v2.json", folder / "inputs.json"
        v2.write_text(json.dumps({"id": "1", "inputs": [{"name": "input", "shape": [1, FEATURES], "datatype": "FP32", "data": row}]}))
        inputs.write_text(json.dumps({"inputs": [row]}))
        for file, text in (("fast.py", FASTAPI), ("lit.py", LITSERVE), ("service.py", BENTOML)):
            (folder / file).write_text(text)

        def run(name, command, path, body, **more):
            port = free_port()
            command = [str(word).replace("{port}", str(port)) for word in command]
            return measure(name, command, f"http://127.0.0.1:{port}{path}", body, folder, asked.seconds, **more)

        def gyre(process, deployed=False):
            announced = folder / "gyre" / ".gyre" / "server.json"
            while True:
                try:
                    url = json.loads(announced.read_text())["url"]
                    urllib.request.urlopen(url + "/health", timeout=5).read()
                    break
                except (OSError, ValueError):
                    time.sleep(0.002)
            if not deployed:
                subprocess.run([GYRE, "deploy", "m", "--file", folder / "model.onnx", "-C", folder / "gyre",
                     "--inputs", ",".join(f"f{at}:number" for at in range(FEATURES)), "--classes", "0,1"], check=True, stdout=subprocess.DEVNULL)
            return f"{url}/v2/models/m/infer"

        (folder / "gyre").mkdir()
        found = [run("bare axum handler", [BARE, "127.0.0.1:{port}"], "/infer", v2)]
        found.append(
            measure("gyre (logging all)", [GYRE, "up", "-C", folder / "gyre", "--listen", "127.0.0.1:0"], "", v2, folder, asked.seconds, prepare=gyre)
        )
        bin_dir = python.parent
        found.append(run("FastAPI + onnxruntime", [bin_dir / "uvicorn", "fast:app", "--port", "{port}", "--log-level", "warning"], "/infer", v2))
        found.append(
            run("mlflow models serve", [bin_dir / "mlflow", "models", "serve", "-m", "mlflow-model", "-p", "{port}", "--env-manager", "local"],
                "/invocations", inputs, env={"PATH": f"{bin_dir}:{os.environ['PATH']}"})
        )
        if asked.peers:
            peers = asked.peers.absolute()
            if (peers / "litserve").exists():
                found.append(run("LitServe", [peers / "litserve/bin/python", "lit.py", "{port}"], "/predict", inputs))
            if (peers / "mlserver").exists():
                settings = folder / "mlserver"
                (settings / "m").mkdir(parents=True)
                port = free_port()
                (settings / "settings.json").write_text(json.dumps(
                    {"http_port": port, "host": "127.0.0.1", "parallel_workers": 0, "grpc_port": free_port(), "metrics_port": free_port(), "debug": False}))
                (settings / "m" / "model-settings.json").write_text(json.dumps(
                    {"name": "m", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": str(folder / "model.joblib")}}))
                found.append(
                    measure("MLServer (in process)", [peers / "mlserver/bin/mlserver", "start", "mlserver"],
                            f"http://127.0.0.1:{port}/v2/models/m/infer", v2, folder, asked.seconds)
                )
            if (peers / "bentoml").exists():
                found.append(run("BentoML", [peers / "bentoml/bin/bentoml", "serve", "service:Model", "--port", "{port}"], "/infer", inputs))
        found = [one for one in found if one]
        by_name = {one["name"]: one for one in found}
        ours, bare = by_name["gyre (logging all)"], by_name["bare axum handler"]
        rate = lambda one: one["c16"]["requests_per_second"]
        print(f"\np50 at 1 connection: {ours['c1']['p50_ms'] / bare['c1']['p50_ms']:.2f} x the bare handler's")
        print(f"requests/s at 16 connections: {rate(ours) / rate(bare):.2f} of the bare handler's")
        for one in found:
            if one is not ours and one is not bare:
                print(f"  {rate(ours) / rate(one):6.1f} x {one['name']}")
        port = free_port()
        handler = subprocess.Popen([BARE, f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL)
        try:
            def again():
                (folder / "gyre" / ".gyre" / "server.json").unlink(missing_ok=True)
                process = subprocess.Popen([GYRE, "up", "-C", folder / "gyre", "--listen", "127.0.0.1:0"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
                return process, gyre(process, deployed=True)

            duel(f"http://127.0.0.1:{port}/infer", folder, v2, asked.seconds, again)
        finally:
            handler.terminate()
        if asked.json:
            print(json.dumps(found))


if __name__ == "__main__":
    main()
