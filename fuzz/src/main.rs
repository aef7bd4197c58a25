//! One program with every target: `OSSAI_FUZZ_TARGET` names the one that libFuzzer feeds, any other
//! word lists them. `ci/fuzz` builds and runs it.
//!
//! A target is a function of bytes that panics when a promise is broken. Promises are more than "no panic": what was read
//! is written and read again as the same, cuts change nothing, every error can be shown to a user.
#![no_main]

mod targets;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("OSSAI_FUZZ_TARGET").unwrap_or_default();
    if let Some((_, target)) = targets::ALL.iter().find(|(known, _)| *known == name) {
        return *target;
    }
    for (name, _) in targets::ALL {
        println!("{name}");
    }
    |_| {}
});

fuzz_target!(|input: &[u8]| TARGET(input));
