// node-postgres: pg, pg-cursor, pg-query-stream, pg-copy-streams.
'use strict';

const pg = require('pg');
const Cursor = require('pg-cursor');
const QueryStream = require('pg-query-stream');
const { from: copyFrom, to: copyTo, both } = require('pg-copy-streams');
const { pipeline } = require('node:stream/promises');
const { Readable } = require('node:stream');
const { section, show, raises, main } = require('./sections');

async function client(f, config = {}) {
  const c = new pg.Client({ ssl: false, ...config });
  await c.connect();
  try {
    await f(c);
  } finally {
    await c.end();
  }
}

const typesOf = [
  ['boolean', true], ['smallint', -5], ['integer', 2147483647], ['bigint', '9007199254740993'], ['real', 1.5], ['double precision', 0.1], ['numeric', '12345678901234567890.125'],
  ['numeric(10,2)', 1.5], ['text', "日 'x' \\"], ['varchar(5)', 'ab'], ['char(4)', 'ab'], ['bytea', Buffer.from([0, 255])], ['uuid', '00000000-0000-0000-0000-000000000007'],
  ['date', '2024-02-29'], ['time', '01:02:03.5'], ['timestamp', '2024-02-29 01:02:03'], ['timestamptz', new Date(Date.UTC(2024, 1, 29))], ['interval', '1 mon 2 days 03:04:05.5'],
  ['json', { a: [1, null] }], ['jsonb', { b: 1, a: 'x' }], ['integer[]', [1, null, 3]], ['text[]', ['a', 'q"\\', null, '']], ['bigint[]', ['1']], ['integer[][]', [[1, 2], [3, 4]]], ['timestamptz[]', [new Date(0)]],
];

section('types_as_parameters', () => client(async (c) => {
  for (const [t, v] of typesOf) {
    const r = await c.query(`SELECT $1::${t} AS v`, [v]);
    show(t, r.rows[0].v, r.fields[0].dataTypeID, r.fields[0].dataTypeModifier, r.fields[0].dataTypeSize, r.fields[0].format);
  }
}), { sample: true });

section('types_in_binary', () => client(async (c) => {
  for (const t of ["true", "5::smallint", "7", "8::bigint", "1.5::real", "0.1::float8", "12.50::numeric", "'x'::text", "'\\x01'::bytea", "TIMESTAMPTZ '2024-01-01Z'", "ARRAY[1,2]"]) {
    const r = await c.query({ text: `SELECT ${t} AS v`, values: [], binary: true });
    show(t, r.rows[0].v, r.fields[0].format);
  }
}));

section('results', () => client(async (c) => {
  const r = await c.query("SELECT i, 'x' || i AS s FROM generate_series(1, 3) AS g(i)");
  show(r.command, r.rowCount, r.rows, r.fields.map((f) => [f.name, f.dataTypeID]));
  show((await c.query({ text: 'SELECT 1 AS a, 2 AS a', rowMode: 'array' })).rows);
  const many = await c.query("SELECT 1 AS x; CREATE TABLE multi (i integer); INSERT INTO multi VALUES (1), (2); SELECT count(*) FROM multi");
  show(many.map((m) => [m.command, m.rowCount, m.rows]));
  const none = await c.query('');
  show(none.command, none.rowCount, none.rows);
}), { sample: true });

section('writes', () => client(async (c) => {
  await c.query('CREATE TABLE w (id serial PRIMARY KEY, name text UNIQUE, n numeric(6,2), d jsonb, a integer[], t timestamptz)');
  const q = 'INSERT INTO w (name, n, d, a, t) VALUES ($1, $2, $3, $4, $5) RETURNING *';
  show((await c.query(q, ['a', 1.5, { k: [1] }, [1, 2], new Date(0)])).rows);
  show((await c.query(q, ['b', null, null, null, null])).rows);
  let r = await c.query("UPDATE w SET n = coalesce(n, 0) + $1 WHERE name = ANY($2)", [2, ['a', 'b']]);
  show(r.command, r.rowCount);
  r = await c.query("INSERT INTO w (name, n) VALUES ($1, 9) ON CONFLICT (name) DO UPDATE SET n = excluded.n RETURNING id, n", ['a']);
  show(r.rows, r.rowCount);
  show((await c.query('SELECT id, name, n FROM w ORDER BY id')).rows);
  r = await c.query('DELETE FROM w WHERE n > $1', [5]);
  show(r.command, r.rowCount);
}), { sample: true });

section('prepared', () => client(async (c) => {
  const q = { name: 'by-id', text: 'SELECT $1::integer * 2 AS d, $2::text AS t' };
  for (let i = 0; i < 3; i++) show((await c.query({ ...q, values: [i, 'x' + i] })).rows);
  show((await c.query("SELECT name FROM pg_prepared_statements")).rows);
  await raises(c.query({ name: 'bad', text: 'SELECT nothing', values: [] }));
  show((await c.query('SELECT 1 AS still')).rows);
}), { sample: true });

section('errors', () => client(async (c) => {
  await c.query('CREATE TABLE er (i integer PRIMARY KEY, s varchar(3) NOT NULL)');
  await c.query("INSERT INTO er VALUES (1, 'a')");
  for (const [q, v] of [["INSERT INTO er VALUES (1, 'b')"], ['INSERT INTO er VALUES (2, NULL)'], ["INSERT INTO er VALUES (2, 'long')"], ['SELEC'], ['SELECT * FROM nope'], ['SELECT $1::int', ['x']], ['SELECT 1/0'], ['SELECT $1', []]]) await raises(c.query(q, v));
  show((await c.query('SELECT count(*) FROM er')).rows);
}), { sample: true });

section('transactions', () => client(async (c) => {
  await c.query('CREATE TABLE tx (i integer PRIMARY KEY)');
  await c.query('BEGIN');
  await c.query('INSERT INTO tx VALUES (1)');
  await c.query('SAVEPOINT s');
  await raises(c.query('INSERT INTO tx VALUES (1)'));
  await raises(c.query('SELECT 1'));
  await c.query('ROLLBACK TO SAVEPOINT s');
  await c.query('INSERT INTO tx VALUES ($1)', [2]);
  show((await c.query('COMMIT')).command, (await c.query('SELECT i FROM tx ORDER BY i')).rows);
  await c.query('BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY');
  await raises(c.query('DELETE FROM tx'));
  show((await c.query('COMMIT')).command);
}), { sample: true });

section('cursors', () => client(async (c) => {
  const cur = c.query(new Cursor('SELECT i FROM generate_series(1, $1::int) AS g(i)', [250]));
  let n = 0, reads = 0;
  for (;;) {
    const rows = await cur.read(100);
    if (!rows.length) break;
    reads++;
    n += rows.reduce((a, r) => a + r.i, 0);
  }
  show(reads, n);
  await cur.close();
  const early = c.query(new Cursor('SELECT generate_series(1, 1000000) AS i'));
  show((await early.read(2)));
  await early.close();
  const bad = c.query(new Cursor('SELECT 1/(3-i) AS x FROM generate_series(1, 5) AS g(i)'));
  await raises(bad.read(10));
  show((await c.query('SELECT 1 AS still')).rows);
}), { sample: true });

section('query_streams', () => client(async (c) => {
  let n = 0;
  for await (const row of c.query(new QueryStream('SELECT i, i::text AS s FROM generate_series(1, $1::int) AS g(i)', [1000], { batchSize: 64 }))) n += row.i + row.s.length;
  show(n);
}), { sample: true });

section('copy_streams', () => client(async (c) => {
  await c.query('CREATE TABLE cs (i integer PRIMARY KEY, s text)');
  const into = c.query(copyFrom('COPY cs FROM STDIN'));
  await pipeline(Readable.from(['1\ta\n2\t', '\\N\n3\tc\\td\n']), into);
  show(into.rowCount);
  const csv = c.query(copyFrom('COPY cs (s, i) FROM STDIN WITH (FORMAT csv, HEADER true)'));
  await pipeline(Readable.from(['s,i\n"q,q",10\n']), csv);
  const read = async (q) => {
    const parts = [];
    for await (const p of c.query(copyTo(q))) parts.push(p);
    return Buffer.concat(parts);
  };
  show((await read('COPY (SELECT * FROM cs ORDER BY i) TO STDOUT')).toString());
  show((await read("COPY (SELECT * FROM cs ORDER BY i) TO STDOUT (FORMAT csv, HEADER)")).toString());
  await raises(pipeline(Readable.from(['x\ty\n']), c.query(copyFrom('COPY cs FROM STDIN'))));
  show((await c.query('SELECT count(*) FROM cs')).rows);
}), { sample: true });

section('copy_streams_binary', () => client(async (c) => {
  await c.query('CREATE TABLE cb (i integer, s text)');
  const parts = [];
  for await (const p of c.query(copyTo("COPY (VALUES (1, 'a'), (2, NULL)) TO STDOUT BINARY"))) parts.push(p);
  show(Buffer.concat(parts));
  await pipeline(Readable.from(parts), c.query(copyFrom('COPY cb FROM STDIN BINARY')));
  show((await c.query('SELECT * FROM cb ORDER BY i')).rows);
}));

section('pools', async () => {
  const pool = new pg.Pool({ max: 4 });
  const got = await Promise.all([...Array(20).keys()].map((i) => pool.query('SELECT $1::int AS i', [i])));
  show(got.map((r) => r.rows[0].i));
  const c = await pool.connect();
  await c.query("SET application_name = 'pooled'");
  show((await c.query('SHOW application_name')).rows);
  c.release();
  await pool.end();
});

section('notifications_and_notices', () => client(async (c) => {
  const notices = [];
  c.on('notice', (n) => notices.push([n.severity, n.code, n.message]));
  await c.query('DROP TABLE IF EXISTS nowhere');
  show(notices);
  const got = new Promise((resolve) => c.on('notification', (n) => resolve([n.channel, n.payload])));
  await c.query('LISTEN ch');
  await c.query("SELECT pg_notify('ch', 'hi')");
  show(await got);
}));

section('timeouts', async () => {
  await client(async (c) => raises(c.query('SELECT pg_sleep(10)')), { statement_timeout: 200 });
});

main();
