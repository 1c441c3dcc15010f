#!/usr/bin/env python3
"""`gyre profile` on a table of a million rows and 20 columns (and on one of 100,000 and 50), as Parquet and as CSV, beside whylogs
where `--whylogs` names a Python that has it and pandas' `describe` in the same Python.

The tables are those of ../shared/bench/drift_bench.py: 14 (35) columns of numbers, normal, skewed, heavy-tailed, whole, with many
zeros, some with missing values, and 6 (15) of names, of 2 to 1,000 kinds.

    cargo build --release -p gyre
    PYTHON=PATH python3 bench/profile.py [--whylogs PYTHON] [--gyre COMMAND]

PYTHON (by default the tests' environment) has numpy and pyarrow. Each is a process of its own, timed as a whole, and so is how much
memory it took at most. `--gyre` is another command that profiles the file that it gets as last argument.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
GYRE = f"{ROOT / 'target' / 'release' / 'gyre'} profile"
PYTHON = os.environ.get("PYTHON", str(ROOT / "target" / "test-venv" / "bin" / "python"))
DATA = ROOT.parent / "shared" / "bench" / "drift_bench.py"
TURNS = 3

CSV = """
import sys, pyarrow.csv as csv, pyarrow.parquet as pq
csv.write_csv(pq.read_table(sys.argv[1]), sys.argv[2])
"""

WHYLOGS = """
import sys, pandas as pd, whylogs as why
path = sys.argv[1]
table = pd.read_csv(path) if path.endswith("csv") else pd.read_parquet(path)
why.log(table).view().to_pandas()
"""

PANDAS = """
import sys, pandas as pd
path = sys.argv[1]
table = pd.read_csv(path) if path.endswith("csv") else pd.read_parquet(path)
table.describe(include="all")
"""


def timed(*command):
    """Seconds, and the most memory in MiB."""
    code = "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done.returncode)"
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *map(str, command)], capture_output=True, text=True)
    took = time.perf_counter() - begun
    if done.returncode:
        sys.exit(f"{command[0]} failed: {done.stderr[-800:]}")
    return took, int(done.stdout) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whylogs", metavar="PYTHON")
    parser.add_argument("--gyre", metavar="COMMAND", default=GYRE)
    arguments = parser.parse_args()
    rivals = {"gyre": arguments.gyre.split()}
    if arguments.whylogs:
        rivals |= {"pandas": [arguments.whylogs, "-c", PANDAS], "whylogs": [arguments.whylogs, "-c", WHYLOGS]}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([PYTHON, DATA, "gen", "--out", folder, "--sets", "a,b"], check=True, stdout=subprocess.DEVNULL)
        for name, size in (("a", "1,000,000 x 20"), ("b", "100,000 x 50")):
            subprocess.run([PYTHON, "-c", CSV, f"{folder}/{name}_ref.parquet", f"{folder}/{name}_ref.csv"], check=True)
            for kind in ("parquet", "csv"):
                path = f"{folder}/{name}_ref.{kind}"
                print(f"{size}, {kind}, {os.path.getsize(path) / 2**20:.0f} MiB")
                runs = {rival: [] for rival in rivals}
                for _ in range(TURNS):
                    for rival, command in rivals.items():
                        runs[rival].append(timed(*command, path))
                ours = statistics.median(took for took, _ in runs["gyre"])
                for rival, found in runs.items():
                    took, memory = statistics.median(took for took, _ in found), max(memory for _, memory in found)
                    print(f"    {rival:8} {took:7.2f} s, {took / ours:6.1f} x, {memory:6.0f} MiB")


if __name__ == "__main__":
    main()
