//! The checked-in code is what the `.proto` files say.

#![allow(clippy::unwrap_used)]

mod codegen;

use std::path::Path;

#[test]
fn the_generated_code_is_up_to_date() {
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("generated");
    std::fs::create_dir_all(&fresh).unwrap();
    codegen::generate(&fresh).unwrap();
    let kept = codegen::root().unwrap().join("src/generated");
    for file in ["ossai.orchestrator.v1.rs", "descriptors.bin"] {
        assert!(
            std::fs::read(fresh.join(file)).unwrap() == std::fs::read(kept.join(file)).unwrap(),
            "{file} is stale: run `cargo run -p ossai-proto --example generate`"
        );
    }
}
