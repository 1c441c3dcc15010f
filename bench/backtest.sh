#!/bin/sh
# What the repair policy costs on four histories, and on synthetic streams, beside other policies and the best schedule in hindsight.
#
#   bench/backtest.sh DIR      with electricity.csv (ELEC2) and bike-hour.csv (Fanaee-T & Gama 2013) in DIR; without DIR, only
#                              what the project has itself: flights, census, synthetic streams
#
# Builds the examples of gyre-backtest in release mode. Nothing is kept between runs.
set -eu
cd "$(dirname "$0")/.."
cargo build --quiet --release -p gyre-backtest --examples
target=${CARGO_TARGET_DIR:-target}/release/examples
ratios() { echo "== $1"; shift; "$target/ratios" "$@"; }

echo "== synthetic streams: cost as a multiple of the best schedule in hindsight (trainings), mean of 40 each"
"$target/streams"
ratios flights examples/flights/data/flights.parquet air_time_min regression mae scheduled_departure \
    label_time=landed without=flight_id
ratios census examples/census/data/census.parquet employed binary error_rate surveyed window=28d without=person_id,year
if [ $# -gt 0 ]; then
    ratios electricity "$1/electricity.csv" class binary error_rate 48
    ratios bikes "$1/bike-hour.csv" cnt regression mae 24 without=instant,dteday,casual,registered
fi
