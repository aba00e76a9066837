"""dbt-postgres on the project beside this file: seeds, views, tables, incremental models, snapshots, tests and docs, run twice,
and what the tables then hold. On a server with features, they are models too (macros/feature.sql)."""
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile

import psycopg2
from dbt.cli.main import dbtRunner

here = pathlib.Path(__file__).parent / "project"
work = pathlib.Path(tempfile.mkdtemp()) / "project"
shutil.copytree(here, work)
os.chdir(work)
runner = dbtRunner()
sample = bool(os.environ.get("CLIENTS_SAMPLE"))


def dbt(name, *args):
    """Runs a command and prints each node's status and what the server said of it."""
    print("==", name, flush=True)
    stdout, sys.stdout = sys.stdout, sys.stderr  # dbt's log is no output of ours
    try:
        done = runner.invoke([*args, "--profiles-dir", ".", "--quiet", "--no-use-colors", "--no-partial-parse"])
    finally:
        sys.stdout = stdout
    lines = []
    for r in getattr(done.result, "results", None) or []:
        message = re.sub(r"\s+", " ", str(r.message or "")).strip()
        lines.append(f"  {r.node.unique_id} {r.status} {message} {r.failures if r.failures is not None else ''}".rstrip())
    print("\n".join(sorted(lines)))
    if done.exception:
        print("error:", str(done.exception).splitlines()[0])
    elif not done.success:
        print("error: the command failed")
    return done


def rows(name, *queries):
    print("==", name, flush=True)
    conn = psycopg2.connect("")
    conn.autocommit = True
    cur = conn.cursor()
    try:
        for q in queries:
            cur.execute(q)
            for r in cur.fetchall():
                print("  ", *r)
    except psycopg2.Error as e:
        print("error:", e.pgcode, str(e).splitlines()[0])


def execute(q):
    conn = psycopg2.connect("")
    conn.autocommit = True
    conn.cursor().execute(q)


dbt("debug", "debug")
dbt("seed", "seed")
dbt("run", "run")
dbt("snapshot", "snapshot")
dbt("test", "test")
if not sample:
    try:
        execute("UPDATE raw_customers SET name = 'Bobby' WHERE id = 2")
    except psycopg2.Error as e:
        print("error:", e)
    dbt("run_again", "run")
    dbt("snapshot_again", "snapshot")
    dbt("test_again", "test")
    dbt("seed_again", "seed")
    dbt("full_refresh", "run", "--full-refresh")
    done = dbt("docs", "docs", "generate")
    catalog = json.loads((work / "target" / "catalog.json").read_text()) if (work / "target" / "catalog.json").exists() else {"nodes": {}}
    print("== docs_catalog")
    for name, n in sorted(catalog["nodes"].items()):
        print("  ", name, n["metadata"]["type"], n["metadata"]["schema"], n["metadata"]["comment"], [(c["name"], c["type"], c["comment"]) for c in n["columns"].values()])
rows("tables", "SELECT customer_id, name, n, total, last_order FROM customers ORDER BY 1", "SELECT * FROM top_names ORDER BY 1", "SELECT order_id, amount FROM orders_merged ORDER BY 1",
     "SELECT order_id, amount FROM orders_appended ORDER BY 1", "SELECT * FROM orders_widened ORDER BY 1")
rows("history", "SELECT id, name, vip, dbt_valid_to IS NULL AS current FROM customers_history ORDER BY id, dbt_valid_from")
shutil.rmtree(work.parent)
