#!/usr/bin/env python3
"""Imports an MLflow store of 100,000 runs (5 params, 5 metrics, 3 tags each) and holds the time against the target.

The schema is MLflow's own: `mlflow db upgrade` of the MLflow on the PATH, or of MLFLOW=/path/to/mlflow, makes the database.
"""

import json
import os
import pathlib
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid

from project import GYRE

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
T = 1_700_000_000_000


def seed(path):
    """Fills the database: one experiment, values that are the same every time."""
    db = sqlite3.connect(path)
    has = {row[1] for row in db.execute("pragma table_info(experiments)")}
    experiment = {"experiment_id": 7, "name": "seeded", "artifact_location": "s3://bucket/7", "lifecycle_stage": "active",
                  "creation_time": T, "last_update_time": T, "workspace": "default"}
    experiment = {key: value for key, value in experiment.items() if key in has}
    marks = ",".join("?" * len(experiment))
    db.execute(f"insert into experiments ({','.join(experiment)}) values ({marks})", list(experiment.values()))
    runs, metrics, params, tags = [], [], [], []
    for i in range(RUNS):
        # Ids in no order, as they are in life.
        run = uuid.uuid5(uuid.NAMESPACE_OID, str(i)).hex
        acc = ((i * 2654435761) % 1000003) / 1000003
        runs.append((run, f"run-{i}", "UNKNOWN", "", "", "bench", "FINISHED", T + i, T + i + 1000, "", "active",
                     f"s3://bucket/7/{run}/artifacts", 7))
        for key, value in {"acc": acc, "loss": 1 - acc, "f1": acc * 0.97, "auc": 0.5 + acc / 2, "time": (i % 97) / 7}.items():
            metrics.append((key, value, T + i, 0, 0, run))
        for key, value in {"lr": "0.1", "depth": i % 12, "seed": i, "opt": "adam", "bs": 2 ** (i % 8)}.items():
            params.append((key, str(value), run))
        for key, value in {"mlflow.user": f"u{i % 20}", "team": f"t{i % 7}", "mlflow.runName": f"run-{i}"}.items():
            tags.append((key, value, run))
    columns = ("run_uuid,name,source_type,source_name,entry_point_name,user_id,status,start_time,end_time,source_version,"
               "lifecycle_stage,artifact_uri,experiment_id")
    db.executemany(f"insert into runs ({columns}) values ({','.join('?' * 13)})", runs)
    for table in ("metrics", "latest_metrics"):
        db.executemany(f"insert into {table} (key,value,timestamp,step,is_nan,run_uuid) values (?,?,?,?,?,?)", metrics)
    db.executemany("insert into params (key,value,run_uuid) values (?,?,?)", params)
    db.executemany("insert into tags (key,value,run_uuid) values (?,?,?)", tags)
    db.commit()
    db.close()


mlflow = os.environ.get("MLFLOW") or shutil.which("mlflow")
if not mlflow:
    sys.exit("no mlflow: pip install mlflow==3.17.2, or say MLFLOW=/path/to/mlflow")
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    database, project = folder / "mlflow.db", folder / "project"
    project.mkdir()
    subprocess.run([mlflow, "db", "upgrade", f"sqlite:///{database}"], check=True, capture_output=True)
    seed(database)
    before = time.perf_counter()
    done = subprocess.run([GYRE, "import", "mlflow", "--json", "--from", f"sqlite:///{database}"], cwd=project,
                          stdout=subprocess.PIPE, check=True)
    took = time.perf_counter() - before
    report = json.loads(done.stdout)
    size = (project / ".gyre" / "gyre.db").stat().st_size
    source = database.stat().st_size
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
came = {kind: tally["imported"] for kind, tally in report["kinds"].items()}
print(f"{RUNS} runs in {took:.1f} s ({RUNS / took:.0f} runs/s); the largest process took {peak:.0f} MiB; "
      f"the database of {source >> 20} MiB became one of {size >> 20} MiB")
print(came)
whole = came["runs"] == RUNS and came["params"] == came["metric_points"] == 5 * RUNS and came["tags"] == 3 * RUNS
if not whole:
    sys.exit("not all of it came")
if RUNS == 100_000 and took > 60:
    sys.exit("target: at most 60 s")
