"""Data frames: pandas over SQLAlchemy, polars over connectorx and ADBC."""
import warnings

import numpy as np
import pandas as pd
import polars as pl
import sqlalchemy as sa

from sections import main, section, show, url

warnings.simplefilter("ignore")


def engine():
    return sa.create_engine(url("postgresql+psycopg"))


def frame(df):
    show([(n, str(t)) for n, t in zip(df.columns, df.dtypes)], tuple(df.shape))
    rows = df.rows() if isinstance(df, pl.DataFrame) else list(df.itertuples(index=False, name=None))
    for r in rows[:5]:
        print("   ", " | ".join(str(x) for x in r))


QUERY = ("SELECT i, i::bigint AS b, i::numeric(10,2) / 4 AS n, i * 0.5::double precision AS f, 'row ' || i AS s, i % 2 = 0 AS odd, DATE '2024-01-01' + i AS d, "
         "TIMESTAMPTZ '2024-01-01 00:00:00Z' + i * INTERVAL '1 hour' AS t, CASE WHEN i > 2 THEN i END AS holes FROM generate_series(1, 4) AS g(i) ORDER BY i")


@section(sample=True)
def pandas_reads():
    with engine().connect() as c:
        frame(pd.read_sql(sa.text(QUERY), c))
        frame(pd.read_sql_query(sa.text("SELECT :a AS x"), c, params={"a": 5}))
        frame(pd.read_sql(sa.text(QUERY), c, dtype_backend="numpy_nullable", index_col="i"))
        show([len(x) for x in pd.read_sql(sa.text("SELECT generate_series(1, 25)"), c, chunksize=10)])


@section(sample=True)
def pandas_writes():
    e = engine()
    df = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"], "f": [0.5, np.nan, 2.0], "t": pd.to_datetime(["2024-01-01", "2024-01-02", None], utc=True), "ok": [True, False, True]})
    show(df.to_sql("pandas_t", e, index=False, if_exists="replace"))
    show(df.to_sql("pandas_t", e, index=False, if_exists="append", method="multi"))
    frame(pd.read_sql_table("pandas_t", e))
    show(df.to_sql("pandas_t", e, if_exists="replace", index=True, index_label="ix", chunksize=2, dtype={"b": sa.String(10)}))
    frame(pd.read_sql_table("pandas_t", e, columns=["ix", "b"]))
    show(sa.inspect(e).get_indexes("pandas_t"), [(c["name"], str(c["type"])) for c in sa.inspect(e).get_columns("pandas_t")])
    frame(pd.read_sql("SELECT b, count(*) AS n, sum(f) AS f FROM pandas_t GROUP BY b ORDER BY b NULLS FIRST", e))


@section(sample=True)
def polars_connectorx():
    frame(pl.read_database_uri(QUERY, url(), engine="connectorx"))


@section
def polars_connectorx_protocols():
    for p in ("binary", "csv", "cursor", "simple"):
        frame(pl.read_database_uri(QUERY.replace(" / 4", ""), url(), engine="connectorx", protocol=p))


@section
def polars_connectorx_partitions():
    frame(pl.read_database_uri("SELECT i, i * 2 AS j FROM generate_series(1, 100) AS g(i)", url(), engine="connectorx", partition_on="i", partition_num=3).sort("i"))
    frame(pl.read_database_uri(["SELECT 1 AS x", "SELECT 2 AS x"], url(), engine="connectorx").sort("x"))


@section(sample=True)
def polars_adbc():
    frame(pl.read_database_uri(QUERY, url(), engine="adbc"))


@section
def polars_connection():
    with engine().connect() as c:
        frame(pl.read_database(QUERY, c))
        show([len(x) for x in pl.read_database("SELECT generate_series(1, 25) AS x", c, iter_batches=True, batch_size=10)])


@section
def polars_writes():
    df = pl.DataFrame({"a": [1, 2, None], "s": ["x", None, "z"], "f": [1.5, 2.5, 3.5]})
    for e in ("adbc", "sqlalchemy"):
        show(e, df.write_database(f"polars_{e}", url() if e == "adbc" else url("postgresql+psycopg"), engine=e, if_table_exists="replace"))
        show(e, df.write_database(f"polars_{e}", url() if e == "adbc" else url("postgresql+psycopg"), engine=e, if_table_exists="append"))
        frame(pl.read_database_uri(f"SELECT * FROM polars_{e} ORDER BY a NULLS LAST, s", url(), engine="adbc"))


if __name__ == "__main__":
    main()
