//! The scripted upstream as a process, for a runner in any language.
//!
//! Prints `{"control":"http://127.0.0.1:PORT"}` as its one line, then serves until its standard input closes, so that it
//! never outlives the runner that started it.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use conformance::upstream::Server;

fn main() -> ExitCode {
    if let Some(argument) = std::env::args().nth(1) {
        let help = "usage: scripted-upstream  (no arguments; ends when standard input closes)";
        return match argument.as_str() {
            "-h" | "--help" => {
                println!("{help}");
                ExitCode::SUCCESS
            }
            _ => {
                eprintln!("{help}");
                ExitCode::from(2)
            }
        };
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripted-upstream: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let server = runtime.block_on(Server::start())?;
    let line = serde_json::json!({"control": format!("http://{}", server.control())});
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    // The runtime's threads serve while this one waits for the end of standard input.
    let mut stdin = std::io::stdin().lock();
    let mut ignored = [0; 256];
    while stdin.read(&mut ignored)? > 0 {}
    runtime.shutdown_background();
    Ok(())
}
