//! How long looks into a semantic cache in PostgreSQL take by the size of the group, and how near the index of large groups
//! comes to comparing all of them.
//!
//! `--postgres URL`, `--rows N`: the size of the largest group. The index is made by a client, as it would be anywhere.

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ossai::{Client, CompletionRequest};
use serde_json::json;
use sim::arguments::{number, text};
use sim::chance::Chance;
use sim::roads::{self, Failed};
use sim::tally::{check, verdict};
use sim::upstream::Upstream;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client as Sql, NoTls, Statement};

/// Up to here a group is compared whole.
const EXACTLY: i32 = 10_000;
const LOOKS: u64 = 50;
const WORDINGS: u64 = 200;
const TOP: i32 = 5;

async fn ask(client: &Client, n: u64) -> Result<(), Failed> {
    let request = CompletionRequest {
        temperature: Some(0.0),
        ..CompletionRequest::new("openai/gpt-4o-mini", format!("What is call-{n}?").as_str())
    };
    client.complete(request).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}

/// Vectors of length 1: anywhere, or round centres as those of questions are.
struct Source {
    chance: Chance,
    width: usize,
    centres: Vec<Vec<f32>>,
}

impl Source {
    fn new(width: usize, centres: usize) -> Self {
        let mut source = Self {
            chance: Chance::new(7),
            width,
            centres: Vec::new(),
        };
        source.centres = (0..centres).map(|_| source.anywhere()).collect();
        source
    }

    fn anywhere(&mut self) -> Vec<f32> {
        // The sum of four is near enough to a normal distribution, and so to any direction.
        #[allow(clippy::cast_precision_loss)]
        let mut one = || self.chance.below(1 << 20) as f32 / (1 << 20) as f32 - 0.5;
        unit(
            (0..self.width)
                .map(|_| one() + one() + one() + one())
                .collect(),
        )
    }

    fn next(&mut self) -> Vec<f32> {
        let own = self.anywhere();
        if self.centres.is_empty() {
            return own;
        }
        let n = self.centres.len() as u64;
        let place = usize::try_from(self.chance.below(n)).unwrap_or(0);
        near(&self.centres[place], &own, 0.7)
    }
}

fn unit(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.into_iter().map(|x| x / length).collect()
}

/// `a` and so much of `b`.
fn near(a: &[f32], b: &[f32], much: f32) -> Vec<f32> {
    unit(a.iter().zip(b).map(|(a, b)| a + b * much).collect())
}

struct Looks<'a> {
    sql: &'a Sql,
    find: Statement,
    group: Vec<u8>,
}

impl Looks<'_> {
    /// The nearest, and how long it took to find them.
    async fn nearest(
        &self,
        vector: &Vec<f32>,
        exactly: i32,
    ) -> Result<(Vec<Vec<u8>>, Duration), Failed> {
        let began = Instant::now();
        let scopes: Vec<Vec<u8>> = vec![vec![1; 16], vec![2; 16]];
        let parameters: [&(dyn ToSql + Sync); 5] = [&self.group, vector, &scopes, &TOP, &exactly];
        let rows = self.sql.query(&self.find, &parameters).await?;
        let took = began.elapsed();
        Ok((rows.iter().skip(1).map(|row| row.get(0)).collect(), took))
    }
}

fn ms(times: &mut [Duration]) -> String {
    times.sort();
    let at =
        |part: usize| times[(times.len() * part / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    format!("{:.1} ms, at most {:.1} ms", at(50), at(100))
}

/// Looks through a group of so many rows: what they take, and what they find of what comparing all of them finds. Gives the share of
/// the nearest that are found, and of the kept questions that are when they are asked for in other words.
async fn measured(
    looks: &Looks<'_>,
    source: &mut Source,
    all: &[Vec<f32>],
    name: &str,
) -> Result<(f64, f64), Failed> {
    let rows = all.len();
    let (mut whole, mut asked) = (Vec::new(), Vec::new());
    let (mut found, mut there) = (0, 0);
    for _ in 0..LOOKS {
        let wanted = source.next();
        let (exact, took) = looks.nearest(&wanted, i32::MAX - 1).await?;
        whole.push(took);
        let exact: HashSet<_> = exact.into_iter().collect();
        let (near_ones, took) = looks.nearest(&wanted, EXACTLY).await?;
        asked.push(took);
        found += near_ones.iter().filter(|key| exact.contains(*key)).count();
        there += exact.len();
    }
    // Of all that are near another wording the kept question itself is the one that matters.
    let mut twins = [0_usize; 2];
    for n in 0..WORDINGS {
        let kept = usize::try_from(n).unwrap_or(0) * 7_919 % rows;
        for (found, much) in twins.iter_mut().zip([0.3, 0.5]) {
            let twin = near(&all[kept], &source.anywhere(), much);
            let (first, _) = looks.nearest(&twin, EXACTLY).await?;
            let key = (kept as u64).to_le_bytes();
            *found += usize::from(first.iter().any(|first| *first == key));
        }
    }
    #[allow(clippy::cast_precision_loss)]
    let (recall, reworded) = (
        found as f64 / there as f64,
        (twins[0] + twins[1]) as f64 / (2 * WORDINGS) as f64,
    );
    println!(
        "{rows} {name} vectors of {} numbers: a look takes {}; comparing all {}; {:.1} % of the nearest {TOP} found; of {WORDINGS} other wordings {} (cosine 0.96) and {} (0.89)",
        source.width,
        ms(&mut asked),
        ms(&mut whole),
        recall * 100.0,
        twins[0],
        twins[1],
    );
    Ok((recall, reworded))
}

async fn checks() -> Result<bool, Failed> {
    let url = text("postgres").ok_or("expected --postgres URL")?;
    let rows = usize::try_from(number("rows", 20_000))?;
    let (sql, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    // What an administrator would give the making of such an index.
    sql.batch_execute(
        "CREATE EXTENSION IF NOT EXISTS vector; ALTER ROLE ossai SET maintenance_work_mem = '1GB'",
    )
    .await?;
    let upstream = Upstream::start().await?;
    let mut config = roads::direct(upstream.address(), 1);
    config["tenant"] = json!("recall");
    config["cache"] = json!({"max_bytes": 0, "semantic": {
        "model": "local/hash", "max_entries": 10_000_000, "max_bytes": 1_u64 << 40, "ttl_ms": 3_600_000,
        "postgres": {"url": url},
    }});
    ask(&roads::client(&config)?, 1).await?;
    let own = "SELECT grp, tenant, dimensions FROM ossai_semantic_1 ORDER BY created DESC LIMIT 1";
    let row = sql.query_one(own, &[]).await?;
    let (tenant, width): (Vec<u8>, i32) = (row.get(1), row.get(2));
    let looks = Looks {
        sql: &sql,
        find: sql
            .prepare("SELECT key FROM ossai_semantic_find_1($1, $2, $3, 2, NULL, 1048576, $4, $5) OFFSET 0")
            .await?,
        group: row.get(0),
    };
    let insert = sql
        .prepare(
            "INSERT INTO ossai_semantic_1 (grp, key, tenant, dimensions, embedding, answer, scopes, bytes, created, fresh_until)
             VALUES ($1, $2, $3, cardinality($4::real[]), $4::real[]::vector, 'x', '{}', 1, now(), now() + interval '1 hour')",
        )
        .await?;
    let mut good = true;
    let width = usize::try_from(width)?;
    for (name, centres, least) in [("scattered", 0, 0.0), ("clustered", 500, 0.9)] {
        let mut source = Source::new(width, centres);
        let mut all: Vec<Vec<f32>> = Vec::new();
        sql.batch_execute("TRUNCATE ossai_semantic_1").await?;
        sql.batch_execute(&format!(
            "DROP INDEX IF EXISTS ossai_semantic_1_hnsw_{width}"
        ))
        .await?;
        for size in [100, 10_000, rows] {
            sql.batch_execute("BEGIN").await?;
            while all.len() < size {
                let vector = source.next();
                let key = (all.len() as u64).to_le_bytes().to_vec();
                let parameters: [&(dyn ToSql + Sync); 4] = [&looks.group, &key, &tenant, &vector];
                sql.execute(&insert, &parameters).await?;
                all.push(vector);
            }
            sql.batch_execute("COMMIT; ANALYZE ossai_semantic_1")
                .await?;
            if size > usize::try_from(EXACTLY)? {
                // Another address is another place: its client has not yet looked after an index.
                let mut anew = config.clone();
                anew["cache"]["semantic"]["postgres"]["url"] =
                    json!(format!("{url}?application_name={name}"));
                let began = Instant::now();
                ask(&roads::client(&anew)?, 2 + centres as u64).await?;
                let state = format!(
                    "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ossai_semantic_1_hnsw_{width}')"
                );
                while !sql
                    .query_opt(&state, &[])
                    .await?
                    .is_some_and(|row| row.get(0))
                {
                    if began.elapsed() > Duration::from_secs(900) {
                        return Err("no index was made".into());
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                println!(
                    "the index of {size} rows was made in {:.0?}, beside the calls",
                    began.elapsed()
                );
            }
            let (recall, reworded) = measured(&looks, &mut source, &all, name).await?;
            // Of scattered vectors all are about equally far, and nobody asks for what is far.
            let (least, least_reworded) = if size > usize::try_from(EXACTLY)? {
                (least, 0.95)
            } else {
                (1.0, 1.0)
            };
            good &= check(
                recall >= least && reworded >= least_reworded,
                &format!(
                    "{size} {name}: {:.1} % of the nearest found (at least {:.0} %), {:.1} % of other wordings (at least {:.0} %)",
                    recall * 100.0,
                    least * 100.0,
                    reworded * 100.0,
                    least_reworded * 100.0
                ),
            );
        }
    }
    Ok(good)
}

#[tokio::main]
async fn main() -> ExitCode {
    verdict(checks().await)
}
