//! What budgets and their ledgers promise, in memory and in a file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use super::*;
use crate::retry::{SeededRandom, Sleep};

/// A clock that stands where it is put.
struct Put(AtomicU64);

impl Put {
    fn at(text: &str) -> Arc<Self> {
        let date = crate::cost::Date::parse(text).expect("a day");
        Arc::new(Self(AtomicU64::new(
            u64::try_from(date.start()).expect("after 1970") * 1000,
        )))
    }

    fn add(&self, time: Duration) {
        self.0
            .fetch_add(u64::try_from(time.as_millis()).expect("short"), Relaxed);
    }
}

impl Clock for Put {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Relaxed))
    }
    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + self.now()
    }
    fn sleep(&self, _: Duration) -> Sleep {
        Box::pin(std::future::pending())
    }
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let number = SeededRandom::from_os().next_u64();
        let path = std::env::temp_dir().join(format!("ossai-budgets-{number:016x}"));
        std::fs::create_dir(&path).expect("a folder");
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("ledger.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

static OWNERS: AtomicU64 = AtomicU64::new(1);
static IDS: AtomicU64 = AtomicU64::new(1);

#[cfg(feature = "sqlite")]
fn file(path: PathBuf, clock: &Arc<Put>) -> Arc<dyn Ledger> {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    Arc::new(kept::Kept::new(kept::Settings {
        place: kept::Place::File(path),
        clock,
        lease: Duration::from_secs(60),
        scale: 1,
        owner: i64::try_from(OWNERS.fetch_add(1, Relaxed)).expect("few"),
    }))
}

/// Every kind of ledger there is, empty.
fn ledgers(clock: &Arc<Put>, folder: &Folder) -> Vec<Arc<dyn Ledger>> {
    vec![
        Arc::new(memory::Memory::new()),
        #[cfg(feature = "sqlite")]
        file(folder.file(), clock),
    ]
}

fn account(name: &str) -> Account {
    let owner = Owner {
        scope: Scope::Tenant,
        tag: None,
        window: Window::Day,
    };
    owner.account(None, Some(name), 0)
}

fn ask(accounts: &[(&str, u64)], amount: u64) -> Arc<Ask> {
    let entries = accounts.iter().map(|(name, limit)| Entry {
        account: account(name),
        ends: None,
        amount: Amount::new(amount, amount * 2),
        bound: Some(Bound {
            money: Some(*limit),
            tokens: None,
        }),
    });
    Arc::new(Ask {
        id: u128::from(IDS.fetch_add(1, Relaxed)),
        entries: entries.collect(),
        input: Amount::new(3, 3),
    })
}

async fn on(ledger: &Arc<dyn Ledger>, name: &str) -> Balance {
    ledger.flush().get().await;
    let read = ledger.read(vec![account(name)]).get().await;
    read.expect("an answer").expect("a ledger")[0]
}

async fn money(ledger: &Arc<dyn Ledger>, name: &str) -> (u64, u64) {
    let balance = on(ledger, name).await;
    (balance.spent.money, balance.held.money)
}

/// Looks at a future once, as somebody does who then goes.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) {
    std::future::poll_fn(|cx| {
        let _ = future.as_mut().poll(cx);
        std::task::Poll::Ready(())
    })
    .await;
}

fn budget(json: &str) -> Budget {
    serde_json::from_str(json).expect("a budget")
}

fn budgets(limits: &[&str], clock: &Arc<Put>) -> Budgets {
    let limits: Vec<Budget> = limits.iter().map(|json| budget(json)).collect();
    Budgets::with(
        &limits,
        Arc::new(memory::Memory::new()),
        Arc::clone(clock) as _,
    )
}

#[test]
fn windows_are_those_of_utc() {
    let at = |text: &str| Put::at(text).0.load(Relaxed) as i64;
    let noon = at("2028-02-29") + 12 * 3_600_000 + 34 * 60_000;
    assert_eq!(
        Window::Hour.period(noon),
        (
            at("2028-02-29") + 12 * 3_600_000,
            Some(at("2028-02-29") + 13 * 3_600_000)
        )
    );
    assert_eq!(
        Window::Day.period(noon),
        (at("2028-02-29"), Some(at("2028-03-01")))
    );
    assert_eq!(
        Window::Month.period(noon),
        (at("2028-02-01"), Some(at("2028-03-01")))
    );
    assert_eq!(
        Window::Month.period(at("2026-12-31")),
        (at("2026-12-01"), Some(at("2027-01-01")))
    );
    assert_eq!(Window::Total.period(noon), (0, None));
}

#[test]
fn who_has_a_budget_of_its_own_has_not_everybodys() {
    let clock = Put::at("2026-11-21");
    let budgets = budgets(
        &[
            r#"{"window": "day", "nano_usd": 10}"#,
            r#"{"window": "day", "name": "acme", "nano_usd": 99}"#,
            r#"{"window": "day", "name": "acme", "nano_usd": 50, "soft": true}"#,
            r#"{"scope": "user", "window": "hour", "tokens": 5}"#,
            r#"{"scope": "tag", "tag": "team", "window": "month", "name": "search", "tokens": 7}"#,
        ],
        &clock,
    );
    let of = |facts: &Facts<'_>| -> Vec<(u64, String)> {
        let applied = budgets.applied(facts, budgets.now());
        applied
            .iter()
            .map(|on| {
                let budget = on.budget;
                let limit = budget.nano_usd.or(budget.tokens).expect("one");
                (limit, on.account.id.to_string())
            })
            .collect()
    };
    let tags = [("team".to_owned(), "search".to_owned())].into();
    let acme = Facts {
        tenant: Some("acme"),
        user: Some("u"),
        tags: Some(&tags),
        ..Facts::default()
    };
    assert_eq!(
        of(&acme),
        [
            (99, "tenant/day/acme".to_owned()),
            (50, "tenant/day/acme".to_owned()),
            (5, "user/hour/4:acme/u".to_owned()),
            (7, "tag:4:team/month/4:acme/search".to_owned()),
        ]
    );
    // No tenant, an empty one and one called "none" are three.
    let tenants = [None, Some(""), Some("none")].map(|tenant| {
        of(&Facts {
            tenant,
            ..Facts::default()
        })
    });
    assert_eq!(tenants[0], [(10, "tenant/day".to_owned())]);
    assert_eq!(tenants[1], [(10, "tenant/day/".to_owned())]);
    assert_eq!(tenants[2], [(10, "tenant/day/none".to_owned())]);
}

#[tokio::test]
async fn what_is_booked_is_listed_under_its_own_name_and_tenant() {
    let clock = Put::at("2026-11-21");
    let budgets = budgets(
        &[
            r#"{"window": "day", "nano_usd": 100}"#,
            r#"{"scope": "user", "window": "hour", "nano_usd": 100}"#,
            r#"{"scope": "user", "window": "hour", "name": "nobody yet", "nano_usd": 7}"#,
        ],
        &clock,
    );
    // Names as they should not be: none is taken for another's.
    for (tenant, user) in [(Some("a/b"), "c"), (Some("a"), "b/c"), (None, "2:a/b")] {
        let facts = Facts {
            tenant,
            user: Some(user),
            ..Facts::default()
        };
        let entries = budgets.applied(&facts, budgets.now());
        let entries = entries.into_iter().map(|on| Entry {
            account: on.account,
            ends: on.ends,
            amount: Amount::new(5, 0),
            bound: None,
        });
        let asked = Arc::new(Ask {
            id: u128::from(IDS.fetch_add(1, Relaxed)),
            entries: entries.collect(),
            input: Amount::default(),
        });
        let held = Held::reserve(&budgets.ledger, &asked).await.expect("soft");
        held.settle(Amount::new(3, 1));
    }
    let states = budgets.states().await.expect("memory");
    let told: Vec<_> = states
        .iter()
        .map(|on| {
            let (tenant, name) = (on.tenant.as_deref(), on.name.as_deref());
            (on.scope, tenant, name, on.spent_nano_usd.0)
        })
        .collect();
    assert_eq!(
        told,
        [
            (Scope::Tenant, None, None, 3),
            (Scope::Tenant, None, Some("a"), 3),
            (Scope::Tenant, None, Some("a/b"), 3),
            (Scope::User, None, Some("2:a/b"), 3),
            (Scope::User, None, Some("nobody yet"), 0),
            (Scope::User, Some("a"), Some("b/c"), 3),
            (Scope::User, Some("a/b"), Some("c"), 3),
        ]
    );
}

// proves: 2.12.reserve
#[tokio::test]
async fn all_budgets_admit_a_call_or_none_holds_anything_of_it() {
    let (clock, folder) = (Put::at("2026-11-21"), Folder::new());
    for ledger in ledgers(&clock, &folder) {
        let rich = Held::reserve(&ledger, &ask(&[("a", 100), ("b", 10)], 10))
            .await
            .expect("room");
        let refused = Held::reserve(&ledger, &ask(&[("a", 100), ("b", 10), ("c", 0)], 1)).await;
        let Err(Refused::Short(shorts)) = refused else {
            panic!("{ledger:?} admitted it");
        };
        let told: Vec<_> = shorts
            .iter()
            .map(|short| {
                (
                    short.entry,
                    short.limit,
                    short.spent,
                    short.held,
                    short.asked,
                )
            })
            .collect();
        assert_eq!(told, [(1, 10, 0, 10, 1), (2, 0, 0, 0, 1)], "{ledger:?}");
        assert_eq!(money(&ledger, "a").await, (0, 10));
        assert_eq!(money(&ledger, "c").await, (0, 0));
        rich.settle(Amount::new(4, 9));
        assert_eq!(money(&ledger, "a").await, (4, 0), "{ledger:?}");
        assert_eq!(on(&ledger, "b").await.spent, Amount::new(4, 9));
    }
}

// proves: 2.12.states
#[tokio::test]
async fn a_hold_ends_once_whether_it_is_settled_dropped_or_unwound() {
    let (clock, folder) = (Put::at("2026-11-21"), Folder::new());
    for ledger in ledgers(&clock, &folder) {
        let hold = async || {
            Held::reserve(&ledger, &ask(&[("a", 100)], 10))
                .await
                .expect("room")
        };
        drop(hold().await);
        assert_eq!(money(&ledger, "a").await, (0, 0), "{ledger:?}");
        let held = hold().await;
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _held = held;
            panic!("a fault");
        }));
        assert!(unwound.is_err());
        assert_eq!(money(&ledger, "a").await, (0, 0), "{ledger:?}");
        hold().await.settle(Amount::new(25, 0));
        // More than was held is booked in full.
        assert_eq!(money(&ledger, "a").await, (25, 0), "{ledger:?}");
    }
}

#[tokio::test]
async fn who_goes_before_the_ledger_has_answered_holds_nothing() {
    let (clock, folder) = (Put::at("2026-11-21"), Folder::new());
    for ledger in ledgers(&clock, &folder) {
        let asked = ask(&[("a", 100)], 10);
        let mut reserving = Box::pin(Held::reserve(&ledger, &asked));
        // In memory it is there at once, and is dropped with the answer.
        poll_once(reserving.as_mut()).await;
        drop(reserving);
        assert_eq!(money(&ledger, "a").await, (0, 0), "{ledger:?}");
    }
}

/// A thousand callers at once, on a budget for a hundred calls.
async fn crowd(ledger: &Arc<dyn Ledger>, seed: u64) -> usize {
    let admitted = Arc::new(AtomicUsize::new(0));
    let kept = Arc::new(Mutex::new(Vec::new()));
    let random = SeededRandom::new(seed);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let (ledger, admitted, kept) =
            (Arc::clone(ledger), Arc::clone(&admitted), Arc::clone(&kept));
        let (waits, leaves) = (random.next_u64() % 8, random.next_u64().is_multiple_of(10));
        callers.spawn(async move {
            for _ in 0..waits {
                tokio::task::yield_now().await;
            }
            let asked = ask(&[("all", 700)], 7);
            if leaves {
                // Somebody who goes again must not take a place for good.
                let mut reserving = Box::pin(Held::reserve(&ledger, &asked));
                poll_once(reserving.as_mut()).await;
                return;
            }
            if let Ok(held) = Held::reserve(&ledger, &asked).await {
                admitted.fetch_add(1, Relaxed);
                kept.lock().expect("no panic").push(held);
            }
        });
    }
    while callers.join_next().await.is_some() {}
    // Those who were refused for somebody who went come again.
    while let Ok(held) = Held::reserve(ledger, &ask(&[("all", 700)], 7)).await {
        admitted.fetch_add(1, Relaxed);
        kept.lock().expect("no panic").push(held);
    }
    assert_eq!(money(ledger, "all").await, (0, 700));
    for held in kept.lock().expect("no panic").drain(..) {
        held.settle(Amount::new(7, 1));
    }
    assert_eq!(money(ledger, "all").await, (700, 0));
    admitted.load(Relaxed)
}

// proves: 2.12.reserve
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_callers_on_a_budget_for_a_hundred_are_a_hundred_in_memory() {
    for seed in 0..50 {
        let ledger: Arc<dyn Ledger> = Arc::new(memory::Memory::new());
        assert_eq!(crowd(&ledger, seed).await, 100, "seed {seed}");
    }
}

#[cfg(feature = "sqlite")]
// proves: 2.12.reserve
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_callers_on_a_budget_for_a_hundred_are_a_hundred_in_a_file() {
    let clock = Put::at("2026-11-21");
    for seed in 0..50 {
        let folder = Folder::new();
        let ledger = file(folder.file(), &clock);
        assert_eq!(crowd(&ledger, seed).await, 100, "seed {seed}");
    }
}

#[tokio::test]
async fn memory_keeps_nothing_of_windows_that_are_over() {
    let memory = Arc::new(memory::Memory::new());
    let ledger: Arc<dyn Ledger> = Arc::clone(&memory) as _;
    let owner = Owner {
        scope: Scope::User,
        tag: None,
        window: Window::Hour,
    };
    for period in 0..100_000_i64 {
        let entry = Entry {
            account: owner.account(None, Some(&period.to_string()), period),
            ends: Some(period + 1),
            amount: Amount::new(1, 1),
            bound: None,
        };
        let ask = Arc::new(Ask {
            id: u128::from(IDS.fetch_add(1, Relaxed)),
            entries: vec![entry],
            input: Amount::default(),
        });
        let held = Held::reserve(&ledger, &ask).await.expect("room");
        held.settle(Amount::new(1, 1));
    }
    assert_eq!(memory.open(), 0);
    assert!(memory.accounts() <= 2048, "{}", memory.accounts());
}

#[cfg(feature = "sqlite")]
mod in_a_file {
    use super::*;
    use sqlite::{Books, Ended};

    #[test]
    fn the_same_end_twice_is_one_and_another_one_is_a_conflict() {
        let folder = Folder::new();
        let mut books = Books::open(&folder.file()).expect("a ledger");
        let work = books.begin().expect("alone");
        let asked = ask(&[("a", 100)], 10);
        assert!(work.reserve(&asked, 1, 0).expect("works").is_ok());
        let four = Some(Amount::new(4, 4));
        assert_eq!(work.end(&asked, 1, four, 0).expect("works"), Ended::Now);
        assert_eq!(work.end(&asked, 1, four, 0).expect("works"), Ended::Before);
        let five = Some(Amount::new(5, 5));
        assert_eq!(
            work.end(&asked, 1, five, 0).expect("works"),
            Ended::Conflict
        );
        let balance = work.balance(&account("a")).expect("works");
        assert_eq!((balance.spent.money, balance.held.money), (4, 0));
    }

    // proves: 2.12.lease, 3.crash-hold
    #[test]
    fn what_a_dead_process_held_is_charged_with_its_input_and_a_late_end_replaces_that() {
        let folder = Folder::new();
        let mut books = Books::open(&folder.file()).expect("a ledger");
        let work = books.begin().expect("alone");
        let (dead, living) = (ask(&[("a", 100)], 10), ask(&[("a", 100)], 10));
        work.renew(1, 60_000).expect("works");
        work.renew(2, 90_000).expect("works");
        assert!(work.reserve(&dead, 1, 0).expect("works").is_ok());
        assert!(work.reserve(&living, 2, 0).expect("works").is_ok());
        assert_eq!(work.reap(59_999).expect("works"), 0);
        assert_eq!(work.reap(60_001).expect("works"), 1);
        let balance = work.balance(&account("a")).expect("works");
        assert_eq!((balance.spent.money, balance.held.money), (3, 10));
        assert_eq!((balance.spent.tokens, balance.held.tokens), (3, 20));
        // It was only asleep.
        let late = Some(Amount::new(8, 1));
        assert_eq!(work.end(&dead, 1, late, 60_002).expect("works"), Ended::Now);
        let balance = work.balance(&account("a")).expect("works");
        assert_eq!((balance.spent.money, balance.held.money), (8, 10));
        assert_eq!(balance.spent.tokens, 1);
    }

    // proves: 2.12.lease, 3.crash-hold
    #[tokio::test]
    async fn a_process_that_vanishes_leaves_holds_that_stay_until_its_lease_is_over() {
        let (clock, folder) = (Put::at("2026-11-21"), Folder::new());
        let first = file(folder.file(), &clock);
        let held = Held::reserve(&first, &ask(&[("a", 100)], 90))
            .await
            .expect("room");
        std::mem::forget(held); // its process is gone before it could say anything
        let second = file(folder.file(), &clock);
        assert!(
            Held::reserve(&second, &ask(&[("a", 100)], 50))
                .await
                .is_err()
        );
        assert_eq!(money(&second, "a").await, (0, 90));
        clock.add(Duration::from_secs(61));
        let third = file(folder.file(), &clock);
        let held = Held::reserve(&third, &ask(&[("a", 100)], 50)).await;
        assert_eq!(money(&third, "a").await, (3, 50));
        drop(held);
    }

    // proves: 2.12.down
    #[tokio::test]
    async fn a_ledger_that_is_down_shuts_hard_budgets_and_soft_ones_are_booked_when_it_is_back() {
        let (clock, folder) = (Put::at("2026-11-21"), Folder::new());
        // A folder stands where the file should be.
        std::fs::create_dir(folder.file()).expect("a folder");
        let ledger = file(folder.file(), &clock);
        let refused = Held::reserve(&ledger, &ask(&[("a", 100)], 1)).await;
        assert!(
            matches!(refused, Err(Refused::Unavailable(Some(_)))),
            "{refused:?}"
        );
        let mut soft = Arc::into_inner(ask(&[("a", 0)], 1)).expect("its own");
        soft.entries[0].bound = None;
        let held = Held::reserve(&ledger, &Arc::new(soft)).await.expect("soft");
        held.settle(Amount::new(5, 6));
        std::fs::remove_dir(folder.file()).expect("no folder");
        let began = std::time::Instant::now();
        loop {
            let read = ledger
                .read(vec![account("a")])
                .get()
                .await
                .expect("an answer");
            if let Ok(balances) = read
                && balances[0].spent == Amount::new(5, 6)
            {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "never booked");
            tokio::task::yield_now().await;
        }
        assert_eq!(on(&ledger, "a").await.held, Amount::default());
    }

    // proves: 3.ledger-down
    #[tokio::test]
    async fn a_ledger_another_process_has_locked_is_waited_for_and_then_unavailable() {
        let (clock, folder) = (Put::at("2026-11-21"), Folder::new());
        let ledger = file(folder.file(), &clock);
        drop(
            Held::reserve(&ledger, &ask(&[("a", 100)], 1))
                .await
                .expect("room"),
        );
        ledger.flush().get().await;
        let mut other = Books::open(&folder.file()).expect("a ledger");
        let lock = other.begin().expect("alone");
        let began = std::time::Instant::now();
        let refused = Held::reserve(&ledger, &ask(&[("a", 100)], 1)).await;
        let waited = began.elapsed();
        assert!(
            matches!(refused, Err(Refused::Unavailable(_))),
            "{refused:?}"
        );
        assert!(
            (Duration::from_secs(4)..Duration::from_secs(12)).contains(&waited),
            "{waited:?}"
        );
        drop(lock);
        assert!(Held::reserve(&ledger, &ask(&[("a", 100)], 1)).await.is_ok());
    }

    #[test]
    fn a_file_of_a_newer_version_is_not_touched() {
        let folder = Folder::new();
        drop(Books::open(&folder.file()).expect("a ledger"));
        let raw = rusqlite::Connection::open(folder.file()).expect("a file");
        raw.execute("UPDATE budget_version SET version = 2", [])
            .expect("works");
        assert!(Books::open(&folder.file()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new();
        let _books = Books::open(&folder.file()).expect("a ledger");
        let mode = std::fs::metadata(folder.file())
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
