"""ADBC: results to Arrow and back, bound parameters, bulk ingest, catalog objects, transactions."""
import datetime as dt
import decimal

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa

from sections import main, raises, section, show, url


def connect(**kw):
    return adbc.connect(url(), **kw)


def table(t):
    for f in t.schema:
        show(f.name, str(f.type), {k.decode(): v.decode() for k, v in (f.metadata or {}).items()})
    for r in t.to_pylist():
        show(tuple(r.values()))


@section(sample=True)
def to_arrow():
    with connect() as c, c.cursor() as cur:
        cur.execute("SELECT i::smallint AS s, i, i::bigint AS b, i::real AS r, i / 2.0::double precision AS f, i::text AS t, i = 1 AS o, DATE '2024-01-01' + i AS d, "
                    "TIMESTAMP '2024-01-01' AS ts, TIMESTAMPTZ '2024-01-01Z' AS tz, 'x'::varchar(5) AS v, '\\x01'::bytea AS y, TIME '01:02:03' AS ti, INTERVAL '1 mon 2 days' AS iv, "
                    "ARRAY[i, NULL] AS a, ARRAY['x'] AS ta, NULLIF(i, 2) AS h FROM generate_series(1, 3) AS g(i) ORDER BY i")
        table(cur.fetch_arrow_table())


@section(sample=True)
def numerics_and_documents():
    with connect() as c, c.cursor() as cur:
        cur.execute("SELECT 1.50::numeric(10,2) AS n, 12345678901234567890.123::numeric AS big, '{\"a\": 1}'::jsonb AS j, '{\"a\": 1}'::json AS k, '00000000-0000-0000-0000-000000000001'::uuid AS u")
        table(cur.fetch_arrow_table())


@section(sample=True)
def dbapi():
    with connect() as c, c.cursor() as cur:
        cur.execute("SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, NULL ORDER BY 1")
        show([d[:2] for d in cur.description], cur.fetchone(), cur.fetchall(), cur.rownumber)
        cur.execute("SELECT $1 + 1, $2::text", (41, "y"))
        show(cur.fetchall())
        cur.execute("SELECT generate_series(1, 3000) AS i")
        show(sum(b.num_rows for b in cur.fetch_record_batch()))
        raises(cur.execute, "SELECT * FROM nothing")


@section(sample=True)
def ingest():
    data = pa.table({"i": pa.array([1, 2, None], pa.int32()), "b": pa.array([1, 2, 3], pa.int64()), "f": pa.array([0.5, None, 1.5], pa.float64()), "s": ["x", None, "z"],
                     "o": [True, False, None], "d": pa.array([dt.date(2024, 1, 1)] * 3), "t": pa.array([dt.datetime(2024, 1, 1)] * 3, pa.timestamp("us", tz="UTC")), "y": pa.array([b"1", None, b"\x00"], pa.binary())})
    with connect() as c, c.cursor() as cur:
        show(cur.adbc_ingest("ing", data, mode="create"))
        c.commit()
        show(cur.adbc_ingest("ing", data, mode="append"))
        c.commit()
        cur.execute("SELECT * FROM ing ORDER BY b")
        table(cur.fetch_arrow_table().slice(0, 3))
        raises(cur.adbc_ingest, "ing", data, mode="create")
        c.rollback()
        show(cur.adbc_ingest("ing", data, mode="replace"))
        show(cur.adbc_ingest("ing2", data.to_reader(), mode="create_append"))
        c.commit()
        cur.execute("SELECT (SELECT count(*) FROM ing), (SELECT count(*) FROM ing2)")
        show(cur.fetchall())


@section
def ingest_of_more_types():
    data = pa.table({"n": pa.array([decimal.Decimal("1.50"), None], pa.decimal128(10, 2)), "ti": pa.array([dt.time(1, 2, 3), None], pa.time64("us")),
                     "l": pa.array([[1, 2], None], pa.list_(pa.int32())), "dict": pa.array(["a", "b"]).dictionary_encode(), "ts": pa.array([dt.datetime(2024, 1, 1), None], pa.timestamp("us"))})
    with connect() as c, c.cursor() as cur:
        show(cur.adbc_ingest("ing3", data, mode="create"))
        c.commit()
        cur.execute("SELECT * FROM ing3")
        table(cur.fetch_arrow_table())
        show(cur.adbc_ingest("ing_temp", data, mode="create", temporary=True))
        cur.execute("SELECT count(*) FROM ing_temp")
        show(cur.fetchall())


@section
def executemany():
    with connect() as c, c.cursor() as cur:
        cur.execute("CREATE TABLE em (i integer, s text)")
        cur.executemany("INSERT INTO em VALUES ($1, $2)", [(1, "a"), (2, None)])
        cur.executemany("INSERT INTO em VALUES ($1, $2)", pa.record_batch({"i": pa.array([3], pa.int32()), "s": ["c"]}))
        c.commit()
        cur.execute("SELECT * FROM em ORDER BY i")
        show(cur.fetchall())


@section
def copy_turned_off():
    with connect() as c, c.cursor(adbc_stmt_kwargs={"adbc.postgresql.use_copy": "false"}) as cur:
        cur.execute("SELECT 1 AS a, 'x' AS b")
        table(cur.fetch_arrow_table())


@section
def transactions():
    with connect() as c, c.cursor() as cur:
        cur.execute("CREATE TABLE atx (i integer)")
        c.commit()
        cur.execute("INSERT INTO atx VALUES (1)")
        c.rollback()
        cur.execute("SELECT count(*) FROM atx")
        show(cur.fetchall())
    with connect(autocommit=True) as c, c.cursor() as cur:
        cur.execute("INSERT INTO atx VALUES (2)")
    with connect() as c, c.cursor() as cur:
        cur.execute("SELECT i FROM atx")
        show(cur.fetchall())


@section(sample=True)
def objects():
    with connect(autocommit=True) as c, c.cursor() as cur:
        cur.execute("CREATE TABLE obj (id integer PRIMARY KEY, v text NOT NULL)")
        info = c.adbc_get_info()
        show(info.get("vendor_name"))
        show(c.adbc_get_table_schema("obj").to_string())
        show(sorted(t for t in c.adbc_get_table_types()))
        for cat in c.adbc_get_objects(depth="all", table_name_filter="obj").read_all().to_pylist():
            for s in cat["catalog_db_schemas"] or []:
                for t in s["db_schema_tables"] or []:
                    show(cat["catalog_name"], s["db_schema_name"], t["table_name"], t["table_type"], [(x["column_name"], x["ordinal_position"], x["xdbc_type_name"]) for x in t["table_columns"]],
                         [(x["constraint_name"], x["constraint_type"], x["constraint_column_names"]) for x in t["table_constraints"]])


if __name__ == "__main__":
    main()
