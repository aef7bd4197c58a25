//! The one recipe for the generated code, shared by the example that writes it and the test that compares it.

use std::path::{Path, PathBuf};

use prost::Message as _;

/// The crate's folder, asked of cargo at run time: a build that two checkouts share would know only one of them.
pub(crate) fn root() -> Result<PathBuf, std::env::VarError> {
    std::env::var("CARGO_MANIFEST_DIR").map(PathBuf::from)
}

/// Compiles every `.proto` file of the crate into `out`: the Rust code and the descriptor set that reflection serves.
pub(crate) fn generate(out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let root = root()?;
    let mut files: Vec<_> = std::fs::read_dir(root.join("ossai/orchestrator/v1"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "proto")
    });
    files.sort();
    let descriptors = protox::compile(files, [&root])?;

    // Comments are in the code already, and reflection has no use for them.
    let mut lean = descriptors.clone();
    for file in &mut lean.file {
        file.source_code_info = None;
    }
    std::fs::write(out.join("descriptors.bin"), lean.encode_to_vec())?;

    tonic_prost_build::configure()
        // Without it no generated `connect`: connections are made in one place, by the core.
        .build_transport(false)
        .btree_map(".")
        .client_mod_attribute(".", "#[cfg(feature = \"client\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        .out_dir(out)
        .compile_fds(descriptors)?;
    Ok(())
}
