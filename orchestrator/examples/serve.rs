//! Serves as the environment and the file of the first argument say, and prints the address on stdout.

use std::path::PathBuf;
use std::process::ExitCode;

use ossai_orchestrator::{ServeConfig, run};

#[tokio::main]
async fn main() -> ExitCode {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let config = match ServeConfig::load(file.as_deref()) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(2);
        }
    };
    match run(config, |address| println!("http://{address}")).await {
        Ok(ended) if ended.lost_rows == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
