"""psycopg 3: adaptation of every type both ways, server-side cursors, COPY, prepared statements, pipelines, transactions."""
import datetime as dt
import decimal
import ipaddress
import uuid

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row, namedtuple_row
from psycopg.types.json import Json, Jsonb
from psycopg.types.range import Range

from sections import main, raises, section, show

UTC = dt.timezone.utc

TYPES = [
    ("boolean", True), ("smallint", -32768), ("integer", 2147483647), ("bigint", -(2**63)),
    ("real", 1.5), ("double precision", 0.1), ("double precision", float("inf")), ("double precision", float("nan")),
    ("numeric", decimal.Decimal("12345678901234567890.123456789")), ("numeric(20,5)", decimal.Decimal("-12345.67891")),
    ("numeric", decimal.Decimal("NaN")), ("text", "日本 'x' \\ \n"), ("varchar(10)", "abc"), ("char(5)", "ab"),
    ("name", "pg_class"), ("bytea", b"\x00\xff\\"), ("uuid", uuid.UUID(int=7)), ("date", dt.date(2024, 2, 29)),
    ("date", dt.date(1, 1, 1)), ("time", dt.time(23, 59, 59, 999999)), ("timetz", dt.time(1, 2, 3, tzinfo=UTC)),
    ("timestamp", dt.datetime(2024, 2, 29, 1, 2, 3, 4)), ("timestamptz", dt.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=UTC)),
    ("interval", dt.timedelta(days=3, seconds=5, microseconds=7)), ("interval", dt.timedelta(days=-1, seconds=3)),
    ("json", {"a": [1, None]}), ("jsonb", {"b": 1, "a": [True, 1.5]}),
    ("bigint[]", [1, 2**62, None]), ("text[]", ["a", 'q"\\', "NULL", None, ""]), ("numeric[]", [decimal.Decimal("1.50")]),
    ("integer[][]", [[1, 2], [3, 4]]), ("timestamptz[]", [dt.datetime(2024, 1, 1, tzinfo=UTC)]), ("boolean[]", [True, False]),
    ("uuid[]", [uuid.UUID(int=1)]), ("date[]", [dt.date(2020, 1, 1)]), ("bytea[]", [b"\x01\x02"]), ("float8[]", [1.5, None]),
]
OTHER_TYPES = [
    ("inet", ipaddress.ip_address("192.168.0.1")), ("cidr", ipaddress.ip_network("10.0.0.0/8")),
    ("int4range", Range(1, 5)), ("tstzrange", Range(dt.datetime(2024, 1, 1, tzinfo=UTC), None)),
]


def connect(**kw):
    conn = psycopg.connect("", autocommit=True, **kw)
    conn.execute("SET TIME ZONE 'UTC'")
    return conn


def sent(typ, v):
    return {"json": Json, "jsonb": Jsonb}.get(typ, lambda x: x)(v)


@section(sample=True)
def session():
    """What the driver learns of the server at connect."""
    with connect(application_name="clients") as c:
        show(c.info.server_version // 10000, c.info.encoding, c.info.parameter_status("standard_conforming_strings"),
             c.info.parameter_status("integer_datetimes"), c.info.parameter_status("TimeZone"), c.info.transaction_status.name,
             c.info.parameter_status("application_name"), c.info.parameter_status("server_encoding"), c.info.parameter_status("DateStyle"))
        show(*c.execute("SELECT current_user, session_user, current_database(), current_schema(), pg_backend_pid() > 0").fetchone())


@section(sample=True)
def types_as_parameters():
    """Each type as a parameter and as a result, text and binary both ways."""
    with connect() as c:
        for typ, v in TYPES:
            for binary in (False, True):
                mark = "%b" if binary else "%t"
                cur = c.cursor(binary=binary).execute(f"SELECT {mark}::{typ}", (sent(typ, v),))
                show(typ, binary, cur.fetchone()[0], cur.description[0].type_code)


@section
def types_of_networks_and_ranges():
    with connect() as c:
        for typ, v in OTHER_TYPES:
            for binary in (False, True):
                cur = c.cursor(binary=binary).execute(f"SELECT {'%b' if binary else '%t'}::{typ}", (v,))
                show(typ, binary, cur.fetchone()[0], cur.description[0].type_code)


@section
def types_in_tables():
    """Each type stored and read back."""
    with connect() as c:
        for i, (typ, v) in enumerate(TYPES):
            c.execute(f"CREATE TABLE t{i} (id integer PRIMARY KEY, v {typ})")
            c.execute(f"INSERT INTO t{i} VALUES (1, %s), (2, NULL)", (sent(typ, v),))
            for binary in (False, True):
                cur = c.cursor(binary=binary).execute(f"SELECT v FROM t{i} ORDER BY id")
                show(typ, cur.fetchall(), cur.description[0].type_code, cur.description[0].precision, cur.description[0].scale,
                     cur.description[0].display_size, cur.description[0].internal_size)
            c.execute(f"DROP TABLE t{i}")


@section
def untyped_parameters():
    """Parameters whose type the server infers."""
    with connect() as c:
        for q, args in [
            ("SELECT %s", ("x",)), ("SELECT %s + 1", (2,)), ("SELECT 1 WHERE 3 = ANY(%s)", ([1, 3],)), ("SELECT %s || 'y'", ("x",)),
            ("SELECT coalesce(%s, 'd')", (None,)), ("SELECT date_trunc('day', %s)", (dt.datetime(2024, 1, 2, 3, tzinfo=UTC),)),
            ("SELECT %s::date + %s", (dt.date(2024, 1, 1), 3)), ("SELECT * FROM (VALUES (1),(2)) v(x) WHERE x > %s LIMIT %s OFFSET %s", (0, 1, 1)),
            ("SELECT CASE WHEN %s THEN 1 ELSE 2 END", (True,)), ("SELECT greatest(%s, 2)", (5,)), ("SELECT %s IS NULL", (None,)),
            ("SELECT * FROM generate_series(1, %s)", (3,)), ("SELECT '2024-01-02'::timestamptz - %s", (dt.timedelta(hours=1),)),
        ]:
            try:
                cur = c.execute(q, args)
                show(q, cur.fetchall(), [d.type_code for d in cur.description])
            except psycopg.Error as e:
                show(q, type(e).__name__, e.sqlstate)


@section(sample=True)
def rows_and_descriptions():
    with connect() as c:
        show(c.cursor(row_factory=dict_row).execute("SELECT 1 AS a, 'x' AS b").fetchall())
        show(tuple(c.cursor(row_factory=namedtuple_row).execute("SELECT 1 AS a, 'x' AS b").fetchone()))
        class P:
            def __init__(self, a):
                self.a = a
        show(c.cursor(row_factory=class_row(P)).execute("SELECT 7 AS a").fetchone().a)
        cur = c.execute("SELECT 1 AS i, 2.5::numeric(10,2) AS n, 'x'::varchar(20) AS v, now() AS t, ARRAY[1] AS a, NULL AS u")
        for d in cur.description:
            show(d.name, d.type_code, d.type_display, d.display_size, d.internal_size, d.precision, d.scale)
        cur = c.execute("SELECT generate_series(1, 10)")
        show(cur.rowcount, cur.statusmessage, cur.fetchone(), cur.fetchmany(3), cur.rownumber)
        cur.scroll(2)
        show(cur.fetchone(), list(cur))
        cur = c.execute("SELECT 1; SELECT 'two', 2")
        show(cur.fetchall(), cur.nextset(), cur.fetchall(), cur.nextset())


@section(sample=True)
def insert_update_delete():
    with connect() as c:
        c.execute("CREATE TABLE item (id integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE, price numeric(10,2) DEFAULT 1.00, tags text[], at timestamptz DEFAULT '2024-01-01Z')")
        cur = c.execute("INSERT INTO item (name) VALUES (%s), (%s) RETURNING id, name, price, at", ("a", "b"))
        show(cur.fetchall(), cur.rowcount, cur.statusmessage)
        cur = c.execute("INSERT INTO item (name, price) VALUES ('a', 5) ON CONFLICT (name) DO UPDATE SET price = excluded.price + item.price RETURNING *")
        show(cur.fetchall(), cur.statusmessage)
        show(c.execute("INSERT INTO item (name) VALUES ('b') ON CONFLICT DO NOTHING").statusmessage)
        cur = c.execute("UPDATE item SET price = price * 2, tags = %s WHERE name = %s RETURNING id, price, tags", (["x", "y"], "b"))
        show(cur.fetchall(), cur.statusmessage)
        show(c.execute("UPDATE item SET price = v.p FROM (VALUES ('a', 9.5), ('b', 8)) AS v(n, p) WHERE v.n = name").statusmessage)
        show(c.execute("DELETE FROM item WHERE price < 9 RETURNING name, price").fetchall())
        show(c.execute("SELECT * FROM item").fetchall())
        c.execute("TRUNCATE item")
        show(c.execute("SELECT count(*) FROM item").fetchone())


@section
def executemany():
    with connect() as c:
        c.execute("CREATE TABLE many (i integer, s text)")
        cur = c.cursor()
        cur.executemany("INSERT INTO many VALUES (%s, %s)", [(i, f"s{i}") for i in range(200)])
        show(cur.rowcount)
        cur.executemany("INSERT INTO many VALUES (%s, %s) RETURNING i", [(1000, "x"), (1001, "y")], returning=True)
        out = []
        while True:
            out.append(cur.fetchone())
            if not cur.nextset():
                break
        show(out)
        show(c.execute("SELECT count(*), sum(i), max(s) FROM many").fetchone())
        raises(cur.executemany, "INSERT INTO many VALUES (%s::integer, 'x')", [("1",), ("z",), ("2",)])
        show(c.execute("SELECT count(*) FROM many").fetchone())


@section(sample=True)
def server_side_cursors():
    """Named cursors: DECLARE, FETCH, MOVE, scroll, with hold."""
    with psycopg.connect("") as c:
        with c.cursor("cur1") as cur:
            cur.itersize = 100
            cur.execute("SELECT i, 'row ' || i FROM generate_series(1, 1000) AS g(i)")
            show(cur.fetchone(), cur.fetchmany(3), sum(r[0] for r in cur), cur.fetchone())
        with c.cursor("cur2", scrollable=True) as cur:
            cur.execute("SELECT generate_series(1, 20)")
            show(cur.fetchmany(5))
            cur.scroll(-2)
            show(cur.fetchone())
            cur.scroll(10, mode="absolute")
            show(cur.fetchone(), cur.rownumber)
            raises(cur.scroll, 1000)
        with c.cursor("cur3", withhold=True) as cur:
            cur.execute("SELECT generate_series(1, %s)", (10,))
            c.commit()
            show(cur.fetchall())
        with c.cursor("cur4", binary=True) as cur:
            cur.execute("SELECT i, i::numeric / 3, now() > '2020-01-01' FROM generate_series(1, 3) AS g(i)")
            show(cur.fetchall(), [d.type_code for d in cur.description])
    with psycopg.ServerCursor(connect(), "outside") as cur:
        raises(cur.execute, "SELECT 1")


@section
def cursors_by_statements():
    with connect() as c, c.transaction():
        c.execute("DECLARE k SCROLL CURSOR FOR SELECT generate_series(1, 10) AS n")
        for q in ["FETCH 2 FROM k", "FETCH NEXT FROM k", "FETCH PRIOR FROM k", "FETCH FIRST FROM k", "FETCH LAST FROM k",
                  "FETCH ABSOLUTE 4 FROM k", "FETCH RELATIVE -2 FROM k", "FETCH BACKWARD 1 FROM k", "FETCH FORWARD ALL FROM k", "FETCH 1 FROM k"]:
            cur = c.execute(q)
            show(q, cur.fetchall(), cur.statusmessage)
        for q in ["MOVE ABSOLUTE 0 IN k", "MOVE 3 IN k", "MOVE FORWARD ALL IN k", "MOVE BACKWARD ALL IN k", "CLOSE k"]:
            show(q, c.execute(q).statusmessage)
        raises(c.execute, "FETCH 1 FROM k")


@section(sample=True)
def streaming():
    with connect() as c:
        show(sum(r[0] for r in c.cursor().stream("SELECT generate_series(1, 5000)")))
        show([r for r in c.cursor().stream("SELECT generate_series(1, %s)", (7,))])


@section(sample=True)
def copy_text_and_csv():
    with connect() as c:
        c.execute("CREATE TABLE cp (i bigint PRIMARY KEY, n numeric(8,3), s text, d date, t timestamptz, b boolean, y bytea, a integer[])")
        rows = [(1, decimal.Decimal("1.5"), "a\tb\\c\nd", dt.date(2024, 1, 2), dt.datetime(2024, 1, 2, tzinfo=UTC), True, b"\x00\x01", [1, None]),
                (2, None, None, None, None, None, None, None), (3, decimal.Decimal("-2"), "", dt.date(1999, 12, 31), None, False, b"", [])]
        with c.cursor() as cur:
            with cur.copy("COPY cp FROM STDIN") as cp:
                for r in rows:
                    cp.write_row(r)
            show(cur.rowcount, cur.statusmessage)
            for opts in ["", "(FORMAT csv)", "(FORMAT csv, HEADER)", "(FORMAT csv, DELIMITER ';', NULL 'nil', QUOTE '''')", "(FORMAT csv, FORCE_QUOTE *)", "(DELIMITER '|', NULL '')"]:
                with cur.copy(f"COPY (SELECT * FROM cp ORDER BY i) TO STDOUT {opts}") as cp:
                    show(opts, b"".join(bytes(x) for x in cp))
            with cur.copy("COPY (SELECT * FROM cp ORDER BY i) TO STDOUT") as cp:
                cp.set_types(["bigint", "numeric", "text", "date", "timestamptz", "bool", "bytea", "int4[]"])
                for r in cp.rows():
                    show(r)
            cur.execute("CREATE TABLE cp2 (i bigint, s text DEFAULT 'dflt', n numeric)")
            with cur.copy("COPY cp2 (n, i) FROM STDIN (FORMAT csv, HEADER)") as cp:
                cp.write("n,i\n1.25,7\n,8\n")
            show(cur.execute("SELECT * FROM cp2 ORDER BY i").fetchall())
            with cur.copy("COPY cp2 FROM STDIN (FORMAT csv, NULL 'nil', DELIMITER '|', QUOTE '''')") as cp:
                cp.write("9|'it''s|x'|nil\n")
            show(cur.execute("SELECT * FROM cp2 WHERE i = 9").fetchall())
            with cur.copy("COPY cp2 TO STDOUT") as cp:
                show(sorted(bytes(x) for x in cp))


@section
def copy_binary():
    with connect() as c:
        c.execute("CREATE TABLE cb (i bigint, n numeric, s text, f float8, t timestamptz, b boolean, y bytea, u uuid, j jsonb, iv interval, a text[])")
        types = ["int8", "numeric", "text", "float8", "timestamptz", "bool", "bytea", "uuid", "jsonb", "interval", "text[]"]
        rows = [(1, decimal.Decimal("1.5"), "x", 0.5, dt.datetime(2024, 1, 2, tzinfo=UTC), True, b"\x00\x01", uuid.UUID(int=9), Jsonb({"a": 1}), dt.timedelta(days=2, hours=1), ["p", None]),
                (2,) + (None,) * 10]
        with c.cursor() as cur:
            with cur.copy("COPY cb FROM STDIN (FORMAT BINARY)") as cp:
                cp.set_types(types)
                for r in rows:
                    cp.write_row(r)
            show(cur.rowcount)
            with cur.copy("COPY (SELECT * FROM cb ORDER BY i) TO STDOUT (FORMAT BINARY)") as cp:
                cp.set_types(types)
                for r in cp.rows():
                    show(r)
            with cur.copy("COPY (SELECT * FROM cb ORDER BY i) TO STDOUT (FORMAT BINARY)") as cp:
                data = b"".join(bytes(x) for x in cp)
            show(len(data), data[:40])
            cur.execute("TRUNCATE cb")
            with cur.copy("COPY cb FROM STDIN (FORMAT BINARY)") as cp:
                cp.write(data)
            show(cur.rowcount, cur.execute("SELECT count(*), sum(i) FROM cb").fetchall())


@section
def copy_errors():
    with connect() as c:
        c.execute("CREATE TABLE ce (i integer PRIMARY KEY, s text NOT NULL)")
        def load(data, q="COPY ce FROM STDIN"):
            with c.cursor().copy(q) as cp:
                cp.write(data)
        for data in ["1\ta\nx\tb\n", "1\ta\n1\tb\n", "1\n", "1\ta\tb\n", "1\t\\N\n"]:
            e = raises(load, data)
            show(e.diag.message_primary, e.diag.context)
        raises(load, "1,2\n", "COPY nothere FROM STDIN")
        raises(load, "1,2\n", "COPY ce (nocol) FROM STDIN")
        def quits():
            with c.cursor().copy("COPY ce FROM STDIN") as cp:
                cp.write("5\tq\n")
                raise ValueError("enough")
        raises(quits)
        show(c.execute("SELECT count(*) FROM ce").fetchone(), c.info.transaction_status.name)


@section(sample=True)
def prepared():
    with connect() as c:
        c.prepare_threshold = 2
        for i in range(6):
            show(c.execute("SELECT %s::integer + 1", (i,)).fetchone())
        show(c.execute("SELECT count(*) FROM pg_prepared_statements").fetchone())
        c.execute("PREPARE p (integer, text) AS SELECT $1 + 1 AS n, upper($2) AS u")
        cur = c.execute("EXECUTE p (41, 'abc')")
        show(cur.fetchall(), [d.name for d in cur.description])
        show(c.execute("SELECT name, statement, parameter_types::text FROM pg_prepared_statements WHERE name = 'p'").fetchall())
        show(c.execute("DEALLOCATE p").statusmessage)
        raises(c.execute, "EXECUTE p (1, 'x')")
        show(c.execute("DEALLOCATE ALL").statusmessage)
        show(c.execute("SELECT count(*) FROM pg_prepared_statements").fetchone())
        c.execute("CREATE TABLE prep (a integer)")
        q = "SELECT * FROM prep"
        for _ in range(3):
            c.execute(q, prepare=True)
        c.execute("ALTER TABLE prep ADD COLUMN b integer")
        raises(c.execute, q, prepare=True)


@section(sample=True)
def pipeline():
    with connect() as c:
        c.execute("CREATE TABLE pipe (i integer PRIMARY KEY)")
        with c.pipeline() as p:
            curs = [c.execute("INSERT INTO pipe VALUES (%s) RETURNING i * 10", (i,)) for i in range(5)]
            p.sync()
            show([x.fetchone() for x in curs])
            a, b = c.execute("SELECT 1"), c.execute("SELECT 'b'")
            show(a.fetchone(), b.fetchone())
        def fails():
            with c.pipeline():
                c.execute("INSERT INTO pipe VALUES (100)")
                c.execute("INSERT INTO pipe VALUES (0)")
                c.execute("INSERT INTO pipe VALUES (101)")
        raises(fails)
        show(c.execute("SELECT count(*) FROM pipe").fetchone())
        def fails_in_transaction():
            with c.pipeline(), c.transaction():
                c.execute("INSERT INTO pipe VALUES (200)")
                c.execute("SELECT 1/0")
        raises(fails_in_transaction)
        show(c.execute("SELECT count(*) FROM pipe").fetchone())


@section(sample=True)
def transactions_and_savepoints():
    with psycopg.connect("") as c:
        c.execute("CREATE TABLE tx (i integer PRIMARY KEY)")
        c.commit()
        with c.transaction():
            c.execute("INSERT INTO tx VALUES (1)")
            try:
                with c.transaction():
                    c.execute("INSERT INTO tx VALUES (2)")
                    raise psycopg.Rollback
            except psycopg.Rollback:
                pass
            with c.transaction():
                c.execute("INSERT INTO tx VALUES (3)")
            try:
                with c.transaction():
                    c.execute("INSERT INTO tx VALUES (1)")
            except psycopg.errors.UniqueViolation as e:
                show("caught", e.sqlstate, c.info.transaction_status.name)
            c.execute("INSERT INTO tx VALUES (4)")
        show(c.execute("SELECT i FROM tx ORDER BY i").fetchall())
        c.rollback()
        raises(c.execute, "SELECT 1/0")
        raises(c.execute, "SELECT 1")
        show(c.info.transaction_status.name)
        c.rollback()
        for level in (psycopg.IsolationLevel.READ_COMMITTED, psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE):
            c.isolation_level = level
            show(c.execute("SHOW transaction_isolation").fetchone())
            c.rollback()
        c.isolation_level = None
        c.read_only = True
        e = raises(c.execute, "INSERT INTO tx VALUES (9)")
        c.rollback()
        c.read_only = None
        c.execute("SAVEPOINT a")
        c.execute("INSERT INTO tx VALUES (10)")
        c.execute("SAVEPOINT b")
        c.execute("INSERT INTO tx VALUES (11)")
        show(c.execute("ROLLBACK TO SAVEPOINT b").statusmessage, c.execute("SELECT count(*) FROM tx").fetchone())
        show(c.execute("RELEASE SAVEPOINT a").statusmessage)
        raises(c.execute, "ROLLBACK TO b")
        c.rollback()
        show(c.execute("SELECT count(*) FROM tx").fetchone())


@section(sample=True)
def errors():
    with connect() as c:
        c.execute("CREATE TABLE er (i integer PRIMARY KEY, s varchar(3) NOT NULL, n integer CHECK (n > 0))")
        c.execute("INSERT INTO er VALUES (1, 'a', 1)")
        for q, args in [("INSERT INTO er VALUES (1, 'b', 1)", None), ("INSERT INTO er VALUES (2, NULL, 1)", None), ("INSERT INTO er VALUES (2, 'x', -1)", None),
                        ("INSERT INTO er VALUES (2, 'long', 1)", None), ("SELECT * FROM nothing", None), ("SELECT nocol FROM er", None), ("SELEC 1", None),
                        ("SELECT 1/0", None), ("SELECT %s::integer", ("x",)), ("SELECT nofunc(1)", None), ("SELECT 99999999999::integer", None),
                        ("SELECT '2024-13-01'::date", None), ("SELECT i, count(*) FROM er", None), ("CREATE TABLE er (i integer)", None)]:
            try:
                c.execute(q, args)
                show(q, "no error")
            except psycopg.Error as e:
                d = e.diag
                show(q, type(e).__name__, d.sqlstate, d.severity, d.message_primary, d.message_detail, d.table_name, d.column_name, d.constraint_name, d.statement_position)


@section
def notices():
    with connect() as c:
        got = []
        c.add_notice_handler(lambda d: got.append((d.severity, d.sqlstate, d.message_primary)))
        c.execute("DROP TABLE IF EXISTS not_there")
        c.execute("CREATE TABLE IF NOT EXISTS nt (i integer)")
        c.execute("CREATE TABLE IF NOT EXISTS nt (i integer)")
        c.execute("ROLLBACK")
        for g in got:
            show(*g)


@section
def listen_notify():
    with connect() as a, connect() as b:
        a.execute("LISTEN chan")
        b.execute("NOTIFY chan, 'hello'")
        b.execute("SELECT pg_notify('chan', 'again')")
        a.execute("SELECT 1")
        show([(n.channel, n.payload) for n in a.notifies(timeout=1, stop_after=2)])
        a.execute("UNLISTEN *")


@section(sample=True)
def composed_sql():
    with connect() as c:
        q = sql.SQL("SELECT {c} FROM {t} WHERE {k} = {v}").format(
            c=sql.SQL(", ").join([sql.Identifier("Na\"me"), sql.Identifier("n")]), t=sql.Identifier("Odd Table"), k=sql.Identifier("n"), v=sql.Literal(3))
        c.execute('CREATE TABLE "Odd Table" ("Na""me" text, n integer)')
        c.execute('INSERT INTO "Odd Table" VALUES (%s, 3)', ("it's",))
        show(q.as_string(c), c.execute(q).fetchall())
        cur = psycopg.ClientCursor(c)
        show(cur.mogrify("SELECT %s, %s, %s, %s", (1, "it's \\ x", None, [1, 2])))
        show(cur.execute("SELECT %s, %s, %s, %s", (1, "it's \\ x", dt.date(2024, 1, 1), [1, 2])).fetchall())


@section
def settings():
    with connect() as c:
        for q in ["SELECT current_setting('server_version_num')::integer / 10000", "SET search_path TO public", "SHOW search_path", "SET LOCAL statement_timeout = '5s'", "SHOW statement_timeout",
                  "SET statement_timeout = '3s'", "SHOW statement_timeout", "RESET statement_timeout", "SHOW statement_timeout", "SET DateStyle = 'German'",
                  "SELECT '2024-03-04'::date::text", "SET IntervalStyle = 'iso_8601'", "SELECT '1 day 2 hours'::interval::text", "SET bytea_output = 'escape'",
                  "SELECT 'a\\000'::bytea::text", "SET extra_float_digits = 0", "SELECT 0.1::float8 + 0.2", "RESET ALL", "SELECT set_config('application_name', 'x', false)",
                  "SELECT current_setting('application_name'), current_setting('nope.nope', true)", "SET TimeZone = 'Europe/Berlin'", "SELECT '2024-07-01 12:00Z'::timestamptz::text",
                  "DISCARD ALL", "SHOW TimeZone"]:
            try:
                cur = c.execute(q)
                show(q, cur.fetchall() if cur.description else cur.statusmessage)
            except psycopg.Error as e:
                show(q, type(e).__name__, e.sqlstate)


@section
def cancelling():
    import threading
    with connect() as c:
        threading.Timer(0.3, c.cancel_safe).start()
        raises(c.execute, "SELECT pg_sleep(20)")
        c.execute("SET statement_timeout = '200ms'")
        raises(c.execute, "SELECT pg_sleep(20)")
        show(c.execute("SELECT 1").fetchone())


@section
def type_lookups():
    """TypeInfo.fetch: the catalog query behind custom types."""
    from psycopg.types import TypeInfo
    from psycopg.types.range import RangeInfo
    with connect() as c:
        for n in ("integer", "text", "numeric", "timestamptz", "jsonb", "nope"):
            i = TypeInfo.fetch(c, n)
            show(n, i and (i.name, i.oid, i.array_oid, i.regtype, i.delimiter))
        show(RangeInfo.fetch(c, "int4range").subtype_oid)


@section
def two_phase():
    with psycopg.connect("") as c:
        raises(c.tpc_recover)


if __name__ == "__main__":
    main()
