"""psycopg 2: adaptation in the client, named cursors, COPY through files, execute_values and batches, transactions, notifications."""
import datetime as dt
import decimal
import io
import select
import uuid

import psycopg2
import psycopg2.extensions
import psycopg2.extras
from psycopg2 import sql

from sections import main, raises, section, show

UTC = dt.timezone.utc
psycopg2.extras.register_uuid()


def connect(autocommit=True, **kw):
    conn = psycopg2.connect("", **kw)
    conn.autocommit = autocommit
    return conn


def run(conn, q, args=None):
    cur = conn.cursor()
    cur.execute(q, args)
    return cur.fetchall() if cur.description else cur.statusmessage


@section(sample=True)
def session():
    c = connect()
    show(c.server_version // 10000, c.encoding, c.get_parameter_status("standard_conforming_strings"), c.status, c.get_transaction_status(), c.protocol_version)
    c.set_client_encoding("LATIN1")
    show(c.encoding, run(c, "SELECT 'é'"))
    c.set_client_encoding("UTF8")
    show(run(c, "SELECT 'é日'"))


@section(sample=True)
def adaptation():
    """Each type written into the statement by the client, and read from text."""
    c = connect()
    for typ, v in [
        ("boolean", True), ("smallint", -32767), ("integer", 2147483647), ("bigint", -(2**62)), ("double precision", 0.1),
        ("double precision", float("inf")), ("double precision", float("nan")), ("real", 1.5), ("numeric", decimal.Decimal("-12345.67891")), ("numeric", decimal.Decimal("NaN")),
        ("text", "日本 'x' \\ \n"), ("varchar(4)", "abcd"), ("char(4)", "ab"), ("bytea", psycopg2.Binary(b"\x00\xff\\")),
        ("uuid", uuid.UUID(int=7)), ("date", dt.date(2024, 2, 29)), ("time", dt.time(23, 59, 59, 999999)), ("timestamp", dt.datetime(2024, 2, 29, 1, 2, 3, 4)),
        ("timestamptz", dt.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=UTC)), ("interval", dt.timedelta(days=3, seconds=5, microseconds=7)),
        ("json", psycopg2.extras.Json({"a": [1, None]})), ("jsonb", psycopg2.extras.Json({"b": 1, "a": True})), ("bigint[]", [1, 2**62]),
        ("text[]", ["a", 'q"\\', "NULL", None]), ("integer[]", []), ("numeric[]", [decimal.Decimal("1.5")]), ("date[]", [dt.date(2024, 1, 1)]), ("integer[][]", [[1, 2], [3, 4]]),
    ]:
        cur = c.cursor()
        cur.execute(f"SELECT %s::{typ}", (v,))
        show(typ, cur.fetchone()[0], cur.description[0].type_code)
    show(run(c, "SELECT 1 WHERE 2 IN %s", ((1, 2, 3),)), run(c, "SELECT 1 WHERE 2 = ANY(%s)", ([1, 2],)))
    cur = c.cursor()
    show(cur.mogrify("INSERT INTO x VALUES (%s, %s, %s, %s, %s)", (1, "it's", None, b"\x01", [dt.date(2024, 1, 1)])))


@section(sample=True)
def literals():
    """What the client writes in place of parameters, without casts of ours."""
    c = connect()
    for v in [True, 1, 2**40, 1.5, decimal.Decimal("1.50"), "it's", "back\\slash", b"\x00\x01", dt.date(2024, 1, 2), dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), dt.timedelta(days=1, seconds=2), [1, 2], ["a", "b"], None]:
        cur = c.cursor()
        cur.execute("SELECT %s", (v,))
        show(cur.fetchone()[0], cur.description[0].type_code)


@section(sample=True)
def cursors():
    c = connect(autocommit=False)
    cur = c.cursor(name="named")
    cur.itersize = 50
    cur.execute("SELECT i, i * 2 FROM generate_series(1, 500) AS g(i)")
    show(cur.fetchone(), cur.fetchmany(2), sum(r[0] for r in cur), cur.fetchone(), cur.rownumber)
    cur.close()
    cur = c.cursor(name="scrolls", scrollable=True)
    cur.execute("SELECT generate_series(1, 20)")
    show(cur.fetchmany(5))
    cur.scroll(-3)
    show(cur.fetchone())
    cur.scroll(10, mode="absolute")
    show(cur.fetchone(), cur.fetchall())
    cur.close()
    cur = c.cursor(name="held", withhold=True)
    cur.execute("SELECT generate_series(1, 5)")
    c.commit()
    show(cur.fetchall())
    cur.close()
    c.commit()
    for factory in (psycopg2.extras.DictCursor, psycopg2.extras.RealDictCursor, psycopg2.extras.NamedTupleCursor):
        cur = c.cursor(cursor_factory=factory)
        cur.execute("SELECT 1 AS a, 'x' AS b")
        r = cur.fetchone()
        show(dict(r) if not isinstance(r, tuple) else tuple(r))
    cur = c.cursor()
    cur.execute("SELECT 1::numeric(10,2) AS n, 'x'::varchar(7) AS v")
    show([tuple(d) for d in cur.description], cur.rowcount)


@section(sample=True)
def many():
    c = connect(autocommit=False)
    cur = c.cursor()
    cur.execute("CREATE TABLE many (id serial PRIMARY KEY, a integer, b text)")
    cur.executemany("INSERT INTO many (a, b) VALUES (%s, %s)", [(i, str(i)) for i in range(20)])
    show(cur.rowcount)
    show(psycopg2.extras.execute_values(cur, "INSERT INTO many (a, b) VALUES %s RETURNING id", [(i, "v") for i in range(5)], fetch=True))
    psycopg2.extras.execute_batch(cur, "UPDATE many SET b = %s WHERE a = %s", [(f"u{i}", i) for i in range(10)], page_size=4)
    cur.execute("SELECT count(*), sum(id), min(b), max(b) FROM many")
    show(cur.fetchone())
    psycopg2.extras.execute_values(cur, "UPDATE many SET b = d.b FROM (VALUES %s) AS d (a, b) WHERE d.a = many.a", [(1, "w"), (2, "w")])
    show(cur.rowcount)
    c.commit()
    cur.execute("SELECT id, a, b FROM many WHERE b = 'w' ORDER BY id")
    show(cur.fetchall())
    c.rollback()


@section(sample=True)
def copies():
    c = connect()
    cur = c.cursor()
    cur.execute("CREATE TABLE cp (i integer PRIMARY KEY, s text, n numeric)")
    cur.copy_from(io.StringIO("1\ta\t1.5\n2\t\\N\t\\N\n"), "cp")
    show(cur.rowcount)
    cur.copy_from(io.StringIO("3|x\n4|y\n"), "cp", sep="|", columns=("i", "s"))
    out = io.StringIO()
    cur.copy_to(out, "cp", null="nil")
    show(sorted(out.getvalue().splitlines()))
    out = io.BytesIO()
    cur.copy_expert("COPY (SELECT * FROM cp ORDER BY i) TO STDOUT WITH CSV HEADER", out)
    show(out.getvalue())
    cur.copy_expert("COPY cp (i, s) FROM STDIN WITH (FORMAT csv)", io.StringIO('7,"a,""b"\n'))
    show(run(c, "SELECT * FROM cp ORDER BY i"))
    out = io.BytesIO()
    cur.copy_expert("COPY (SELECT i, s FROM cp ORDER BY i) TO STDOUT WITH BINARY", out)
    data = out.getvalue()
    show(data)
    run(c, "CREATE TABLE cp_b (i integer, s text)")
    cur.copy_expert("COPY cp_b FROM STDIN WITH BINARY", io.BytesIO(data))
    show(cur.rowcount, run(c, "SELECT count(*), sum(i) FROM cp_b"))
    raises(cur.copy_from, io.StringIO("x\ty\tz\n"), "cp")


@section(sample=True)
def transactions():
    c = connect(autocommit=False)
    run(c, "CREATE TABLE tx (i integer PRIMARY KEY)")
    c.commit()
    with c:
        run(c, "INSERT INTO tx VALUES (1)")
    try:
        with c:
            run(c, "INSERT INTO tx VALUES (2)")
            run(c, "INSERT INTO tx VALUES (1)")
    except psycopg2.errors.UniqueViolation as e:
        show(e.pgcode, e.diag.constraint_name, e.diag.message_detail)
    show(run(c, "SELECT i FROM tx"))
    run(c, "SAVEPOINT s")
    raises(run, c, "INSERT INTO tx VALUES (1)")
    show(c.get_transaction_status())
    raises(run, c, "SELECT 1")
    run(c, "ROLLBACK TO SAVEPOINT s")
    run(c, "INSERT INTO tx VALUES (3)")
    run(c, "RELEASE SAVEPOINT s")
    c.commit()
    show(run(c, "SELECT i FROM tx ORDER BY i"))
    c.rollback()
    c.set_session(isolation_level="SERIALIZABLE", readonly=True)
    show(run(c, "SHOW transaction_isolation"), run(c, "SHOW transaction_read_only"))
    c.rollback()
    raises(run, c, "INSERT INTO tx VALUES (4)")
    c.rollback()
    c.set_session(isolation_level="DEFAULT", readonly=False, autocommit=True)
    show(run(c, "SHOW transaction_isolation"))


@section
def notifications():
    a, b = connect(), connect()
    run(a, "LISTEN ch")
    run(b, "NOTIFY ch, 'one'")
    select.select([a], [], [], 2)
    a.poll()
    show([(n.channel, n.payload) for n in a.notifies])
    run(a, "UNLISTEN ch")
    run(b, "NOTIFY ch, 'two'")
    run(a, "SELECT 1")
    show(len(a.notifies))


@section(sample=True)
def notices():
    c = connect()
    run(c, "DROP TABLE IF EXISTS nowhere")
    show(c.notices)


@section(sample=True)
def composed():
    c = connect()
    q = sql.SQL("SELECT {} FROM {} WHERE {} = {}").format(sql.Identifier("a"), sql.Identifier("tab le"), sql.Identifier("b"), sql.Placeholder())
    run(c, 'CREATE TABLE "tab le" (a integer, b text)')
    run(c, 'INSERT INTO "tab le" VALUES (1, \'x\')')
    show(q.as_string(c), run(c, q, ("x",)))


@section
def asynchronous():
    c = psycopg2.connect("", async_=1)
    psycopg2.extras.wait_select(c)
    cur = c.cursor()
    cur.execute("SELECT 1 + %s", (2,))
    psycopg2.extras.wait_select(c)
    show(cur.fetchone())
    c.close()


@section
def composite_and_ranges():
    c = connect()
    show(run(c, "SELECT %s", (psycopg2.extras.NumericRange(1, 5),)), run(c, "SELECT '[2024-01-01,2024-02-01)'::daterange"))
    psycopg2.extras.register_inet()
    show(run(c, "SELECT %s", (psycopg2.extras.Inet("10.0.0.1"),)))


@section
def hstore_lookup():
    show(psycopg2.extras.HstoreAdapter.get_oids(connect(autocommit=False)))


if __name__ == "__main__":
    main()
