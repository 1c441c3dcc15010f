"""Derives census.parquet from the American Community Survey sample that the NannyML package ships.

    pip install pandas pyarrow
    python derive.py PERSONS

PERSONS is that sample as Parquet, one row a person, with the survey's own column names, employed (0 or 1) and year. The
file is made next to this script, the same bytes at every run with the same versions of the two packages.

The sample does not tell on which day somebody was asked. The survey asks all year round, so `surveyed` spreads the persons of
a year evenly over its days, in the order of the sample: a stand-in, good enough to cut training data by time.
"""

import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
# Younger persons are not asked whether they work.
YOUNGEST = 16
COLUMNS = pa.schema([
    ("person_id", pa.int32()),
    ("year", pa.int32()),
    ("surveyed", pa.date32()),
    ("AGEP", pa.int32()),
    ("SCHL", pa.int32()),
    ("MAR", pa.int32()),
    ("RELP", pa.int32()),
    ("DIS", pa.int32()),
    ("CIT", pa.int32()),
    ("MIG", pa.int32()),
    ("MIL", pa.int32()),
    ("NATIVITY", pa.int32()),
    ("DREM", pa.int32()),
    ("SEX", pa.int32()),
    ("RAC1P", pa.int32()),
    ("employed", pa.int32()),
])


def surveyed(persons):
    """The day on which each person counts as asked: evenly over the year, in the order of the sample."""
    years = persons.groupby("year").year
    first = pd.to_datetime(persons.year.astype(str))
    days = first.dt.is_leap_year + 365
    return (first + pd.to_timedelta(years.cumcount() * days // years.transform("size"), unit="D")).dt.date


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    persons = pd.read_parquet(sys.argv[1])
    persons = persons[persons.AGEP >= YOUNGEST].sort_values(["year", "person_id"], ignore_index=True)
    persons["surveyed"] = surveyed(persons)
    table = pa.Table.from_pandas(persons, schema=COLUMNS, preserve_index=False).replace_schema_metadata(None)
    path = HERE / "census.parquet"
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        row_group_size=64_000,
        use_dictionary=[c for c in table.column_names if c not in ("person_id", "surveyed")],
        column_encoding={"person_id": "DELTA_BINARY_PACKED", "surveyed": "DELTA_BINARY_PACKED"},
        store_schema=False,
    )
    print(f"{path.name}: {table.num_rows} rows, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
