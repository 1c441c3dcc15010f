#!/bin/sh
# What a backend adds to a call of a model's process, and what batching wins in front of a single-threaded Python model.
# Needs a Python with scikit-learn: the tests' environment, or PYTHON=...
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-${GYRE_TEST_VENV:-$PWD/target/test-venv}/bin/python}
cargo build --release --package gyre-backend --example load
for round in 1 2 3; do
    echo "round $round"
    target/release/examples/load hop
    target/release/examples/load batch "$python"
done
