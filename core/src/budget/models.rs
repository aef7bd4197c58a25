//! Admission and the guard of a hold under every order of their threads' steps (`RUSTFLAGS="--cfg ossai_loom"`).

use loom::future::block_on;
use loom::thread;

use super::config::{Scope, Window};
use super::*;

fn ask(id: u128, amount: u64, limits: &[(&str, u64)]) -> Arc<Ask> {
    let entries = limits.iter().map(|(name, limit)| Entry {
        account: account(name),
        ends: None,
        amount: Amount::new(amount, 0),
        bound: Some(Bound {
            money: Some(*limit),
            tokens: None,
        }),
    });
    Arc::new(Ask {
        id,
        entries: entries.collect(),
        input: Amount::new(1, 0),
    })
}

fn account(name: &str) -> Account {
    let owner = Owner {
        scope: Scope::Tenant,
        tag: None,
        window: Window::Total,
    };
    owner.account(None, Some(name), 0)
}

fn ledger() -> Arc<dyn Ledger> {
    Arc::new(memory::Memory::new())
}

/// What is spent and held of `name`.
fn on(ledger: &Arc<dyn Ledger>, name: &str) -> (u64, u64) {
    let read = block_on(ledger.read(vec![account(name)]).get());
    let balance = read.expect("an answer").expect("a ledger")[0];
    (balance.spent.money, balance.held.money)
}

fn reserve(ledger: &Arc<dyn Ledger>, ask: &Arc<Ask>) -> Option<Held> {
    block_on(Held::reserve(ledger, ask)).ok()
}

#[test]
fn what_is_left_for_one_call_is_had_by_one() {
    loom::model(|| {
        let ledger = ledger();
        let other = Arc::clone(&ledger);
        let limits = [("a", 10), ("b", 15)];
        let thread = thread::spawn(move || reserve(&other, &ask(1, 10, &limits)));
        let here = reserve(&ledger, &ask(2, 10, &limits));
        let there = thread.join().expect("no panic");
        assert!(here.is_some() != there.is_some());
        assert_eq!((on(&ledger, "a"), on(&ledger, "b")), ((0, 10), (0, 10)));
        drop((here, there));
        assert_eq!((on(&ledger, "a"), on(&ledger, "b")), ((0, 0), (0, 0)));
    });
}

#[test]
fn spent_and_held_stay_within_the_limit_while_others_settle_and_let_go() {
    loom::model(|| {
        let ledger = ledger();
        let limits = [("a", 20)];
        let first = reserve(&ledger, &ask(1, 10, &limits)).expect("room");
        let second = reserve(&ledger, &ask(2, 10, &limits)).expect("room");
        let settles = thread::spawn(move || first.settle(Amount::new(4, 0)));
        let leaves = thread::spawn(move || drop(second));
        let third = reserve(&ledger, &ask(3, 10, &limits));
        let (spent, held) = on(&ledger, "a");
        assert!(spent + held <= 20, "{spent} and {held}");
        settles.join().expect("no panic");
        leaves.join().expect("no panic");
        assert_eq!(on(&ledger, "a"), (4, if third.is_some() { 10 } else { 0 }));
        drop(third);
        assert_eq!(on(&ledger, "a"), (4, 0));
    });
}

#[test]
fn two_of_three_have_room_and_none_is_booked_twice() {
    loom::model(|| {
        let ledger = ledger();
        let limits = [("a", 2)];
        let callers: Vec<_> = (1..3)
            .map(|id| {
                let ledger = Arc::clone(&ledger);
                thread::spawn(move || {
                    let held = reserve(&ledger, &ask(id, 1, &limits));
                    if let Some(held) = held {
                        held.settle(Amount::new(1, 0));
                        return 1;
                    }
                    0
                })
            })
            .collect();
        let here = u64::from(match reserve(&ledger, &ask(9, 1, &limits)) {
            Some(held) => {
                held.settle(Amount::new(1, 0));
                true
            }
            None => false,
        });
        let there: u64 = callers
            .into_iter()
            .map(|caller| caller.join().expect("no panic"))
            .sum();
        assert_eq!(here + there, 2);
        assert_eq!(on(&ledger, "a"), (2, 0));
    });
}
