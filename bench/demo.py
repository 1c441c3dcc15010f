#!/usr/bin/env python3
"""Runs the demo and holds its figures against the targets."""

import json
import pathlib
import subprocess
import sys
import tempfile

from project import GYRE

with tempfile.TemporaryDirectory() as folder:
    done = subprocess.run(
        [GYRE, "demo", "--json", "--dir", pathlib.Path(folder) / "demo"], stdout=subprocess.PIPE, check=True
    )
figures = json.loads(done.stdout.splitlines()[-1])
static, managed = figures["static"], figures["managed"]
rows = [
    ("predictions over HTTP", figures["predictions"], ">=", 300_000),
    ("wall, s", figures["wall_s"], "<=", 60),
    ("peak memory, MiB", figures["peak_rss_mib"], "<=", 500),
    ("June to September, static / managed", static["mae_jun_sep"] / managed["mae_jun_sep"], ">=", 1.8),
    ("managed MAE from March on, min", managed["mae"], "<=", 8.6),
    ("retrains", figures["retrains"], "<=", 15),
    ("recalls", figures["recalls"], ">=", 1),
    ("failed requests", figures["failed_requests"], "<=", 0),
    ("journal verified", int(figures["journal"]["verified"]), ">=", 1),
]
print(f"static MAE {static['mae']:.2f}, journal {figures['journal']['entries']} entries")
missed = 0
for name, value, relation, target in rows:
    met = value >= target if relation == ">=" else value <= target
    missed += not met
    print(f"{'met   ' if met else 'MISSED'} {name:38} {value:>12.2f}  {relation} {target}")
sys.exit(missed > 0)
