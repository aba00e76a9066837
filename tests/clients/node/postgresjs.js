// postgres.js: tagged templates, described parameters, cursors, forEach, COPY streams, pipelined transactions, types read at connect.
'use strict';

const postgres = require('postgres');
const { pipeline } = require('node:stream/promises');
const { Readable } = require('node:stream');
const { section, show, raises, main } = require('./sections');

async function using(f, options = {}) {
  const notices = [];
  const sql = postgres({ max: 3, ssl: false, onnotice: (n) => notices.push([n.severity, n.message]), ...options });
  try {
    await f(sql, notices);
  } finally {
    await sql.end({ timeout: 2 });
  }
}

section('queries', () => using(async (sql) => {
  const r = await sql`SELECT ${1}::int AS a, ${'x'} AS b, ${null}::text AS c, ${true}::boolean AS d`;
  show([...r], r.count, r.command, r.columns.map((c) => [c.name, c.type]));
  show([...(await sql`SELECT * FROM generate_series(1, ${4}) AS g(i) WHERE i = ANY(${[2, 3]}::int[])`)]);
  show([...(await sql`SELECT 1 AS x WHERE 2 IN ${sql([1, 2, 3])}`)]);
  show([...(await sql`SELECT ${sql('x')}, ${sql(['y', 'z'])} FROM (SELECT 1 AS x, 2 AS y, 3 AS z) AS t`)]);
  show(await sql.unsafe('SELECT 1 AS a; SELECT 2 AS b'));
  show([...(await sql`SELECT 1 AS a, 'b' AS b`.values())]);
}), { sample: true });

section('types', () => using(async (sql) => {
  const date = new Date(Date.UTC(2024, 0, 2, 3, 4, 5));
  for (const [t, v] of [['bigint', '9007199254740993'], ['numeric', '1.50'], ['double precision', 0.1], ['real', 1.5], ['timestamptz', date], ['timestamp', '2024-01-01 00:00:00'], ['date', '2024-01-01'], ['time', '01:02:03'],
    ['bytea', Buffer.from([0, 255])], ['uuid', '00000000-0000-0000-0000-000000000001'], ['interval', '1 day'], ['int[]', [1, 2]], ['text[]', ['a', 'b"c', '']], ['boolean', false], ['varchar(3)', 'ab']]) {
    const r = await sql`SELECT ${v}::${sql.unsafe(t)} AS v`;
    show(t, r[0].v, r.columns[0].type);
  }
  show([...(await sql`SELECT ${sql.json({ a: [1, null] })}::jsonb AS j, ${sql.array([1, 2])}::int[] AS a, ${sql.typed(5, 23)} AS t`)]);
}), { sample: true });

section('writes', () => using(async (sql) => {
  await sql`CREATE TABLE users (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE, age integer, tags text[])`;
  const people = [{ name: 'a', age: 1 }, { name: 'b', age: null }];
  show([...(await sql`INSERT INTO users ${sql(people, 'name', 'age')} RETURNING *`)]);
  show((await sql`UPDATE users SET ${sql({ age: 7, name: 'bb' }, 'age', 'name')} WHERE name = ${'b'}`).count);
  show([...(await sql`INSERT INTO users (name, tags) VALUES (${'a'}, ${['x', 'y']}) ON CONFLICT (name) DO UPDATE SET tags = excluded.tags RETURNING name, tags`)]);
  show([...(await sql`SELECT name, age, tags FROM users ORDER BY name`)]);
  const d = await sql`DELETE FROM users WHERE age > 5`;
  show(d.command, d.count);
  await raises(sql`INSERT INTO users (name) VALUES ('a')`);
  await raises(sql`SELECT * FROM nothing`);
}), { sample: true });

section('transactions', () => using(async (sql) => {
  await sql`CREATE TABLE tx (i integer PRIMARY KEY)`;
  await sql.begin(async (t) => {
    await t`INSERT INTO tx VALUES (1)`;
    await t.savepoint(async (s) => {
      await s`INSERT INTO tx VALUES (2)`;
      throw new Error('undo');
    }).catch(() => {});
    await t.savepoint((s) => s`INSERT INTO tx VALUES (3)`);
  });
  show([...(await sql`SELECT i FROM tx ORDER BY i`)]);
  await raises(sql.begin(async (t) => { await t`INSERT INTO tx VALUES (9)`; await t`SELECT 1/0`; }));
  show(await sql.begin('read only', (t) => [t`SELECT count(*) FROM tx`, t`SHOW transaction_read_only`]));
}), { sample: true });

section('cursors_and_streams', () => using(async (sql) => {
  let n = 0, calls = 0;
  await sql`SELECT i FROM generate_series(1, 250) AS g(i)`.cursor(100, (rows) => { calls++; n += rows.reduce((a, r) => a + r.i, 0); });
  show(calls, n);
  n = 0;
  for await (const [row] of sql`SELECT i FROM generate_series(1, 10) AS g(i)`.cursor()) { n += row.i; if (row.i === 5) break; }
  show(n);
  n = 0;
  await sql`SELECT i FROM generate_series(1, 100) AS g(i)`.forEach((r) => { n += r.i; });
  show(n);
}), { sample: true });

section('describe', () => using(async (sql) => {
  const d = await sql`SELECT ${1}::int + 1 AS a, ${'x'}::text AS b`.describe();
  show(d.types, d.columns.map((c) => [c.name, c.type]));
}), { sample: true });

section('copies', () => using(async (sql) => {
  await sql`CREATE TABLE cp (i integer, s text)`;
  await pipeline(Readable.from(['1\ta\n', '2\tb\n']), await sql`COPY cp FROM STDIN`.writable());
  let out = '';
  for await (const chunk of await sql`COPY cp TO STDOUT (FORMAT csv)`.readable()) out += chunk;
  show(out.split('\n').sort());
}), { sample: true });

section('pipelining', () => using(async (sql) => {
  show((await Promise.all([...Array(50).keys()].map((i) => sql`SELECT ${i}::int AS i`))).map((r) => r[0].i));
}, { max: 1 }));

section('notices', () => using(async (sql, notices) => {
  await sql`DROP TABLE IF EXISTS nowhere`;
  show(notices);
}), { sample: true });

section('listen', () => using(async (sql) => {
  let heard;
  const got = new Promise((resolve) => { heard = resolve; });
  await sql.listen('ch', heard);
  await sql.notify('ch', 'hi');
  show(await got);
}));

section('cancel', () => using(async (sql) => {
  const q = sql`SELECT pg_sleep(10)`;
  setTimeout(() => q.cancel(), 300);
  await raises(q);
}));

main();
