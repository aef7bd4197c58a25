//! Makes a key for the tenant of the second argument in the data folder of the first, and prints it.

use std::path::Path;

use ossai_orchestrator::Store;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(tenant)) = (arguments.next(), arguments.next()) else {
        return Err("expected a folder and a tenant".into());
    };
    println!(
        "{}",
        Store::open(Path::new(&folder))?
            .create_key(&tenant, "example")?
            .key
    );
    Ok(())
}
