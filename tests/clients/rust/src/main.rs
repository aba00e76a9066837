//! tokio-postgres and its blocking sibling, postgres: typed parameters and results in binary, portals, COPY, pipelining,
//! transactions, errors, cancelling. What it prints is compared between two servers.
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use futures_util::{future::join_all, pin_mut, SinkExt, StreamExt, TryStreamExt};
use rust_decimal::Decimal;
use serde_json::Value;
use std::{env, error::Error, fmt::Debug, future::Future, str::FromStr, time::Duration};
use tokio_postgres::{
    binary_copy::{BinaryCopyInWriter, BinaryCopyOutStream},
    types::{FromSql, ToSql, Type},
    Client, IsolationLevel, NoTls, SimpleQueryMessage,
};
use uuid::Uuid;

type Done = Result<(), Box<dyn Error + Send + Sync>>;

fn config() -> String {
    let v = |n| env::var(n).unwrap();
    format!("host={} port={} user={} dbname={}", v("PGHOST"), v("PGPORT"), v("PGUSER"), v("PGDATABASE"))
}

async fn connect() -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(&config(), NoTls).await?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(client)
}

fn state(e: &tokio_postgres::Error) -> String {
    match e.as_db_error() {
        Some(d) => format!("{} {} {:?} {:?} {:?}", d.code().code(), d.severity(), d.constraint(), d.column(), d.position()),
        None => e.to_string(),
    }
}

fn print_error(e: &(dyn Error + Send + Sync + 'static)) {
    match e.downcast_ref::<tokio_postgres::Error>().and_then(|e| e.as_db_error()) {
        Some(d) => println!("error: {} {}", d.code().code(), d.message()),
        None => println!("error: {e}"),
    }
}

async fn section<F: Future<Output = Done> + Send + 'static>(name: &str, sample: bool, f: impl FnOnce() -> F) {
    if env::var("CLIENTS_SAMPLE").is_ok() && !sample {
        return;
    }
    println!("== {name}");
    match tokio::time::timeout(Duration::from_secs(20), tokio::spawn(f())).await {
        Err(_) => println!("error: no answer"),
        Ok(Err(e)) => println!("error: {e}"), // a panic: a column of another type
        Ok(Ok(Err(e))) => print_error(&*e),
        Ok(Ok(Ok(()))) => {}
    }
}

/// One value there and back, in binary, beside a NULL of its type.
async fn round<T>(c: &Client, typ: &str, v: T) -> Done
where
    T: ToSql + Sync + Debug + for<'a> FromSql<'a>,
{
    let s = c.prepare(&format!("SELECT $1::{typ}, NULL::{typ}")).await?;
    let r = c.query_one(&s, &[&v]).await?;
    println!("  {typ} {:?} {:?} {} {}", r.get::<_, T>(0), r.get::<_, Option<T>>(1), s.params()[0], s.columns()[0].type_());
    Ok(())
}

async fn types() -> Done {
    let c = connect().await?;
    round(&c, "boolean", true).await?;
    round(&c, "smallint", -3i16).await?;
    round(&c, "integer", 7i32).await?;
    round(&c, "bigint", 1i64 << 62).await?;
    round(&c, "real", 1.5f32).await?;
    round(&c, "double precision", 0.1f64).await?;
    round(&c, "numeric", Decimal::from_str("-12345678.9012")?).await?;
    round(&c, "text", "日 'x'".to_string()).await?;
    round(&c, "varchar(5)", "ab".to_string()).await?;
    round(&c, "char(4)", "ab".to_string()).await?;
    round(&c, "bytea", vec![0u8, 255]).await?;
    round(&c, "uuid", Uuid::from_u128(7)).await?;
    round(&c, "date", NaiveDate::from_ymd_opt(2024, 2, 29).unwrap()).await?;
    round(&c, "time", NaiveTime::from_hms_opt(1, 2, 3).unwrap()).await?;
    round(&c, "timestamp", NaiveDateTime::from_str("2024-02-29T01:02:03.000004")?).await?;
    round(&c, "timestamptz", DateTime::<Utc>::from_str("2024-02-29T01:02:03.000004Z")?).await?;
    round(&c, "json", Value::from_str(r#"{"a":[1,null]}"#)?).await?;
    round(&c, "jsonb", Value::from_str(r#"{"b":1}"#)?).await?;
    round(&c, "bigint[]", vec![Some(1i64), None]).await?;
    round(&c, "text[]", vec!["a".to_string(), "q\"\\".into(), String::new()]).await?;
    round(&c, "uuid[]", vec![Uuid::from_u128(1)]).await?;
    Ok(())
}

async fn inferred() -> Done {
    let c = connect().await?;
    for q in ["SELECT $1 + 1", "SELECT $1 || 'x'", "SELECT 1 WHERE 2 = ANY($1)", "SELECT * FROM generate_series(1, $1)", "SELECT 1 LIMIT $1", "SELECT coalesce($1, 1.5)", "SELECT $1::text, $2::date", "SELECT now() - $1", "SELECT $1"] {
        match c.prepare(q).await {
            Ok(s) => println!("  {q}: {:?} {:?}", s.params(), s.columns().iter().map(|x| format!("{} {}", x.name(), x.type_())).collect::<Vec<_>>()),
            Err(e) => println!("  {q}: {}", state(&e)),
        }
    }
    let s = c.prepare_typed("SELECT $1", &[Type::INT8]).await?;
    println!("  {:?}", c.query_one(&s, &[&5i64]).await?.get::<_, i64>(0));
    Ok(())
}

async fn writes() -> Done {
    let c = connect().await?;
    c.batch_execute("CREATE TABLE rw (id serial PRIMARY KEY, name text NOT NULL UNIQUE, n numeric(8,2)); INSERT INTO rw (name) VALUES ('first')").await?;
    let r = c.query_one("INSERT INTO rw (name, n) VALUES ($1, $2) RETURNING id", &[&"a", &Decimal::from_str("1.5")?]).await?;
    println!("  {}", r.get::<_, i32>(0));
    println!("  {} {}", c.execute("UPDATE rw SET n = $1 WHERE name <> $2", &[&Decimal::from_str("2.25")?, &"zz"]).await?, c.execute("DELETE FROM rw WHERE name = $1", &[&"none"]).await?);
    for q in ["INSERT INTO rw (name) VALUES ('a')", "INSERT INTO rw (name) VALUES (NULL)", "SELEC", "SELECT * FROM nope", "SELECT 1/0"] {
        println!("  {q}: {}", c.execute(q, &[]).await.map(|n| n.to_string()).unwrap_or_else(|e| state(&e)));
    }
    for r in c.query("SELECT id, name, n FROM rw ORDER BY name", &[]).await? {
        println!("  {:?} {:?} {:?}", r.get::<_, i32>(0), r.get::<_, String>(1), r.get::<_, Option<Decimal>>(2));
    }
    println!("  {:?}", c.query_opt("SELECT 1 WHERE false", &[]).await?.is_none());
    Ok(())
}

async fn simple_protocol() -> Done {
    let c = connect().await?;
    for m in c.simple_query("SELECT 1 AS a, NULL AS b; CREATE TABLE sp (i integer); INSERT INTO sp VALUES (1), (2); SELECT i FROM sp ORDER BY i").await? {
        match m {
            SimpleQueryMessage::Row(r) => println!("  row {:?}", (0..r.len()).map(|i| r.get(i)).collect::<Vec<_>>()),
            SimpleQueryMessage::CommandComplete(n) => println!("  complete {n}"),
            SimpleQueryMessage::RowDescription(d) => println!("  columns {:?}", d.iter().map(|x| x.name()).collect::<Vec<_>>()),
            _ => println!("  other"),
        }
    }
    Ok(())
}

async fn portals() -> Done {
    let mut c = connect().await?;
    let t = c.transaction().await?;
    let p = t.bind("SELECT i FROM generate_series(1, $1::int) AS g(i)", &[&10i32]).await?;
    let q = t.bind("SELECT -i FROM generate_series(1, 3) AS g(i)", &[]).await?;
    for _ in 0..3 {
        println!("  {:?}", t.query_portal(&p, 4).await?.iter().map(|r| r.get::<_, i32>(0)).collect::<Vec<_>>());
        println!("  {:?}", t.query_portal(&q, 2).await?.iter().map(|r| r.get::<_, i32>(0)).collect::<Vec<_>>());
    }
    t.commit().await?;
    Ok(())
}

async fn transactions() -> Done {
    let mut c = connect().await?;
    c.batch_execute("CREATE TABLE rtx (i integer PRIMARY KEY)").await?;
    let mut t = c.transaction().await?;
    t.execute("INSERT INTO rtx VALUES (1)", &[]).await?;
    {
        let s = t.savepoint("s").await?;
        println!("  {}", state(&s.execute("INSERT INTO rtx VALUES (1)", &[]).await.unwrap_err()));
        s.rollback().await?;
    }
    {
        let s = t.transaction().await?;
        s.execute("INSERT INTO rtx VALUES (2)", &[]).await?;
        s.commit().await?;
    }
    t.commit().await?;
    for level in [IsolationLevel::ReadCommitted, IsolationLevel::RepeatableRead, IsolationLevel::Serializable] {
        let t = c.build_transaction().isolation_level(level).read_only(true).start().await?;
        let is: String = t.query_one("SHOW transaction_isolation", &[]).await?.get(0);
        println!("  {is} {}", state(&t.execute("DELETE FROM rtx", &[]).await.unwrap_err()));
        t.rollback().await?;
    }
    println!("  {:?}", c.query("SELECT i FROM rtx ORDER BY i", &[]).await?.iter().map(|r| r.get::<_, i32>(0)).collect::<Vec<_>>());
    Ok(())
}

async fn pipelined() -> Done {
    let c = connect().await?;
    let s = c.prepare("SELECT $1::int * 2").await?;
    let all: Vec<i32> = (0..50).collect();
    let got = join_all(all.iter().map(|i| {
        let (c, s) = (&c, &s);
        async move { c.query_one(s, &[i]).await.map(|r| r.get::<_, i32>(0)) }
    }))
    .await;
    println!("  {}", got.into_iter().map(|r| r.unwrap()).sum::<i32>());
    let (a, b, d) = tokio::join!(c.query("SELECT 1", &[]), c.query("SELECT 1/0", &[]), c.query("SELECT 3", &[]));
    println!("  {} {} {}", a?.len(), state(&b.unwrap_err()), d?.len());
    Ok(())
}

async fn streams() -> Done {
    let c = connect().await?;
    let params: [i32; 1] = [20000];
    let rows = c.query_raw("SELECT i, i::text FROM generate_series(1, $1::int) AS g(i)", params).await?;
    pin_mut!(rows);
    let mut n = 0i64;
    while let Some(r) = rows.try_next().await? {
        n += r.get::<_, i32>(0) as i64 + r.get::<_, String>(1).len() as i64;
    }
    println!("  {n}");
    Ok(())
}

async fn copies() -> Done {
    let c = connect().await?;
    c.batch_execute("CREATE TABLE rcp (i integer, s text)").await?;
    let sink = c.copy_in("COPY rcp FROM STDIN").await?;
    pin_mut!(sink);
    sink.send(Bytes::from_static(b"1\ta\n2\t")).await?;
    sink.send(Bytes::from_static(b"\\N\n")).await?;
    println!("  {}", sink.finish().await?);
    let out: Vec<Bytes> = c.copy_out("COPY (SELECT * FROM rcp ORDER BY i) TO STDOUT (FORMAT csv, HEADER)").await?.try_collect().await?;
    println!("  {:?}", String::from_utf8(out.concat())?);
    let sink = c.copy_in::<_, Bytes>("COPY rcp FROM STDIN").await?;
    pin_mut!(sink);
    sink.send(Bytes::from_static(b"x\ty\n")).await?;
    println!("  {}", state(&sink.finish().await.unwrap_err()));
    println!("  {}", c.query_one("SELECT count(*) FROM rcp", &[]).await?.get::<_, i64>(0));
    Ok(())
}

async fn binary_copies() -> Done {
    let c = connect().await?;
    c.batch_execute("CREATE TABLE rbc (i integer, s text, t timestamptz)").await?;
    let at = DateTime::<Utc>::from_str("2024-01-02T03:04:05Z")?;
    let w = BinaryCopyInWriter::new(c.copy_in("COPY rbc FROM STDIN BINARY").await?, &[Type::INT4, Type::TEXT, Type::TIMESTAMPTZ]);
    pin_mut!(w);
    w.as_mut().write(&[&1i32, &"a", &at]).await?;
    w.as_mut().write(&[&2i32, &None::<&str>, &None::<DateTime<Utc>>]).await?;
    println!("  {}", w.finish().await?);
    let rows = BinaryCopyOutStream::new(c.copy_out("COPY (SELECT * FROM rbc ORDER BY i) TO STDOUT BINARY").await?, &[Type::INT4, Type::TEXT, Type::TIMESTAMPTZ]);
    pin_mut!(rows);
    while let Some(r) = rows.next().await {
        let r = r?;
        println!("  {:?} {:?} {:?}", r.get::<i32>(0), r.get::<Option<String>>(1), r.get::<Option<DateTime<Utc>>>(2));
    }
    Ok(())
}

async fn cancelling() -> Done {
    let c = connect().await?;
    let token = c.cancel_token();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        token.cancel_query(NoTls).await
    });
    println!("  {}", state(&c.batch_execute("SELECT pg_sleep(20)").await.unwrap_err()));
    println!("  {}", c.query_one("SELECT 1", &[]).await?.get::<_, i32>(0));
    Ok(())
}

/// Types that the driver does not know are looked up in pg_type, pg_range, pg_enum and pg_attribute.
async fn type_lookups() -> Done {
    let c = connect().await?;
    let s = c.prepare("SELECT typname, typtype::text, typcategory::text, typarray FROM pg_catalog.pg_type WHERE oid = $1").await?;
    for oid in [23u32, 1700, 1114, 3904] {
        let r = c.query_one(&s, &[&oid]).await?;
        println!("  {} {} {} {}", r.get::<_, &str>(0), r.get::<_, &str>(1), r.get::<_, &str>(2), r.get::<_, u32>(3));
    }
    c.batch_execute("CREATE TABLE tl (i integer)").await?;
    let s = c.prepare("SELECT NULL::information_schema.sql_identifier, NULL::pg_catalog.regclass").await?;
    println!("  {:?}", s.columns().iter().map(|x| format!("{:?}", x.type_().kind())).collect::<Vec<_>>());
    Ok(())
}

/// The blocking client.
fn blocking() -> Done {
    let mut c = postgres::Client::connect(&config(), NoTls)?;
    c.batch_execute("CREATE TABLE bl (i integer PRIMARY KEY, s text)")?;
    let mut t = c.transaction()?;
    for i in 0..5 {
        t.execute("INSERT INTO bl VALUES ($1, $2)", &[&i, &format!("s{i}")])?;
    }
    t.commit()?;
    for r in c.query("SELECT i, s FROM bl WHERE i = ANY($1) ORDER BY i", &[&vec![1, 3]])? {
        println!("  {} {}", r.get::<_, i32>(0), r.get::<_, &str>(1));
    }
    println!("  {}", state(&c.execute("INSERT INTO bl VALUES (1, 'x')", &[]).unwrap_err()));
    Ok(())
}

async fn listening() -> Done {
    let (c, mut connection) = tokio_postgres::connect(&config(), NoTls).await?;
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut s = futures_util::stream::poll_fn(move |x| connection.poll_message(x));
        while let Some(Ok(m)) = s.next().await {
            if let tokio_postgres::AsyncMessage::Notification(n) = m {
                let _ = tx.send(format!("{} {}", n.channel(), n.payload()));
            }
        }
    });
    c.batch_execute("LISTEN ch; NOTIFY ch, 'hi'").await?;
    println!("  {:?}", tokio::time::timeout(Duration::from_secs(2), rx.recv()).await?);
    Ok(())
}

#[tokio::main]
async fn main() {
    section("types", true, types).await;
    section("inferred_parameters", true, inferred).await;
    section("writes", true, writes).await;
    section("simple_protocol", true, simple_protocol).await;
    section("portals", true, portals).await;
    section("transactions", true, transactions).await;
    section("pipelined", true, pipelined).await;
    section("streams", true, streams).await;
    section("copies", true, copies).await;
    section("binary_copies", false, binary_copies).await;
    section("cancelling", false, cancelling).await;
    section("type_lookups", false, type_lookups).await;
    section("blocking", true, || async { tokio::task::spawn_blocking(blocking).await? }).await;
    section("listening", false, listening).await;
}
