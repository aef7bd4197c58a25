//! Writes `src/generated/` anew from the `.proto` files: `cargo run -p ossai-proto --example generate`.
//!
//! Needs no protoc: protox compiles. The `drift` test fails while the checked-in files differ from what this writes.

#[path = "../tests/codegen/mod.rs"]
mod codegen;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    codegen::generate(&codegen::root()?.join("src/generated"))
}
