"""asyncpg: binary forms of every type, prepared statements, cursors, COPY of records and files, listeners, pools, introspection of types."""
import asyncio
import datetime as dt
import decimal
import io
import json
import uuid

import asyncpg

from sections import main, section, show

UTC = dt.timezone.utc


def run(f):
    """A section of a coroutine that gets a connection."""
    def g():
        async def h():
            c = await asyncpg.connect()
            try:
                await f(c)
            finally:
                await c.close()
        asyncio.run(asyncio.wait_for(h(), 20))
    g.__name__, g.__doc__ = f.__name__, f.__doc__
    return g


async def fails(awaitable):
    try:
        await awaitable
        show("no error")
    except asyncpg.PostgresError as e:
        show(type(e).__name__, e.sqlstate, getattr(e, "constraint_name", None))


@section(sample=True)
@run
async def session(c):
    v = c.get_server_version()
    show(v.major, c.get_settings().server_encoding, c.get_settings().timezone if hasattr(c.get_settings(), "timezone") else None, c.get_server_pid() > 0)


TYPES = [("boolean", True), ("smallint", 1), ("integer", -5), ("bigint", 2**62), ("real", 1.5), ("double precision", 0.1), ("numeric", decimal.Decimal("-1.50")), ("numeric(10,3)", decimal.Decimal("1.5")),
         ("text", "日'x"), ("varchar(5)", "ab"), ("char(4)", "ab"), ("bytea", b"\x00\xff"), ("uuid", uuid.UUID(int=3)), ("date", dt.date(2024, 2, 29)), ("time", dt.time(1, 2, 3, 4)), ("timetz", dt.time(1, 2, tzinfo=UTC)),
         ("timestamp", dt.datetime(2024, 1, 2, 3)), ("timestamptz", dt.datetime(2024, 1, 2, 3, tzinfo=UTC)), ("interval", dt.timedelta(days=40, seconds=1)), ("json", '{"a":1}'), ("jsonb", '{"a": 1}'),
         ("bigint[]", [1, None]), ("text[]", ["a", None, ""]), ("integer[][]", [[1, 2], [3, 4]]), ("timestamptz[]", [dt.datetime(2024, 1, 1, tzinfo=UTC)]), ("name", "abc"), ("oid", 17)]


@section(sample=True)
@run
async def types(c):
    for typ, v in TYPES:
        show(typ, await c.fetchval(f"SELECT $1::{typ}", v), await c.fetchval(f"SELECT $1::{typ}", None))


@section
@run
async def ranges_and_addresses(c):
    show(await c.fetchval("SELECT $1::int4range", asyncpg.Range(1, 5)), await c.fetchval("SELECT $1::inet", "10.0.0.1"), await c.fetchval("SELECT $1::point", asyncpg.Point(1, 2)))


@section(sample=True)
@run
async def statements(c):
    await c.execute("CREATE TABLE st (i integer PRIMARY KEY, s text, n numeric(6,2))")
    show(await c.execute("INSERT INTO st VALUES (1, 'a', 1.5), (2, 'b', NULL)"), await c.execute("UPDATE st SET s = $1 WHERE i = $2", "c", 2))
    await c.executemany("INSERT INTO st VALUES ($1, $2, $3)", [(i, str(i), decimal.Decimal(i)) for i in range(10, 20)])
    show(await c.fetchrow("SELECT count(*), sum(n) FROM st"), await c.fetch("SELECT * FROM st WHERE i = ANY($1::int[]) ORDER BY i", [1, 2, 10]))
    show(await c.fetchmany("INSERT INTO st (i) VALUES ($1) RETURNING i", [(100,), (101,)]) if hasattr(c, "fetchmany") else None)
    p = await c.prepare("SELECT i, s, n FROM st WHERE i > $1 AND s LIKE $2 ORDER BY i LIMIT $3")
    show([t.name for t in p.get_parameters()], [(a.name, a.type.name, a.type.kind, a.type.schema) for a in p.get_attributes()], p.get_statusmsg())
    show(await p.fetch(5, "1%", 2), await p.fetchval(5, "1%", 1), p.get_statusmsg())
    r = await c.fetchrow("SELECT 1 AS a, 2 AS b")
    show(dict(r), r["b"], list(r.keys()))
    await fails(c.fetch("SELECT * FROM nope"))
    await fails(c.execute("INSERT INTO st VALUES (1)"))
    await fails(c.fetchval("SELECT 1/0"))
    await fails(c.fetchval("SELECT $1::int / 0", 1))


@section(sample=True)
@run
async def transactions_and_cursors(c):
    await c.execute("CREATE TABLE tc (i integer PRIMARY KEY)")
    async with c.transaction():
        await c.execute("INSERT INTO tc VALUES (1)")
        try:
            async with c.transaction():
                await c.execute("INSERT INTO tc VALUES (2)")
                await c.execute("INSERT INTO tc VALUES (1)")
        except asyncpg.UniqueViolationError as e:
            show(e.sqlstate, e.constraint_name, e.table_name, e.detail)
        async with c.transaction():
            await c.execute("INSERT INTO tc VALUES (3)")
    show(await c.fetch("SELECT i FROM tc ORDER BY i"))
    async with c.transaction(isolation="repeatable_read", readonly=True):
        show(await c.fetchval("SHOW transaction_isolation"))
        n = 0
        async for r in c.cursor("SELECT generate_series(1, $1::int)", 500, prefetch=50):
            n += r[0]
        show(n)
        cur = await c.cursor("SELECT generate_series(1, 20) AS g")
        show(await cur.fetchrow(), await cur.fetch(3), await cur.forward(5), await cur.fetchrow(), await cur.fetch(100), await cur.fetchrow())
    tr = c.transaction()
    await tr.start()
    await c.execute("DELETE FROM tc")
    await tr.rollback()
    show(await c.fetchval("SELECT count(*) FROM tc"))


@section(sample=True)
@run
async def copies(c):
    await c.execute("CREATE TABLE co (i integer, s text, t timestamptz, n numeric)")
    rows = [(1, "a", dt.datetime(2024, 1, 1, tzinfo=UTC), decimal.Decimal("1.5")), (2, None, None, None)]
    show(await c.copy_records_to_table("co", records=rows))
    show(await c.copy_records_to_table("co", records=[(3, "x")], columns=["i", "s"]))
    out = io.BytesIO()
    show(await c.copy_from_query("SELECT * FROM co ORDER BY i", output=out, format="csv", header=True), out.getvalue())
    out = io.BytesIO()
    show(await c.copy_from_table("co", output=out, columns=["i", "s"], format="binary"), len(out.getvalue()))
    show(await c.copy_to_table("co", source=io.BytesIO(b"7,seven\n8,\n"), columns=["i", "s"], format="csv"))
    show(await c.copy_to_table("co", source=io.BytesIO(out.getvalue()), columns=["i", "s"], format="binary"))
    out = io.BytesIO()
    show(await c.copy_from_query("SELECT $1::int, $2::text", 5, "y", output=out), out.getvalue())
    show(await c.fetchrow("SELECT count(*), sum(i), count(s) FROM co"))


@section
@run
async def listeners(c):
    got = asyncio.Queue()
    await c.add_listener("chan", lambda conn, pid, channel, payload: got.put_nowait((channel, payload)))
    await c.execute("NOTIFY chan, 'x'")
    show(await asyncio.wait_for(got.get(), 2))
    notes = []
    c.add_log_listener(lambda conn, m: notes.append((m.severity, m.message)))
    await c.execute("DROP TABLE IF EXISTS nothing_here")
    show(notes)


@section
@run
async def codecs(c):
    """set_type_codec and introspection read pg_type."""
    await c.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    show(await c.fetchval("SELECT $1::jsonb", {"a": [1]}))
    await c.set_builtin_type_codec("int8", codec_name="int") if False else None
    p = await c.prepare("SELECT NULL::int4range, NULL::text[], NULL::regclass")
    show([(a.type.name, a.type.kind) for a in p.get_attributes()])


@section
def pools():
    async def go():
        async with asyncpg.create_pool(min_size=2, max_size=3) as p:
            show(sorted(await asyncio.gather(*[p.fetchval("SELECT $1::int * 2", i) for i in range(10)])))
            async with p.acquire() as c:
                await c.execute("SET search_path TO pg_catalog")
            async with p.acquire() as c:
                show(await c.fetchval("SHOW search_path"))
    asyncio.run(go())


@section
@run
async def timeouts(c):
    try:
        await c.fetchval("SELECT pg_sleep(10)", timeout=0.3)
    except asyncio.TimeoutError:
        show("timed out")
    show(await c.fetchval("SELECT 1"))


if __name__ == "__main__":
    main()
