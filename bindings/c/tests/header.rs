//! The header that is checked in is the one the sources give.

use std::path::Path;

#[test]
fn the_header_is_the_one_the_sources_give() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut written = Vec::new();
    cbindgen::Builder::new()
        .with_crate(here)
        .with_config(config)
        .generate()
        .expect("a header")
        .write(&mut written);
    let written = String::from_utf8(written).expect("UTF-8");
    let file = here.join("include/ossai.h");
    if std::env::var_os("UPDATE_HEADER").is_some() {
        std::fs::write(&file, &written).expect("written");
    }
    let kept = std::fs::read_to_string(&file).expect("include/ossai.h");
    assert_eq!(
        kept, written,
        "UPDATE_HEADER=1 cargo test -p ossai-c --test header"
    );
}

#[test]
fn every_export_is_in_the_header() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = std::fs::read_to_string(here.join("include/ossai.h")).expect("include/ossai.h");
    let mut found = 0;
    for entry in std::fs::read_dir(here.join("src")).expect("src") {
        let source = std::fs::read_to_string(entry.expect("file").path()).expect("source");
        for line in source
            .lines()
            .filter(|line| line.contains("extern \"C\" fn "))
        {
            let name = line
                .split(" fn ")
                .nth(1)
                .and_then(|rest| rest.split('(').next());
            let name = name.expect("a name");
            assert!(header.contains(&format!("{name}(")), "{name}");
            found += 1;
        }
    }
    assert!(found >= 18, "{found}");
}
