#!/usr/bin/env python3
"""The gateway under load: gRPC beside HTTP, the log on and off, moves of traffic, overload, a stalled disk, idle connections.

One model (a scaler and a logistic regression over 20 features, as in `gateway.py`), h2load with one thread on the same cores.
Needs `h2load` (Debian: nghttp2-client), the tests' Python environments (`--python`, and `--clients` for the messages of gRPC),
and root for the stalled disk, which is a file system of its own that is frozen.

    cargo build --release -p gyre
    python3 bench/load.py [PART ...]        protocols log moves overload disk connections start
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from gateway import FEATURES, GYRE, MAKE, ROOT, memory

DECLARED = """
version: 1
project: load
pipeline: dvc.yaml
data:
  rows: {source: rows.csv}
models:
  m:
    task: binary
    target: label
    artifact: model.onnx
    metric: log_loss
    train: {data: rows}
    log: {share: %s}
"""

PIPELINE = """
stages:
  train:
    cmd: "true"
    outs: [model.onnx]
"""

# Answers one row in 5 ms, one request at a time: 200 rows/s, whatever is asked.
SLOW = """
const http = require("http");
let busy = Promise.resolve();
http.createServer((request, response) => {
  if (request.method === "GET") { response.end("\\n"); return; }
  let body = "";
  request.on("data", (chunk) => (body += chunk));
  request.on("end", () => {
    const rows = (JSON.parse(body).dataframe_split || {data: [0]}).data.length;
    busy = busy.then(() => new Promise((done) => setTimeout(() => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({predictions: Array(rows).fill(1.0)}));
      done();
    }, 5 * rows)));
  });
}).listen(process.env.PORT, "127.0.0.1");
"""

FRAME = """
import json, struct, sys
from tritonclient.grpc import service_pb2
row = json.load(open("v2.json"))["inputs"][0]["data"]
asked = service_pb2.ModelInferRequest(model_name="m", id="1")
tensor = asked.inputs.add(name="input", datatype="FP32", shape=[1, len(row)])
asked.raw_input_contents.append(struct.pack(f"<{len(row)}f", *row))
message = asked.SerializeToString()
open("grpc.bin", "wb").write(b"\\0" + struct.pack(">I", len(message)) + message)
"""


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


def post(url, body):
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


@contextlib.contextmanager
def serving(folder, *options):
    """`gyre up` in `folder`; gives its URL and process, and how long it took to its first answer."""
    announced = folder / ".gyre" / "server.json"
    announced.unlink(missing_ok=True)
    begun = time.perf_counter()
    process = subprocess.Popen([GYRE, "up", "-C", folder, "--listen", "127.0.0.1:0", *options], stderr=subprocess.DEVNULL)
    try:
        while True:
            with contextlib.suppress(OSError, ValueError):
                url = json.loads(announced.read_text())["url"]
                get(url + "/health")
                break
            if process.poll() is not None:
                raise SystemExit(f"gyre up ended with {process.returncode}")
            time.sleep(0.001)
        yield url, process, time.perf_counter() - begun
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def gyre(folder, *words):
    subprocess.run([GYRE, words[0], "-C", folder, *words[1:]], check=True, stdout=subprocess.DEVNULL)


def project(made, folder, model="model.onnx", name="m", share=None):
    """A project whose model is deployed by hand, and declared afterwards when the log is to keep a share of its predictions."""
    folder.mkdir(exist_ok=True)
    with serving(folder):
        deploy(made, folder, name, model)
    if share:
        (folder / "gyre.yaml").write_text(DECLARED % share)
        (folder / "dvc.yaml").write_text(PIPELINE)
        (folder / "rows.csv").write_text("f0,label\n1,0\n")
    return folder


def deploy(made, folder, name="m", model="model.onnx", *more):
    gyre(folder, "deploy", name, "--file", made / model, "--inputs", ",".join(f"f{at}:number" for at in range(FEATURES)),
         "--classes", "0,1", *more)


def h2load(url, body, *options, kind="application/json", log=None):
    """Requests a second, and failed ones."""
    command = ["h2load", "-t1", "-d", str(body), "-H", f"content-type: {kind}", *map(str, options)]
    if log:
        log.unlink(missing_ok=True)
        command += [f"--log-file={log}"]
    said = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"finished in [^,]+, ([\d.]+) req/s", said)[1])
    good = int(re.search(r"status codes: (\d+) 2xx", said)[1])
    total = int(re.search(r"requests: (\d+) total", said)[1])
    failed = int(re.search(r"(\d+) failed", said)[1]) + int(re.search(r"(\d+) errored", said)[1])
    if not good:
        raise SystemExit(f"nothing was answered at {url}")
    return {"rate": rate, "good": good, "total": total, "failed": failed}


def times(log):
    """Milliseconds to the end of each answer with status 200, in order of time."""
    rows = (line.split("\t") for line in log.read_text().splitlines())
    return sorted(int(row[2]) / 1e3 for row in rows if row[1] == "200")


def share(found, at):
    return found[min(len(found) - 1, int(len(found) * at))] if found else float("nan")


def best(rounds, run):
    return max((run() for _ in range(rounds)), key=lambda found: found["rate"])


def protocols(made, clients):
    """One row over HTTP/1.1 and over gRPC, 16 connections, one request at a time on each."""
    subprocess.run([clients, "-c", FRAME], cwd=made, check=True)
    folder = project(made, made / "protocols")
    with serving(folder) as (url, _, _):
        rest = lambda: h2load(f"{url}/v2/models/m/infer", made / "v2.json", "--h1", "-c16", "-D5", "--warm-up-time=1")
        grpc = lambda streams: h2load(f"{url}/inference.GRPCInferenceService/ModelInfer", made / "grpc.bin", "-c16", f"-m{streams}",
                                      "-D5", "--warm-up-time=1", "-H", "te: trailers", kind="application/grpc")
        http = best(3, rest)
        one, many = best(3, lambda: grpc(1)), best(3, lambda: grpc(16))
        print(f"protocols    HTTP/1.1 {http['rate']:.0f}/s   gRPC {one['rate']:.0f}/s ({one['rate'] / http['rate']:.2f} x)   "
              f"gRPC, 16 streams a connection {many['rate']:.0f}/s   failed {http['failed'] + one['failed'] + many['failed']}")


def log(made, clients):
    """The log keeps everything, or nothing; and what is dropped at 70 % load."""
    on, off = project(made, made / "all", share="100%"), project(made, made / "none", share="0%")
    rates = {}
    for _ in range(3):
        for name, folder in (("on", on), ("off", off)):
            with serving(folder) as (url, _, _):
                found = h2load(f"{url}/v2/models/m/infer", made / "v2.json", "--h1", "-c16", "-D5", "--warm-up-time=1")
                rates.setdefault(name, []).append(found["rate"])
    most = {name: max(found) for name, found in rates.items()}
    with serving(on) as (url, _, _):
        each = int(most["on"] * 0.7 / 16)
        found = h2load(f"{url}/v2/models/m/infer", made / "v2.json", "--h1", "-c16", f"--rps={each}", "-D20")
        dropped = metric(url, "gyre_inference_log_dropped_total")
    print(f"log          on {most['on']:.0f}/s, off {most['off']:.0f}/s: {most['on'] / most['off']:.2f}   "
          f"at 70 % load {found['rate']:.0f}/s: dropped {dropped:.0f}, failed {found['failed']}")


def metric(url, name):
    lines = get(url + "/metrics").decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def moves(made, clients):
    """Promotions, rollbacks and shares of traffic at half load, and canaries that walk their steps."""
    folder = project(made, made / "moves")
    with serving(folder) as (url, _, _):
        infer = f"{url}/v2/models/m/infer"
        most = h2load(infer, made / "v2.json", "--h1", "-c16", "-D5", "--warm-up-time=1")["rate"]
        deploy(made, folder, "m", "other.onnx", "--strategy", "replace")
        path, ended = made / "moves.tsv", threading.Event()
        took = []

        def move():
            while not ended.is_set():
                for words in (("promote", "m", "1"), ("traffic", "m", "1=50", "2=50"), ("promote", "m", "2"), ("rollback", "m"), ("promote", "m", "2")):
                    begun = time.perf_counter()
                    gyre(folder, *words)
                    took.append((time.perf_counter() - begun) * 1e3)

        mover = threading.Thread(target=move)
        mover.start()
        found = h2load(infer, made / "v2.json", "--h1", "-c16", f"--rps={int(most / 2 / 16)}", "-D20", log=path)
        ended.set()
        mover.join()
        answered = times(path)
        print(f"moves        {len(took)} moves at {found['rate']:.0f}/s ({found['rate'] / most:.0%} of the most): "
              f"failed {found['total'] - found['good']} of {found['total']}   p50 {share(answered, 0.5):.2f} ms, p99 {share(answered, 0.99):.2f} ms   "
              f"a command takes {statistics.median(took):.0f} ms (max {max(took):.0f})")


async def offered(url, body, rate, seconds, found, patience=None):
    """An open loop: `rate` requests a second, whether or not earlier ones were answered; at most 2,000 wait. Clients wait for
    `patience` milliseconds, when it is given."""
    host, port = url.split("//")[1].split("/")[0].split(":")
    path = "/" + url.split("//")[1].split("/", 1)[1]
    more = f"grpc-timeout: {patience}m\r\n" if patience else ""
    head = f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode()
    idle, under_way = [], set()

    async def one():
        begun = time.perf_counter()
        try:
            reader, writer = idle.pop() if idle else await asyncio.open_connection(host, int(port))
            writer.write(head + body)
            line = await reader.readline()
            length = 0
            while (header := await reader.readline()) not in (b"\r\n", b""):
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            await reader.readexactly(length)
            idle.append((reader, writer))
            found.append((int(line.split()[1]), (time.perf_counter() - begun) * 1e3))
        except (OSError, asyncio.IncompleteReadError, ValueError, IndexError):
            found.append((0, 0.0))

    begun = time.perf_counter()
    for at in range(int(rate * seconds)):
        wait = begun + at / rate - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        if len(under_way) < 2_000:
            task = asyncio.create_task(one())
            under_way.add(task)
            task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)


def overload(made, clients):
    """A process that answers 200 rows/s, offered a fifth of that, what it can do, and five times as much; without a deadline, and
    by clients that have one."""
    folder = made / "overload"
    folder.mkdir()
    (folder / "slow.js").write_text(SLOW)
    with serving(folder, "--allow-commands") as (url, process, _):
        gyre(folder, "deploy", "slow", "--protocol", "mlflow", "--inputs", "x:number", "--batch-rows", "1", "--", "node", str(folder / "slow.js"))
        infer = f"{url}/v2/models/slow/infer"
        body = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}).encode()
        results = {}
        before = memory(process.pid)
        patience = None
        for name, rate in (("a fifth", 40), ("all", 200), ("five times", 1_000), ("all, impatient", 200), ("five times, impatient", 1_000)):
            found = []
            if "impatient" in name:
                patience = int(3 * results["a fifth"][1])
            asyncio.run(offered(infer, body, rate, 15, found, patience))
            good = sorted(ms for status, ms in found if status == 200)
            shed = sum(status in (429, 503, 504) for status, _ in found)
            results[name] = (len(good) / 15, share(good, 0.99), shed, len(found) - len(good) - shed)
        peak = max(rate for rate, *_ in results.values())
        for name, (rate, p99, shed, failed) in results.items():
            print(f"overload     {name:22} good {rate:5.0f}/s ({rate / peak:.0%} of the peak), p99 of accepted {p99:7.1f} ms "
                  f"({p99 / results['a fifth'][1]:.1f} x), shed {shed}, failed {failed}")
        print(f"overload     the impatient wait for {patience} ms, 3 x the p99 at a fifth")
        print(f"overload     memory of gyre and the process {before:.0f} to {memory(process.pid):.0f} MiB")


def disk(made, clients):
    """The file system under the project is frozen for a minute while requests come."""
    image, mount = made / "disk.img", made / "disk"
    mount.mkdir()
    with open(image, "wb") as file:
        file.truncate(2 << 30)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    try:
        folder = project(made, mount / "project")
        with serving(folder) as (url, process, _):
            infer = f"{url}/v2/models/m/infer"
            path, result = made / "disk.tsv", {}
            run = lambda: result.update(h2load(infer, made / "anonymous.json", "--h1", "-c8", "--rps=625", "-D75", log=path))
            load = threading.Thread(target=run)
            load.start()
            time.sleep(5)
            subprocess.run(["fsfreeze", "--freeze", mount], check=True)
            try:
                time.sleep(60)
                held = memory(process.pid)
            finally:
                subprocess.run(["fsfreeze", "--unfreeze", mount], check=True)
            load.join()
            dropped = metric(url, "gyre_inference_log_dropped_total")
        answered = times(path)
        said = subprocess.run([GYRE, "log", "sql", "m", "SELECT count(*) AS n FROM predictions", "--json", "-C", folder],
                              capture_output=True, text=True, check=True).stdout
        written = int(re.search(r"\d+", said.split("n", 1)[1])[0])
        print(f"disk         frozen for 60 s at {result['rate']:.0f}/s: failed {result['total'] - result['good']} of {result['total']}, "
              f"p99 {share(answered, 0.99):.2f} ms, {held:.0f} MiB   answered {result['good']} - written {written} = "
              f"{result['good'] - written}, counted as dropped {dropped:.0f}")
    finally:
        subprocess.run(["umount", mount], check=False)


def connections(made, clients):
    """Ten thousand connections that say nothing; others are served meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    folder = project(made, made / "connections")
    with serving(folder) as (url, process, _):
        infer = f"{url}/v2/models/m/infer"
        body = (made / "v2.json").read_bytes()
        post(infer, body)
        before = memory(process.pid)
        address = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        held = []
        ask = b"GET /v2/health/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
        for _ in range(10_000):
            # Each has asked once, and keeps its connection.
            connection = socket.create_connection(address)
            connection.sendall(ask)
            connection.recv(4_096)
            held.append(connection)
        took = []
        for _ in range(200):
            begun = time.perf_counter()
            post(infer, body)
            took.append((time.perf_counter() - begun) * 1e3)
        took.sort()
        print(f"connections  10,000 idle: a new client's request p50 {share(took, 0.5):.2f} ms, p99 {share(took, 0.99):.2f} ms, "
              f"memory {before:.0f} to {memory(process.pid):.0f} MiB")
        for connection in held:
            connection.close()


def start(made, clients):
    """From nothing to the first prediction of an ONNX model of a megabyte, and the memory of ten models."""
    folder = made / "start"
    folder.mkdir()
    with serving(folder):
        deploy(made, folder, "m", "forest.onnx")
    body = (made / "v2.json").read_bytes()
    took = []
    for _ in range(7):
        begun = time.perf_counter()
        with serving(folder) as (url, _, _):
            while True:
                with contextlib.suppress(urllib.error.HTTPError):
                    post(f"{url}/v2/models/m/infer", body)
                    break
            took.append((time.perf_counter() - begun) * 1e3)
    with serving(folder):
        for at in range(9):
            deploy(made, folder, f"m{at}", "forest.onnx")
    with serving(folder) as (url, process, _):
        for name in ["m", *(f"m{at}" for at in range(9))]:
            post(f"{url}/v2/models/{name}/infer", body)
        time.sleep(1)
        held = memory(process.pid)
    size = (made / "forest.onnx").stat().st_size / (1 << 20)
    print(f"start        {size:.1f} MiB of ONNX, to its first prediction: median {statistics.median(took):.0f} ms (max {max(took):.0f})   "
          f"ten such models, idle: {held:.0f} MiB")


MORE = """
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
x = rng.normal(0, 2, size=(4000, 20)).astype(np.float32)
y = (x @ rng.normal(size=20) + rng.normal(size=4000) > 0).astype(int)
for name, fitted in (("other", make_pipeline(StandardScaler(), LogisticRegression(C=0.1))), ("forest", RandomForestClassifier(40, max_depth=9, random_state=0))):
    graph = convert_sklearn(fitted.fit(x, y), initial_types=[("input", FloatTensorType([None, 20]))], options={"zipmap": False})
    open(name + ".onnx", "wb").write(graph.SerializeToString())
"""

PARTS = {part.__name__: part for part in (protocols, log, moves, overload, disk, connections, start)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=str(ROOT / "target/test-venv/bin/python"))
    parser.add_argument("--clients", default=str(ROOT / "target/test-venv-clients/bin/python"))
    parser.add_argument("parts", nargs="*")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as name:
        made = pathlib.Path(name)
        subprocess.run([pathlib.Path(asked.python).absolute(), "-c", MAKE + MORE], cwd=made, check=True, capture_output=True)
        rng = random.Random(7)
        row = [round(rng.gauss(0, 2), 6) for _ in range(FEATURES)]
        asked_for = {"inputs": [{"name": "input", "shape": [1, FEATURES], "datatype": "FP32", "data": row}]}
        (made / "v2.json").write_text(json.dumps({"id": "1", **asked_for}))
        # Each gets an id of its own, so that all of them can be counted in the log.
        (made / "anonymous.json").write_text(json.dumps(asked_for))
        for part in asked.parts or PARTS:
            PARTS[part](made, pathlib.Path(asked.clients).absolute())
            sys.stdout.flush()


if __name__ == "__main__":
    main()
