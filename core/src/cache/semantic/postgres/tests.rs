//! Against a real PostgreSQL with pgvector, named by `OSSAI_TEST_POSTGRES` (`ci/pgvector` starts one): each test in a schema
//! of its own.

#![allow(clippy::unwrap_used)] // of a test

use std::collections::{BTreeMap, HashSet};

use tokio_postgres::{Client, NoTls};

use super::row::{place, unpacked};
use super::*;
use crate::cache::Scopes;
use crate::cache::envelope::Kind;
use crate::cache::memory::{Entry, Value};
use crate::cache::semantic::normalised;
use crate::types::{Answer, Completion};

const GROUP: Key = Key([1; 32]);
const MODEL: &str = "openai/m";

fn url() -> String {
    match std::env::var("OSSAI_TEST_POSTGRES") {
        Ok(url) => url,
        Err(_) => panic!("expected OSSAI_TEST_POSTGRES=postgres://…"),
    }
}

async fn admin(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A schema, the URL that leads there, and whoever may look at it.
async fn schema(name: &str) -> (String, Client) {
    let own = format!("{}?options=-csearch_path%3D{name},public", url());
    let client = admin(&url()).await;
    let made = format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}");
    client.batch_execute(&made).await.unwrap();
    (own.clone(), admin(&own).await)
}

fn config(url: &str, more: &str) -> Config {
    let json = format!(
        r#"{{"tenant": "acme", "cache": {{"semantic": {{"model": "local/hash",
            "postgres": {{"url": "{url}", "timeout_ms": 5000{more}}}}}}}}}"#
    );
    Config::from_json(&json).unwrap()
}

fn store(config: &Config, exactly: i32) -> Arc<Store> {
    let semantic = config.cache.semantic.as_ref();
    let settings = semantic.and_then(|semantic| semantic.postgres.as_ref());
    let mut store = Store::new(settings.unwrap(), config).unwrap();
    store.exactly = exactly;
    Arc::new(store)
}

fn scopes(tags: &[(&str, &str)]) -> Vec<Id> {
    let tags = tags.iter();
    let tags: BTreeMap<String, String> = tags.map(|(n, v)| ((*n).into(), (*v).into())).collect();
    let scopes = Scopes::new(Some("acme"), MODEL, &tags);
    scopes.of(scopes.tags.as_ref())
}

fn fresh(key: u8, vector: &[f32], text: &str, scopes: &[Id], seen: Token) -> Arc<Fresh> {
    let completion = Completion::from(Answer {
        text: format!("{text}!"),
        model: MODEL.into(),
        ..Answer::default()
    });
    Arc::new(Fresh {
        group: GROUP,
        key: Key([key; 32]),
        text: text.into(),
        vector: normalised(vector).unwrap().into(),
        value: Value::Completion {
            completion: Arc::new(completion),
            events: None,
        },
        now: Duration::ZERO,
        ttl: Duration::from_secs(60),
        tags: None,
        scopes: scopes.to_vec(),
        seen: Some(seen),
    })
}

async fn look(store: &Store, group: &Key, vector: &[f32]) -> (Vec<(f32, String)>, Token) {
    let vector = normalised(vector).unwrap();
    let wanted = Wanted {
        group,
        vector: &vector,
        now: Duration::from_secs(9),
        max_age: None,
        threshold: 0.5,
        top: 3,
    };
    let (near, seen) = store.find(&wanted, &scopes(&[])).await.unwrap();
    let near = near.into_iter();
    let near = near.map(|(similarity, item)| (similarity, item.text.to_string()));
    (near.collect(), seen)
}

fn tenant() -> Id {
    marks::all(Some("acme"))
}

async fn put(store: &Store, key: u8, vector: &[f32], text: &str) {
    let own = scopes(&[]);
    let (_, seen) = look(store, &GROUP, vector).await;
    let kept = store
        .put(&tenant(), &fresh(key, vector, text, &own, seen))
        .await;
    assert!(kept.unwrap().is_some(), "{text}");
}

#[tokio::test]
#[ignore = "needs OSSAI_TEST_POSTGRES"]
async fn the_nearest_are_found_as_the_index_of_a_process_finds_them() {
    let (url, _) = schema("t_nearest").await;
    let store = store(&config(&url, ""), EXACTLY);
    let vectors: [&[f32]; 4] = [&[1.0, 0.0], &[1.0, 0.2], &[1.0, 0.5], &[0.0, 1.0]];
    let index = super::super::Index::new(100, 1 << 20);
    for (n, vector) in (1_u8..).zip(vectors) {
        put(&store, n, vector, &n.to_string()).await;
        let own = fresh(n, vector, &n.to_string(), &[], marks::NONE);
        let entry = Entry::new(own.value.clone(), Duration::ZERO, own.ttl);
        let item = Item {
            key: own.key,
            text: own.text.clone(),
            vector: Arc::clone(&own.vector),
            entry,
            found_age: None,
        };
        index.put(GROUP, item);
    }
    let wanted = normalised(&[1.0, 0.1]).unwrap();
    let here = index
        .nearest(&Wanted {
            group: &GROUP,
            vector: &wanted,
            now: Duration::ZERO,
            max_age: None,
            threshold: 0.5,
            top: 3,
        })
        .await;
    let here: Vec<_> = here
        .iter()
        .map(|(similarity, item)| (*similarity, item.text.to_string()))
        .collect();
    let (there, _) = look(&store, &GROUP, &[1.0, 0.1]).await;
    assert_eq!(there, here, "to the last bit");
    assert_eq!(there.len(), 3);
    assert!(look(&store, &Key([2; 32]), &[1.0, 0.1]).await.0.is_empty());
    assert!(look(&store, &GROUP, &[1.0, 0.1, 0.0]).await.0.is_empty());
    put(&store, 1, &[1.0, 0.1], "newer").await;
    let (there, _) = look(&store, &GROUP, &[1.0, 0.1]).await;
    assert_eq!(there.first().unwrap().1, "newer", "in place of the old one");
    assert!(there.iter().all(|(_, text)| text != "1"));
}

#[tokio::test]
#[ignore = "needs OSSAI_TEST_POSTGRES"]
async fn what_is_over_its_time_or_older_than_asked_for_is_not_found() {
    let (url, sql) = schema("t_time").await;
    let store = store(&config(&url, ""), EXACTLY);
    put(&store, 1, &[1.0, 0.0], "a").await;
    let age = "UPDATE ossai_semantic_1 SET created = created - interval '30 seconds'";
    sql.batch_execute(age).await.unwrap();
    let wanted = |max_age| Wanted {
        group: &GROUP,
        vector: &[1.0, 0.0],
        now: Duration::from_secs(9),
        max_age,
        threshold: 0.5,
        top: 3,
    };
    let (near, _) = store.find(&wanted(None), &scopes(&[])).await.unwrap();
    let item = &near.first().unwrap().1;
    let age = item.found_age.unwrap().as_secs();
    assert!((30..35).contains(&age), "{age}");
    let left = item.entry.expires_at.as_secs() - 9;
    assert!((55..=60).contains(&left), "{left}");
    let max_age = Some(Duration::from_secs(20));
    assert!(
        store
            .find(&wanted(max_age), &scopes(&[]))
            .await
            .unwrap()
            .0
            .is_empty()
    );
    let max_age = Some(Duration::from_secs(40));
    assert_eq!(
        store
            .find(&wanted(max_age), &scopes(&[]))
            .await
            .unwrap()
            .0
            .len(),
        1
    );
    let over = "UPDATE ossai_semantic_1 SET fresh_until = clock_timestamp()";
    sql.batch_execute(over).await.unwrap();
    assert!(
        store
            .find(&wanted(None), &scopes(&[]))
            .await
            .unwrap()
            .0
            .is_empty()
    );
    // A later date than it was written with is not believed.
    let longer = "UPDATE ossai_semantic_1 SET created = created - interval '1 day',
        fresh_until = clock_timestamp() + interval '1 day'";
    sql.batch_execute(longer).await.unwrap();
    assert!(
        store
            .find(&wanted(None), &scopes(&[]))
            .await
            .unwrap()
            .0
            .is_empty()
    );
}

#[tokio::test]
#[ignore = "needs OSSAI_TEST_POSTGRES"]
async fn what_was_under_way_when_its_scope_was_invalidated_is_not_kept() {
    let (url, sql) = schema("t_marks").await;
    let config = config(&url, "");
    let store = store(&config, EXACTLY);
    let semantic = config.cache.semantic.as_ref().unwrap();
    let shelf = Shelf::on(Arc::clone(&store), semantic, &config);
    let (red, blue) = (scopes(&[("c", "red")]), scopes(&[("c", "blue")]));
    let tag = |value| marks::tag(Some("acme"), "c", value);
    let seen = |scopes: Vec<Id>| {
        let store = &store;
        async move {
            let wanted = Wanted {
                group: &GROUP,
                vector: &[1.0],
                now: Duration::ZERO,
                max_age: None,
                threshold: 0.5,
                top: 3,
            };
            store.find(&wanted, &scopes).await.unwrap().1
        }
    };
    let before = [seen(red.clone()).await, seen(blue.clone()).await];
    shelf.invalidate(&tag("red")).await.unwrap();
    let kept = |key, scopes: &[Id], seen| {
        let fresh = fresh(key, &[1.0], "a", scopes, seen);
        let store = &store;
        async move { store.put(&tenant(), &fresh).await.unwrap().is_some() }
    };
    assert!(!kept(1, &red, before[0]).await);
    assert!(kept(2, &blue, before[1]).await, "another tag's is kept");
    assert!(kept(1, &red, seen(red.clone()).await).await);
    let rows = || async {
        let count = "SELECT count(*) FROM ossai_semantic_1";
        sql.query_one(count, &[]).await.unwrap().get::<_, i64>(0)
    };
    assert_eq!(rows().await, 2);
    let before = [seen(red.clone()).await, seen(blue.clone()).await];
    for (scope, left) in [
        (tag("blue"), 1),
        (marks::all(Some("other")), 1),
        (marks::model(Some("acme"), "openai/other"), 1),
        (marks::model(Some("acme"), MODEL), 0),
    ] {
        shelf.invalidate(&scope).await.unwrap();
        assert_eq!(rows().await, left);
    }
    assert!(!kept(1, &red, before[0]).await && !kept(2, &blue, before[1]).await);
    assert_eq!(store.guard.stats().faults, 0);
}

#[tokio::test]
#[ignore = "needs OSSAI_TEST_POSTGRES"]
async fn rows_that_are_damaged_swapped_or_written_with_another_key_are_misses() {
    let (url, sql) = schema("t_damage").await;
    for more in ["", r#", "key": "canary canary canary""#] {
        let own = store(&config(&url, more), EXACTLY);
        let found = |at: [f32; 2]| {
            let own = &own;
            async move { look(own, &GROUP, &at).await.0.len() }
        };
        for damage in [
            "UPDATE ossai_semantic_1 SET answer = set_byte(answer, 100, get_byte(answer, 100) # 1)",
            "UPDATE ossai_semantic_1 SET answer = substring(answer FOR 20)",
            "UPDATE ossai_semantic_1 SET answer = ''",
            "UPDATE ossai_semantic_1 SET embedding = '[0.999,0.01]'",
            "UPDATE ossai_semantic_1 SET key = set_byte(key, 0, 255)",
            "UPDATE ossai_semantic_1 SET key = 'x'",
            "UPDATE ossai_semantic_1 SET embedding = NULL",
            "UPDATE ossai_semantic_1 a SET answer = b.answer FROM ossai_semantic_1 b WHERE a.key <> b.key",
        ] {
            put(&own, 1, &[1.0, 0.0], "a").await;
            put(&own, 2, &[0.0, 1.0], "b").await;
            assert_eq!((found([1.0, 0.0]).await, found([0.0, 1.0]).await), (1, 1));
            let one = damage.contains("a.key");
            let only = if one {
                String::new()
            } else {
                format!(" WHERE key = '\\x{}'", "01".repeat(32))
            };
            sql.batch_execute(&format!("{damage}{only}")).await.unwrap();
            assert_eq!(found([1.0, 0.0]).await, 0, "{damage}");
            assert_eq!(found([0.0, 1.0]).await, usize::from(!one), "{damage}");
            sql.batch_execute("DELETE FROM ossai_semantic_1")
                .await
                .unwrap();
        }
        put(&own, 1, &[1.0, 0.0], "a").await;
        let other = store(&config(&url, r#", "key": "another key, longer""#), EXACTLY);
        assert!(look(&other, &GROUP, &[1.0, 0.0]).await.0.is_empty());
        let held = "SELECT position('a!'::bytea IN answer) FROM ossai_semantic_1";
        let at: i32 = sql.query_one(held, &[]).await.unwrap().get(0);
        assert_eq!(at > 0, more.is_empty(), "only a key hides it");
        let wide = "UPDATE ossai_semantic_1 SET embedding = '[1,2,3]'";
        assert!(
            sql.batch_execute(wide).await.is_err(),
            "no row has another length"
        );
    }
}

/// Everything at once for a while, by several clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs OSSAI_TEST_POSTGRES"]
async fn writers_invalidations_and_room_making_never_deadlock_and_every_row_counts() {
    let (url, sql) = schema("t_storm").await;
    let config = config(&url, "");
    let deadlocks = || async {
        let count = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        sql.query_one(count, &[]).await.unwrap().get::<_, i64>(0)
    };
    let before = deadlocks().await;
    let end = tokio::time::Instant::now() + Duration::from_secs(4);
    let mut at_work = tokio::task::JoinSet::new();
    for worker in 0..8_u64 {
        let (store, config) = (store(&config, EXACTLY), config.clone());
        at_work.spawn(async move {
            let random = SeededRandom::new(worker);
            let semantic = SemanticCache {
                max_entries: 10,
                ..config.cache.semantic.clone().unwrap()
            };
            let shelf = Shelf::on(Arc::clone(&store), &semantic, &config);
            let pick = |n: u64| u8::try_from(random.next_u64() % n).unwrap();
            let mut kept = 0;
            while tokio::time::Instant::now() < end {
                let (a, b) = (pick(4).to_string(), pick(4).to_string());
                let tags = scopes(&[("a", &a), ("b", &b)]);
                match pick(10) {
                    0 => shelf
                        .invalidate(&marks::tag(Some("acme"), "a", &a))
                        .await
                        .unwrap(),
                    1 => shelf
                        .invalidate(&marks::tag(Some("acme"), "b", &b))
                        .await
                        .unwrap(),
                    2 if pick(8) == 0 => shelf.invalidate(&tenant()).await.unwrap(),
                    _ => {
                        let wanted = Wanted {
                            group: &GROUP,
                            vector: &[1.0],
                            now: Duration::ZERO,
                            max_age: None,
                            threshold: 0.5,
                            top: 3,
                        };
                        let (_, seen) = store.find(&wanted, &tags).await.unwrap();
                        // What counts is written down: the marks by which it was kept.
                        let text = format!("{seen:?}");
                        let fresh = fresh(pick(30), &[1.0], &text, &tags, seen);
                        match shelf.upkeep.put(&store, &tenant(), &fresh).await {
                            Ok(done) => kept += u64::from(done),
                            Err(fault) => assert_eq!(fault, Fault::Foreign("busy")),
                        }
                    }
                }
            }
            kept
        });
    }
    let kept: u64 = at_work.join_all().await.into_iter().sum();
    assert!(kept > 100, "{kept}");
    let rows = sql
        .query(
            "SELECT key, answer, embedding::real[], ossai_semantic_seen_1(scopes) FROM ossai_semantic_1",
            &[],
        )
        .await
        .unwrap();
    assert!(rows.len() <= 10 + 8 * 5, "{} rows", rows.len());
    let store = store(&config, EXACTLY);
    for row in &rows {
        let key = Key(row.get::<_, Vec<u8>>(0).try_into().unwrap());
        let place = place(&GROUP, &key, &row.get::<_, Vec<f32>>(2));
        let (_, body) = store
            .sealer
            .open(Kind::Completion, &place, row.get(1))
            .unwrap();
        let now: Token = row.get::<_, Vec<u8>>(3).try_into().unwrap();
        assert_eq!(*unpacked(&body).unwrap().0, *format!("{now:?}"));
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(deadlocks().await, before);
}

/// Rows that only their vectors matter of, in two groups of which the second is small.
async fn fill(sql: &Client, vectors: &[Vec<f32>], group: &Key) {
    let insert = sql
        .prepare(
            "INSERT INTO ossai_semantic_1 (grp, key, tenant, dimensions, embedding, answer, scopes, bytes, created, fresh_until)
             VALUES ($1, $2, 't', cardinality($3::real[]), $3::real[]::vector, 'x', '{}', 1, now(), now() + interval '1 hour')",
        )
        .await
        .unwrap();
    sql.batch_execute("BEGIN").await.unwrap();
    for (n, vector) in vectors.iter().enumerate() {
        let key = n.to_le_bytes().to_vec();
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&group.0.to_vec(), &key, vector];
        sql.execute(&insert, &parameters).await.unwrap();
    }
    sql.batch_execute("COMMIT").await.unwrap();
}

async fn keys(sql: &Client, vector: &[f32], exactly: i32) -> Vec<Vec<u8>> {
    let find = "SELECT key FROM ossai_semantic_find_1($1, $2, $3, 2, NULL, 1000, 5, $4) OFFSET 1";
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&GROUP.0.to_vec(), &vector, &bytes(&scopes(&[])), &exactly];
    let rows = sql.query(find, &parameters).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
#[ignore = "needs OSSAI_TEST_POSTGRES"]
async fn large_groups_are_found_by_an_index_nearly_as_if_they_were_compared_whole() {
    for (name, width, clusters, least) in [
        ("t_random", 48, 0, 0.9),
        ("t_clusters", 48, 40, 0.95),
        ("t_halves", 2_100, 40, 0.9),
    ] {
        let (url, sql) = schema(name).await;
        let store = store(&config(&url, ""), 100);
        assert!(look(&store, &GROUP, &vec![1.0; width]).await.0.is_empty());
        let random = SeededRandom::new(7);
        let number = || (random.next_f64() * 2.0 - 1.0) as f32;
        let centres: Vec<Vec<f32>> = (0..clusters)
            .map(|_| (0..width).map(|_| number()).collect())
            .collect();
        let mut vector = |n: usize| -> Vec<f32> {
            let own = (0..width).map(|_| number());
            let own: Vec<f32> = match centres.get(n % clusters.max(1)) {
                None => own.collect(),
                Some(centre) => own.zip(centre).map(|(x, c)| c + x * 0.3).collect(),
            };
            normalised(&own).unwrap().into()
        };
        let count = if width > 2_000 { 2_500 } else { 5_000 };
        let large: Vec<_> = (0..count).map(&mut vector).collect();
        let others: Vec<_> = (0..count).map(&mut vector).collect();
        fill(&sql, &large, &GROUP).await;
        fill(&sql, &others, &Key([2; 32])).await;
        let kind = if width > 2_000 { "halfvec" } else { "vector" };
        upkeep::make_index(&sql, width, kind).await.unwrap();
        upkeep::make_index(&sql, width, kind).await.unwrap();
        let (mut found, mut there) = (0, 0);
        for n in 0..50 {
            let wanted = vector(n);
            let exact: HashSet<_> = keys(&sql, &wanted, 1_000_000).await.into_iter().collect();
            assert_eq!(exact.len(), 5);
            let near = keys(&sql, &wanted, 100).await;
            found += near.iter().filter(|key| exact.contains(*key)).count();
            there += exact.len();
        }
        #[allow(clippy::cast_precision_loss)]
        let recall = found as f64 / there as f64;
        println!("{name}: recall {recall:.3} of {count} of {width} numbers");
        assert!(recall >= least, "{name}: {recall}");
        // The database counts itself which of its indexes it asked.
        let used = format!(
            "SELECT idx_scan FROM pg_stat_user_indexes WHERE schemaname = '{name}' AND indexrelname = 'ossai_semantic_1_hnsw_{width}'"
        );
        let flush = "SELECT pg_stat_force_next_flush()";
        sql.batch_execute(flush).await.unwrap();
        let scans: i64 = sql.query_one(&used, &[]).await.unwrap().get(0);
        assert_eq!(
            scans, 50,
            "{name}: the index is asked for large groups alone"
        );
    }
}

#[tokio::test]
#[ignore = "needs OSSAI_TEST_POSTGRES"]
async fn vectors_of_another_model_address_or_length_are_never_compared() {
    let (url, _) = schema("t_spaces").await;
    let config = config(&url, "");
    let store = store(&config, EXACTLY);
    let of = |model: &str, dimensions, address: &str| {
        let semantic = SemanticCache {
            model: model.into(),
            dimensions,
            ..config.cache.semantic.clone().unwrap()
        };
        let providers = format!(r#"{{"providers": {{"openai": {{"base_url": "{address}"}}}}}}"#);
        let mut config = Config::from_json(&providers).unwrap();
        config.tenant = Some("acme".into());
        Shelf::on(Arc::clone(&store), &semantic, &config)
    };
    let here = "https://one.example/v1";
    let own = of("openai/small", None, here);
    let wanted = Wanted {
        group: &GROUP,
        vector: &[1.0],
        now: Duration::ZERO,
        max_age: None,
        threshold: 0.5,
        top: 3,
    };
    let own_scopes = scopes(&[]);
    let (_, seen) = own.nearest(&wanted, &own_scopes).await.unwrap();
    own.keep((*fresh(1, &[1.0], "a", &own_scopes, seen)).clone());
    own.flush().await;
    let known = Key([1; 32]);
    for (shelf, there) in [
        (of("openai/small", None, here), 1),
        (of("openai/large", None, here), 0),
        (of("openai/small", Some(1), here), 0),
        (of("openai/small", None, "https://two.example/v1"), 0),
    ] {
        let (near, _) = shelf.nearest(&wanted, &own_scopes).await.unwrap();
        let vector = shelf.known(&GROUP, &known, &own_scopes).await;
        assert_eq!((near.len(), vector.iter().len()), (there, there));
    }
}

#[tokio::test]
#[ignore = "needs OSSAI_TEST_POSTGRES"]
async fn a_database_that_takes_no_writes_is_still_read() {
    let (url, _) = schema("t_readonly").await;
    put(&store(&config(&url, ""), EXACTLY), 1, &[1.0, 0.0], "a").await;
    let url = url.replace(
        "?options=",
        "?options=-cdefault_transaction_read_only%3Don%20",
    );
    let store = store(&config(&url, ""), EXACTLY);
    let (near, seen) = look(&store, &GROUP, &[1.0, 0.0]).await;
    assert_eq!(near.len(), 1);
    let fresh = fresh(2, &[1.0, 0.0], "b", &scopes(&[]), seen);
    let refused = store.put(&tenant(), &fresh).await;
    assert_eq!(refused, Err(Fault::Refused("read_only")));
    assert!(!store.guard.takes_writes(), "it is spared them for a while");
    assert_eq!(look(&store, &GROUP, &[1.0, 0.0]).await.0.len(), 1);
}

#[test]
#[ignore = "needs OSSAI_TEST_POSTGRES"]
fn connections_of_a_runtime_that_has_ended_are_made_anew() {
    let run = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (url, _) = run().block_on(schema("t_runtimes"));
    let store = store(&config(&url, ""), EXACTLY);
    for n in 1..=3 {
        run().block_on(put(&store, n, &[1.0, 0.0], &n.to_string()));
    }
    assert_eq!(run().block_on(look(&store, &GROUP, &[1.0, 0.0])).0.len(), 3);
    assert_eq!(store.guard.stats().faults, 0);
}

#[tokio::test]
#[ignore = "needs OSSAI_TEST_POSTGRES"]
async fn room_is_made_of_what_is_over_then_of_the_oldest_and_unused_marks_go() {
    let (url, sql) = schema("t_room").await;
    let store = store(&config(&url, ""), EXACTLY);
    for n in 1..=9 {
        put(&store, n, &[1.0, f32::from(n)], &n.to_string()).await;
    }
    let over = format!(
        "UPDATE ossai_semantic_1 SET fresh_until = clock_timestamp() WHERE key = '\\x{}'",
        "09".repeat(32)
    );
    sql.batch_execute(&over).await.unwrap();
    let tidy = |entries: i64, bytes: i64| {
        let store = &store;
        async move {
            let parameters: Parameters = vec![
                Box::new(tenant().to_vec()),
                Box::new(entries),
                Box::new(bytes),
            ];
            let rows = store.slow.ask(Work::Tidy, parameters).await.unwrap();
            let row = rows.first().unwrap();
            (
                row.get::<_, i64>(0),
                row.get::<_, i64>(1),
                row.get::<_, i64>(2),
            )
        }
    };
    let (entries, bytes, largest) = tidy(100, 1 << 30).await;
    assert_eq!((entries, largest), (8, 8), "what is over its time has gone");
    assert_eq!(tidy(5, 1 << 30).await.0, 5);
    let each = bytes / 8;
    assert_eq!(tidy(100, each * 3 + each / 2).await.0, 3);
    let left = "SELECT get_byte(key, 0) FROM ossai_semantic_1 ORDER BY 1";
    let left: Vec<i32> = (sql.query(left, &[]).await.unwrap().iter())
        .map(|row| row.get(0))
        .collect();
    assert_eq!(left, [6, 7, 8], "the newest");
    let marks = || async {
        let count = "SELECT count(*) FROM ossai_semantic_marks_1";
        sql.query_one(count, &[]).await.unwrap().get::<_, i64>(0)
    };
    assert_eq!(marks().await, 2);
    let aged = "UPDATE ossai_semantic_marks_1 SET changed = changed - interval '2 days'";
    sql.batch_execute(aged).await.unwrap();
    let changed = format!(
        "UPDATE ossai_semantic_marks_1 SET token = 'changed once or so' WHERE scope = '\\x{}'",
        tenant()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    );
    sql.batch_execute(&changed).await.unwrap();
    tidy(100, 1 << 30).await;
    assert_eq!(
        marks().await,
        1,
        "the one that was changed stays for a month"
    );
}
