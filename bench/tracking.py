#!/usr/bin/env python3
"""gyre and `mlflow server` under the same load, in one run, on the same machine: logging, creating, searching, reading back.

    python3 bench/tracking.py [--mlflow PATH/bin/mlflow] [--seconds 8] [--runs 100000] [--points 100000] [--only log1,search]

gyre: release build, its default store (SQLite in WAL mode, synchronous=FULL, group commit). `mlflow server`: its defaults
(4 workers, SQLite, the journal mode and synchronous setting that SQLAlchemy leaves, which is DELETE and FULL). Without --mlflow
only gyre is measured. Each client is a process with one connection that it keeps; bodies are made before the clock starts.
"""
import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
API = "/api/2.0/mlflow"
CLIENTS = 8
T0 = 1_700_000_000_000


class Connection:
    """One HTTP/1.1 connection, kept."""

    def __init__(self, port):
        self.port, self.file = port, None

    def request(self, method, path, body=None):
        body = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
        if method != "GET":
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"\r\n" + body

    def send(self, request):
        if self.file is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=120)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.file = self.socket.makefile("rb", buffering=1 << 16)
        self.socket.sendall(request)
        line = self.file.readline()
        if not line:
            self.close()
            return 0, b"the server closed the connection"
        status = int(line.split()[1])
        length, chunked = 0, False
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            name = name.lower()
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                chunked = b"chunked" in value
        if not chunked:
            return status, self.file.read(length)
        parts = []
        while size := int(self.file.readline(), 16):
            parts.append(self.file.read(size))
            self.file.readline()
        self.file.readline()
        return status, b"".join(parts)

    def close(self):
        """A server may close a connection that lay idle while bodies were made: better begin with a new one."""
        if self.file is not None:
            self.file.close()
            self.socket.close()
            self.file = None

    def call(self, method, path, body=None):
        status, answer = self.send(self.request(method, path, body))
        if status != 200:
            raise RuntimeError(f"{method} {path}: {status} {answer[:300]!r}")
        return json.loads(answer or b"{}")


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, round(share * (len(values) - 1)))] if values else float("nan")


def milliseconds(seconds):
    return round(seconds * 1000, 2)


# --- servers ---------------------------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, name, command, folder, port):
        self.name, self.port, self.folder = name, port, folder
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 120
        while True:
            try:
                Connection(port).call("POST", f"{API}/experiments/search", {"max_results": 1})
                return
            except (OSError, RuntimeError, IndexError):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise SystemExit(f"{name} did not start")
                time.sleep(0.02)

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def memory(self):
        """Resident MiB of the process and its children."""
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    parent = int(Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1])
                    children.setdefault(parent, []).append(int(entry))
                except OSError:
                    pass
        todo, total = [self.process.pid], 0
        while todo:
            pid = todo.pop()
            todo += children.get(pid, [])
            try:
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
            except OSError:
                pass
        return round(total / 2**20, 1)


def start_gyre(folder, binary):
    port = free_port()
    return Server("gyre", [binary, "up", "--listen", f"127.0.0.1:{port}"], folder, port)


def start_mlflow(folder, binary):
    port = free_port()
    command = [binary, "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts"]
    return Server("mlflow", command, folder, port)


# --- writing ---------------------------------------------------------------------------------------------------------


def bodies(kind, number, count, connection, experiment):
    random.seed(number)
    if kind == "create":
        tags = [{"key": "mlflow.user", "value": "bench"}, {"key": "mlflow.source.type", "value": "LOCAL"}]
        for place in range(count):
            new = {"experiment_id": experiment, "run_name": f"r-{number}-{place}", "start_time": T0 + place, "tags": tags}
            yield connection.request("POST", f"{API}/runs/create", new)
        return
    size, keys = (1, 1) if kind == "log1" else (1000, 10)
    run = connection.call("POST", f"{API}/runs/create", {"experiment_id": experiment, "start_time": T0})
    run_id = run["run"]["info"]["run_id"]
    for place in range(count):
        metrics = [
            {"key": f"m{j % keys}", "value": random.random(), "timestamp": T0 + place * size + j, "step": (place * size + j) // keys}
            for j in range(size)
        ]
        yield connection.request("POST", f"{API}/runs/log-batch", {"run_id": run_id, "metrics": metrics})


def writer(kind, number, port, experiment, count, seconds, barrier, answers):
    connection = Connection(port)
    requests = list(bodies(kind, number, count, connection, experiment))
    connection.close()
    barrier.wait()
    latencies, failed, begin = [], 0, time.perf_counter()
    warm, end, first, last = begin + 1, begin + 1 + seconds, None, begin
    for request in requests:
        sent = time.perf_counter()
        if sent >= end:
            break
        status, _ = connection.send(request)
        last = time.perf_counter()
        if sent >= warm:
            first = first or sent
            failed += status != 200
            latencies.append(last - sent)
    answers.put((latencies, failed, last - (first or last)))


def write_load(server, kind, seconds):
    experiment = Connection(server.port).call("POST", f"{API}/experiments/create", {"name": uuid.uuid4().hex})
    count = 200 if server.name == "mlflow" else 400 if kind == "log1000" else 3000
    count = int(count * (seconds + 1))
    barrier, answers = multiprocessing.Barrier(CLIENTS + 1), multiprocessing.Queue()
    arguments = (server.port, experiment["experiment_id"], count, seconds, barrier, answers)
    clients = [multiprocessing.Process(target=writer, args=(kind, number, *arguments)) for number in range(CLIENTS)]
    [client.start() for client in clients]
    barrier.wait()
    results = [answers.get() for _ in clients]
    [client.join() for client in clients]
    latencies = [latency for result in results for latency in result[0]]
    rate = sum(len(result[0]) / result[2] for result in results if result[2])
    per_call = 1000 if kind == "log1000" else 1
    return {
        "per_second": round(rate * per_call, 1),
        "p50_ms": milliseconds(percentile(latencies, 0.5)),
        "p99_ms": milliseconds(percentile(latencies, 0.99)),
        "failed": sum(result[1] for result in results),
    }


# --- reading ---------------------------------------------------------------------------------------------------------


def timed(connection, method, path, body, times):
    request = connection.request(method, path, body)
    connection.send(request)
    latencies = []
    for _ in range(times):
        sent = time.perf_counter()
        status, answer = connection.send(request)
        latencies.append(time.perf_counter() - sent)
        assert status == 200, answer[:200]
        if sum(latencies) > 60:
            break
    return {"p50_ms": milliseconds(percentile(latencies, 0.5)), "p99_ms": milliseconds(percentile(latencies, 0.99))}, answer


def described(place):
    """Run `place` of a seed: about a tenth have acc > 0.9, a fifth have lr = '0.1'."""
    acc = ((place * 2654435761) % 1000003) / 1000003
    params = {"lr": ["0.1", "0.01", "0.001", "0.3", "0.03"][place % 5], "depth": str(place % 12), "seed": str(place),
              "opt": ["adam", "sgd", "lamb"][place % 3], "bs": str(2 ** (place % 8))}
    metrics = {"acc": acc, "loss": 1 - acc, "f1": acc * 0.97, "auc": 0.5 + acc / 2, "epoch_time": (place % 97) / 7}
    return params, metrics, {"mlflow.user": f"u{place % 20}", "team": f"t{place % 7}", "mlflow.source.type": "LOCAL"}


def seeder(port, experiment, places):
    connection = Connection(port)
    for place in places:
        params, metrics, tags = described(place)
        new = {"experiment_id": experiment, "start_time": T0 + place, "run_name": f"seed-{place}",
               "tags": [{"key": key, "value": value} for key, value in tags.items()]}
        run_id = connection.call("POST", f"{API}/runs/create", new)["run"]["info"]["run_id"]
        batch = {"run_id": run_id, "params": [{"key": key, "value": value} for key, value in params.items()],
                 "metrics": [{"key": key, "value": value, "timestamp": T0 + place, "step": 0} for key, value in metrics.items()]}
        connection.call("POST", f"{API}/runs/log-batch", batch)


def seed(server, runs):
    experiment = Connection(server.port).call("POST", f"{API}/experiments/create", {"name": f"seed-{uuid.uuid4().hex}"})
    experiment, began = experiment["experiment_id"], time.perf_counter()
    clients = [multiprocessing.Process(target=seeder, args=(server.port, experiment, range(number, runs, CLIENTS)))
               for number in range(CLIENTS)]
    [client.start() for client in clients]
    [client.join() for client in clients]
    print(f"  seeded {runs} runs in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return experiment


def seed_mlflow_file(folder, runs):
    """The same runs straight into MLflow's database, which its own server would take hours for."""
    base = sqlite3.connect(f"{folder}/mlflow.db")
    columns = lambda table: {row[1] for row in base.execute(f"pragma table_info({table})")}
    experiment = 900_000_000 + runs
    row = {"experiment_id": experiment, "name": f"seed-{runs}", "artifact_location": "x", "lifecycle_stage": "active",
           "creation_time": T0, "last_update_time": T0, "workspace": "default"}
    row = {key: value for key, value in row.items() if key in columns("experiments")}
    base.execute(f"insert into experiments({','.join(row)}) values({','.join('?' * len(row))})", list(row.values()))
    for place in range(runs):
        run_id, (params, metrics, tags) = uuid.UUID(int=(runs << 64) + place).hex, described(place)
        base.execute(
            "insert into runs(run_uuid,name,source_type,source_name,entry_point_name,user_id,status,start_time,source_version,"
            "lifecycle_stage,artifact_uri,experiment_id) values(?,?,'UNKNOWN','','','b','RUNNING',?,'','active','x',?)",
            (run_id, f"seed-{place}", T0 + place, experiment),
        )
        points = [(key, value, T0 + place, 0, 0, run_id) for key, value in metrics.items()]
        for table in ("metrics", "latest_metrics"):
            base.executemany(f"insert into {table}(key,value,timestamp,step,is_nan,run_uuid) values(?,?,?,?,?,?)", points)
        base.executemany("insert into params(key,value,run_uuid) values(?,?,?)", [(k, v, run_id) for k, v in params.items()])
        base.executemany("insert into tags(key,value,run_uuid) values(?,?,?)", [(k, v, run_id) for k, v in tags.items()])
    base.commit()
    base.close()
    return str(experiment)


def seed_by_import(folder, gyre, mlflow, runs):
    """The same runs by way of a database of MLflow: a million of them over HTTP would take a quarter of an hour."""
    database = f"sqlite:///{folder}/mlflow.db"
    subprocess.run([mlflow, "db", "upgrade", database], check=True, capture_output=True)
    experiment = seed_mlflow_file(folder, runs)
    began = time.perf_counter()
    subprocess.run([gyre, "import", "mlflow", "--from", database], cwd=folder, check=True, capture_output=True)
    print(f"  imported {runs} runs in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return experiment


def search(server, experiment, times):
    ask = {"experiment_ids": [experiment], "run_view_type": "ACTIVE_ONLY"}
    wanted = {"filter": "metrics.acc > 0.9 and params.lr = '0.1'", "order_by": ["metrics.acc DESC"]}
    cases = {
        "filter, by metric, 100": {**ask, **wanted, "max_results": 100},
        "filter, by metric, 1000": {**ask, **wanted, "max_results": 1000},
        "newest 100": {**ask, "order_by": ["attributes.start_time DESC"], "max_results": 100},
        "by tag, 100": {**ask, "filter": "tags.team = 't3'", "max_results": 100},
        "nothing": {**ask, "filter": "metrics.acc > 2", "max_results": 100},
    }
    connection, found = Connection(server.port), {}
    for name, case in cases.items():
        found[name], answer = timed(connection, "POST", f"{API}/runs/search", case, times)
        found[name]["runs"] = len(json.loads(answer).get("runs", []))
    return found


def history(server, points, times):
    connection = Connection(server.port)
    run_id = connection.call("POST", f"{API}/runs/create", {"experiment_id": "0", "start_time": T0})["run"]["info"]["run_id"]
    for low in range(0, points, 1000):
        metrics = [{"key": "loss", "value": 1 / (step + 1), "timestamp": T0 + step, "step": step} for step in range(low, low + 1000)]
        connection.call("POST", f"{API}/runs/log-batch", {"run_id": run_id, "metrics": metrics})
    one = urllib.parse.urlencode({"run_id": run_id, "metric_key": "loss"})
    many = urllib.parse.urlencode({"run_ids": run_id, "metric_key": "loss", "max_results": 320})
    whole, answer = timed(connection, "GET", f"{API}/metrics/get-history?{one}", None, 10)
    assert len(json.loads(answer)["metrics"]) == points
    path = f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?{many}"
    sampled, answer = timed(connection, "GET", path, None, times)
    assert len(json.loads(answer)["metrics"]) == 320
    return {"whole": whole, "sampled": sampled}


# --- one run ---------------------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gyre", default=str(ROOT / "target/release/gyre"))
    parser.add_argument("--mlflow", help="the program `mlflow` of an environment that has it")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--only", default="memory,log1,log1000,create,search,history")
    asked = parser.parse_args()
    only, results = asked.only.split(","), {}
    starts = [("gyre", lambda folder: start_gyre(folder, asked.gyre))]
    if asked.mlflow:
        starts.append(("mlflow", lambda folder: start_mlflow(folder, asked.mlflow)))
    for name, start in starts:
        folder = tempfile.mkdtemp(prefix="gyre-bench-")
        server, mine = start(folder), results.setdefault(name, {})
        try:
            if "memory" in only:
                time.sleep(2)
                mine["idle memory, MiB"] = server.memory()
            for kind in ("log1", "log1000", "create"):
                if kind in only:
                    mine[kind] = write_load(server, kind, asked.seconds)
                    print(name, kind, mine[kind], file=sys.stderr)
            if "history" in only:
                mine[f"history of {asked.points}"] = history(server, asked.points, 50)
                print(name, mine[f"history of {asked.points}"], file=sys.stderr)
            if "search" in only:
                if name == "mlflow":
                    server.stop()
                    experiment = seed_mlflow_file(folder, asked.runs)
                    server = start(folder)
                elif asked.runs > 200_000 and asked.mlflow:
                    server.stop()
                    experiment = seed_by_import(folder, asked.gyre, asked.mlflow, asked.runs)
                    server = start(folder)
                else:
                    experiment = seed(server, asked.runs)
                mine[f"search over {asked.runs}"] = search(server, experiment, 50 if name == "gyre" else 5)
                print(name, json.dumps(mine[f"search over {asked.runs}"], indent=1), file=sys.stderr)
            mine["memory at the end, MiB"] = server.memory()
        finally:
            server.stop()
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(results, indent=2))
    if asked.mlflow:
        for kind in ("log1", "log1000", "create"):
            if kind in only:
                ours, theirs = results["gyre"][kind], results["mlflow"][kind]
                rate, slow = ours["per_second"] / theirs["per_second"], theirs["p99_ms"] / ours["p99_ms"]
                print(f"{kind}: {rate:.0f} times as many a second, p99 1/{slow:.0f}")


if __name__ == "__main__":
    main()
