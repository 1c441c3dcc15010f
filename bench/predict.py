#!/usr/bin/env python3
"""Batch scoring: 10 million rows x 10 features through an XGBoost model of 100 trees of depth 6, from Parquet to Parquet;
beside it the same with xgboost and pyarrow in Python, and with onnxruntime when it and onnxmltools are installed. All use the
same cores. `PYTHON=PATH` names a Python with numpy, pyarrow and xgboost (target/test-venv has them); `ROWS=N` other sizes;
`FOLDER=DIR` keeps the data there. Build first: `cargo build --release`."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
GYRE = pathlib.Path(os.environ.get("GYRE", ROOT / "target" / "release" / "gyre"))
ROWS = int(os.environ.get("ROWS", 10_000_000))
FEATURES, TREES, DEPTH, ROUNDS = 10, 100, 6, 3
CORES = len(os.sched_getaffinity(0))
NAMES = [f"f{i}" for i in range(FEATURES)]


def make(folder):
    """Rows of doubles with an id, in groups of a million as pyarrow writes them; and the model, as UBJSON."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import xgboost as xgb

    rng = np.random.default_rng(0)
    if not (folder / "model.ubj").exists():
        x = rng.normal(size=(50_000, FEATURES))
        y = x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + np.abs(x[:, 3]) + rng.normal(size=len(x)) / 4
        model = xgb.train({"max_depth": DEPTH, "eta": 0.1}, xgb.DMatrix(x, y, feature_names=NAMES), TREES)
        model.save_model(folder / "model.ubj")
    rows = folder / f"rows-{ROWS}.parquet"
    if not rows.exists():
        schema = pa.schema([("id", pa.int64())] + [(name, pa.float64()) for name in NAMES])
        with pq.ParquetWriter(rows, schema) as writer:
            for first in range(0, ROWS, 1_000_000):
                n = min(1_000_000, ROWS - first)
                columns = [pa.array(rng.normal(size=n).round(4)) for _ in NAMES]
                writer.write_table(pa.table([pa.array(range(first, first + n)), *columns], schema=schema))


def gyre_command(folder, rows):
    model, out = folder / "model.ubj", folder / "gyre.parquet"
    words = ["--file", model, "--input", rows, "--output", out, "--id", "id", "--threads", str(CORES)]
    return [GYRE, "predict", *words]


def by_gyre(folder, rows):
    subprocess.run(gyre_command(folder, rows), check=True, stdout=subprocess.DEVNULL)
    return folder / "gyre.parquet"


def streamed(folder, rows, out, predict):
    """A million rows at a time, as one would write it by hand."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    for batch in pq.ParquetFile(rows).iter_batches(1_000_000, columns=["id", *NAMES]):
        x = np.column_stack([batch.column(name).to_numpy().astype("f4") for name in NAMES])
        table = pa.table({"id": batch.column("id"), "prediction": pa.array(predict(x).astype("f8"))})
        writer = writer or pq.ParquetWriter(out, table.schema, compression="zstd")
        writer.write_table(table)
    writer.close()
    return out


def by_xgboost(folder, rows):
    import xgboost as xgb

    model = xgb.Booster(model_file=folder / "model.ubj")
    model.set_param({"nthread": CORES})
    model.feature_names = None
    return streamed(folder, rows, folder / "xgboost.parquet", model.inplace_predict)


def by_onnxruntime(folder, rows):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = CORES
    session = ort.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return streamed(folder, rows, folder / "onnxruntime.parquet", lambda x: session.run(None, {name: x})[0].ravel())


def to_onnx(folder):
    import onnx
    import xgboost as xgb
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    model = xgb.Booster(model_file=folder / "model.ubj")
    model.feature_names = None
    types = [("x", FloatTensorType([None, FEATURES]))]
    onnx.save(convert_xgboost(model, initial_types=types, target_opset=15), folder / "model.onnx")


def timed(what, folder, rows):
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        out = what(folder, rows)
        taken.append(time.perf_counter() - begun)
    return out, sorted(taken)[ROUNDS // 2]


def check(left, right):
    import numpy as np
    import pyarrow.parquet as pq

    one, other = (pq.read_table(path, columns=["id", "prediction"]) for path in (left, right))
    assert one["id"].equals(other["id"]), "the rows are not in the input's order"
    np.testing.assert_allclose(one["prediction"].to_numpy(), other["prediction"].to_numpy(), rtol=1e-4, atol=1e-5)


def main(folder):
    # In a process of its own: a child's peak of memory begins with that of the process that it was forked from.
    subprocess.run([sys.executable, __file__, "--make", folder], check=True)
    rows = folder / f"rows-{ROWS}.parquet"
    ours, gyre = timed(by_gyre, folder, rows)
    probe = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=2); " \
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
    command = [str(word) for word in gyre_command(folder, rows)]
    peak = int(subprocess.run([sys.executable, "-c", probe, *command], capture_output=True, text=True, check=True).stdout)
    print(f"gyre predict: {gyre:.2f} s, {ROWS / gyre:,.0f} rows/s (aim 1,000,000 on 2 cores), {peak} MiB at most")
    contenders = [by_xgboost]
    try:
        to_onnx(folder)
        contenders.append(by_onnxruntime)
    except ImportError as error:
        print(f"without onnxruntime: {error}")
    for contender in contenders:
        theirs, seconds = timed(contender, folder, rows)
        check(ours, theirs)
        name = contender.__name__.removeprefix("by_")
        print(f"{name} in Python: {seconds:.2f} s, {ROWS / seconds:,.0f} rows/s; gyre is {seconds / gyre:.2f} times as fast")
    print(f"medians of {ROUNDS}, {CORES} cores")


if __name__ == "__main__":
    # Taken out, so that the one that it names does not begin anew.
    if python := os.environ.pop("PYTHON", None):
        os.execv(python, [python, *sys.argv])
    if sys.argv[1:2] == ["--make"]:
        make(pathlib.Path(sys.argv[2]))
    elif "FOLDER" in os.environ:
        pathlib.Path(os.environ["FOLDER"]).mkdir(parents=True, exist_ok=True)
        main(pathlib.Path(os.environ["FOLDER"]))
    else:
        with tempfile.TemporaryDirectory() as name:
            main(pathlib.Path(name))
