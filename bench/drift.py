#!/usr/bin/env python3
"""`gyre drift` on two tables of a million rows and 20 columns, and on two of 100,000 rows and 50 columns, beside the same tests in
Python with pyarrow and scipy, and beside NannyML and Evidently where `--nannyml` and `--evidently` name Pythons that have them.

Fourteen (or 38) columns of numbers: normal, skewed, whole, with many zeros, heavy-tailed, with missing values; six (or 12) of
names, of 3 to 1,000 kinds. Of the current table four changes matter (a mean by a quarter of a deviation, missing values by 7 points,
a name's share by 5 points, a name never seen in 1 % of the rows) and two are real but small (a scale by 2 %, 3 % of counts by one).

    cargo build --release -p gyre
    PYTHON=PATH python3 bench/drift.py [--nannyml PYTHON] [--evidently PYTHON]

PYTHON (by default the tests' environment) has numpy, pyarrow and scipy. Each is a process of its own, timed as a whole, and so is
how much memory it took at most.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
GYRE = ROOT / "target" / "release" / "gyre"
PYTHON = os.environ.get("PYTHON", str(ROOT / "target" / "test-venv" / "bin" / "python"))
TURNS = 3

MAKE = """
import sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq

def column(rng, rows, kind):
    if kind == 0: return rng.normal(size=rows)
    if kind == 1: return rng.lognormal(size=rows)
    if kind == 2: return rng.poisson(4, rows).astype(float)
    if kind == 3: return np.where(rng.random(rows) < 0.4, 0.0, rng.gamma(2, size=rows))
    if kind == 4: return rng.standard_t(2, rows)
    return rng.random(rows)

def table(folder, name, rows, numbers, names, current):
    rng = np.random.default_rng([rows, current])
    columns = {}
    for at in range(numbers):
        values, missing = column(rng, rows, at % 6), 0.05 if at == 5 else 0.0
        if current and at == 0: values = values + 0.25
        if current and at == 1: values = values * 1.02
        if current and at == 2: values = values + (rng.random(rows) < 0.03)
        if current and at == 5: missing = 0.12
        columns[f"n{at:02}"] = pa.array(values, mask=rng.random(rows) < missing)
    for at in range(names):
        kinds = [3, 5, 12, 40, 200, 1000][at % 6]
        share = 1 / np.arange(1, kinds + 1) ** 1.1
        share /= share.sum()
        if current and at == 2: share[1] += 0.05
        code = rng.choice(kinds, rows, p=share / share.sum())
        if current and at == 4: code = np.where(rng.random(rows) < 0.01, kinds, code)
        columns[f"c{at:02}"] = pa.array(np.array([f"v{i}" for i in range(kinds + 1)])[code])
    pq.write_table(pa.table(columns), f"{folder}/{name}.parquet", row_group_size=131072)

rows, numbers, names = map(int, sys.argv[2:5])
table(sys.argv[1], "reference", rows, numbers, names, 0)
table(sys.argv[1], "current", rows, numbers, names, 1)
"""

SCIPY = """
import sys
import numpy as np, pyarrow.parquet as pq
from scipy import stats
from scipy.spatial.distance import jensenshannon

before, after = (pq.read_table(f"{sys.argv[1]}/{name}.parquet") for name in ("reference", "current"))
for name in before.column_names:
    a, b = before[name].drop_null(), after[name].drop_null()
    if name.startswith("n"):
        a, b = a.to_numpy(), b.to_numpy()
        stats.ks_2samp(a, b, method="asymp"), stats.wasserstein_distance(a, b)
        edges = np.unique(np.quantile(a, np.linspace(0, 1, 11)))
        p, q = np.histogram(a, edges)[0], np.histogram(b, edges)[0]
    else:
        p, q = ({pair["values"].as_py(): pair["counts"].as_py() for pair in x.value_counts()} for x in (a, b))
        known = sorted(set(p) | set(q))
        p, q = (np.array([x.get(name, 0) for name in known]) for x in (p, q))
        stats.chi2_contingency([p, q])
    jensenshannon(p, q)
"""

NANNYML = """
import sys
import nannyml, pandas as pd
before, after = (pd.read_parquet(f"{sys.argv[1]}/{name}.parquet") for name in ("reference", "current"))
chunk = len(before)
found = nannyml.UnivariateDriftCalculator(
    column_names=list(before.columns), chunk_size=chunk,
    continuous_methods=["kolmogorov_smirnov", "wasserstein", "jensen_shannon"],
    categorical_methods=["chi2", "jensen_shannon", "l_infinity"],
).fit(before).calculate(after)
"""

EVIDENTLY = """
import sys
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
before, after = (pd.read_parquet(f"{sys.argv[1]}/{name}.parquet") for name in ("reference", "current"))
Report([DataDriftPreset()]).run(after, before).dict()
"""


def timed(*command):
    """Seconds."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "NML_DISABLE_USAGE_LOGGING": "1"})
    _, told = process.communicate()
    took = time.perf_counter() - begun
    if process.returncode:
        sys.exit(f"{command[0]} failed: {told.decode()[-800:]}")
    return took


def largest(*command):
    """The most memory that it takes, in MiB."""
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    return int(subprocess.run([sys.executable, "-c", code, *map(str, command)], capture_output=True, text=True, check=True).stdout) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nannyml", metavar="PYTHON")
    parser.add_argument("--evidently", metavar="PYTHON")
    arguments = parser.parse_args()
    peers = {"scipy": (PYTHON, SCIPY), "NannyML": (arguments.nannyml, NANNYML), "Evidently": (arguments.evidently, EVIDENTLY)}
    for rows, numbers, names in ((1_000_000, 14, 6), (100_000, 38, 12)):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([PYTHON, "-c", MAKE, folder, str(rows), str(numbers), str(names)], check=True)
            gyre = (GYRE, "drift", f"{folder}/reference.parquet", f"{folder}/current.parquet")
            ours, theirs = [], {name: [] for name, (python, _) in peers.items() if python}
            for _ in range(TURNS):
                ours.append(timed(*gyre))
                for name in theirs:
                    python, code = peers[name]
                    theirs[name].append(timed(python, "-c", code, folder))
            took = statistics.median(ours)
            print(f"{rows} x {numbers + names}: gyre {took:.2f} s ({min(ours):.2f} to {max(ours):.2f}), {largest(*gyre):.0f} MiB")
            for name, times in theirs.items():
                python, code = peers[name]
                print(f"    {name:10} {statistics.median(times):6.1f} s, {statistics.median(times) / took:5.1f} x, {largest(python, '-c', code, folder):.0f} MiB")
            said = json.loads(subprocess.run([*gyre, "--json"], capture_output=True, text=True, check=True).stdout)
            for verdict in ("drift", "immaterial", "insufficient"):
                found = [column["name"] for column in said["columns"] if column["verdict"] == verdict]
                print(f"    {verdict}: {', '.join(found) or '-'}")


if __name__ == "__main__":
    main()
