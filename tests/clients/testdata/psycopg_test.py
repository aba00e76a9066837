"""What psycopg 3 does with the server: run with its connection string as the only argument. Fails by an exception."""
import datetime
import decimal
import json
import sys
import uuid

import psycopg
from psycopg.types.json import Json

dsn = sys.argv[1]
UTC = datetime.timezone.utc


def raises(state, run):
    try:
        run()
    except psycopg.Error as e:
        assert e.sqlstate == state, f"{e.sqlstate} {e}, not {state}"
        return e
    raise AssertionError(f"no error {state}")


with psycopg.connect(dsn, autocommit=True) as conn:
    assert conn.info.server_version >= 150000
    conn.execute("SET TIME ZONE 'UTC'")
    values = [
        ("boolean", True), ("smallint", -32768), ("integer", 2147483647), ("bigint", -(2**63)), ("double precision", 0.1),
        ("numeric(20,5)", decimal.Decimal("-12345.67891")), ("text", "日本 'x' \\ \n"), ("bytea", b"\x00\xff\\"),
        ("uuid", uuid.UUID(int=7)), ("date", datetime.date(2024, 2, 29)), ("time", datetime.time(23, 59, 59, 999999)),
        ("timestamp", datetime.datetime(2024, 2, 29, 1, 2, 3, 4)),
        ("timestamptz", datetime.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=UTC)),
        ("interval", datetime.timedelta(days=3, seconds=5, microseconds=7)), ("json", {"a": [1, None]}),
        ("bigint[]", [1, 2**62]), ("text[]", ["a", 'q"\\', "NULL"]),
    ]
    for i, (typ, value) in enumerate(values):
        conn.execute(f"CREATE TABLE e{i} (id bigint PRIMARY KEY, v {typ}, ts timestamptz NOT NULL) WITH (event_time = 'ts')")
        sent = Json(value) if typ == "json" else value
        conn.execute(f"INSERT INTO e{i} VALUES (%s, %s, %s), (2, NULL, now())", (1, sent, datetime.datetime(2024, 1, 1, tzinfo=UTC)))
        for binary in (False, True):
            got = conn.cursor(binary=binary).execute(f"SELECT v FROM e{i} WHERE id = %s", (1,)).fetchone()[0]
            assert got == value, f"{typ}, binary {binary}: {got!r}, not {value!r}"
            got = conn.cursor(binary=binary).execute(f"SELECT %s::{typ}", (sent,)).fetchone()[0]
            assert got == value, f"cast to {typ}, binary {binary}: {got!r}, not {value!r}"
            assert conn.cursor(binary=binary).execute(f"SELECT v FROM e{i} WHERE id = 2").fetchone() == (None,)

    conn.execute("CREATE TABLE ev (id bigint PRIMARY KEY, k bigint NOT NULL, amount numeric(12,2), note text, ts timestamptz NOT NULL) WITH (event_time = 'ts')")
    with conn.cursor() as cur:  # executemany uses the pipeline of the extended protocol
        cur.executemany("INSERT INTO ev (id, k, amount, ts) VALUES (%s, %s, %s, %s)",
                        [(i, i % 5, decimal.Decimal(i), datetime.datetime(2024, 1, 1, tzinfo=UTC)) for i in range(100)])
        assert cur.rowcount == 100, cur.rowcount
    for _ in range(8):  # prepared from the sixth on
        assert conn.execute("SELECT count(*) FROM ev WHERE k = %s", (3,)).fetchone() == (20,)
    assert conn.execute("SELECT count(*) FROM ev WHERE k = %s", (3,), prepare=True).fetchone() == (20,)

    # COPY in both directions, row by row and as text.
    for fmt in ("text", "csv"):
        with conn.cursor() as cur:
            with cur.copy(f"COPY (SELECT * FROM ev ORDER BY id) TO STDOUT (FORMAT {fmt})") as out:
                data = b"".join(bytes(b) for b in out)
            assert data.count(b"\n") == 100
            cur.execute("DELETE FROM ev")
            assert cur.rowcount == 100
            with cur.copy(f"COPY ev FROM STDIN (FORMAT {fmt})") as into:
                into.write(data)
            assert cur.rowcount == 100
    with conn.cursor() as cur:
        with cur.copy("COPY ev (id, k, note, ts) FROM STDIN") as into:
            for i in range(1000, 1010):
                into.write_row((i, 1, None if i % 2 else "tab\there", datetime.datetime(2024, 1, 2, tzinfo=UTC)))
        with cur.copy("COPY (SELECT id, note FROM ev WHERE id >= 1000 ORDER BY id) TO STDOUT") as out:
            rows = list(out.rows())
        assert rows[:2] == [("1000", "tab\there"), ("1001", None)], rows[:2]

    # Errors with their SQLSTATE and parts.
    e = raises("23505", lambda: conn.execute("INSERT INTO ev (id, k, ts) VALUES (1, 1, now())"))
    assert isinstance(e, psycopg.errors.UniqueViolation) and e.diag.constraint_name == "ev_pkey" and "(id)=(1)" in e.diag.message_detail
    e = raises("23502", lambda: conn.execute("INSERT INTO ev (id, ts) VALUES (5000, now())"))
    assert e.diag.column_name == "k" and e.diag.table_name == "ev"
    raises("42P01", lambda: conn.execute("SELECT * FROM nothing"))
    raises("42601", lambda: conn.execute("SELEC 1"))
    raises("22P02", lambda: conn.execute("SELECT %s::bigint", ("x",)))

    conn.execute("CREATE ENTITY ent (k bigint)")
    conn.execute("CREATE FEATURE spend ON ent AS SELECT k, sum(amount) AS total, count(*) AS n FROM ev GROUP BY k WINDOW LIFETIME")
    for binary in (False, True):
        row = conn.cursor(binary=binary).execute("SELECT k, spend_total, spend_n FROM ent WHERE k = %s", (3,)).fetchone()
        assert row == (3, decimal.Decimal("1010.00"), 20), row
    keys = conn.execute("SELECT k, spend_n FROM ent WHERE k = ANY(%s)", ([1, 2, 77],)).fetchall()
    assert sorted(keys) == [(1, 30), (2, 20), (77, 0)], keys

# Transactions: blocks commit, roll back, and a failed one refuses statements.
with psycopg.connect(dsn) as conn:
    with conn.transaction():
        conn.execute("UPDATE ev SET note = %s WHERE k = %s", ("kept", 4))
    try:
        with conn.transaction():
            conn.execute("DELETE FROM ev")
            assert conn.execute("SELECT count(*) FROM ev").fetchone() == (0,)
            raise KeyError
    except KeyError:
        pass
    assert conn.execute("SELECT count(*), count(note) FILTER (WHERE note = 'kept') FROM ev").fetchone() == (110, 20)
    conn.commit()
    raises("22012", lambda: conn.execute("SELECT 1/0"))
    raises("25P02", lambda: conn.execute("SELECT 1"))
    conn.rollback()
    assert conn.execute("SELECT 1").fetchone() == (1,)

print(json.dumps({"psycopg": psycopg.__version__, "types": len(values)}))
