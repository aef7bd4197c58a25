//! The command `ossai`.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use ossai_cli::failure::Failure;
use ossai_cli::global::Global;
use ossai_cli::{
    ask, budget, cost, count, doctor, embed, io, keys, models, serve, settings, usage,
};

/// One client for every language model: ask, count tokens, know the price
#[derive(Parser)]
#[command(
    name = "ossai",
    version,
    propagate_version = true,
    after_help = "Examples:
  ossai ask --over . 'How are budgets held?'
  ossai count src
  ossai cost -m openai/gpt-6-luna,anthropic/claude-sonnet-5-5 prompt.txt
  ossai serve

Without a key and without a server, local/extract answers offline. Keys come from the providers' own
variables (OPENAI_API_KEY, ANTHROPIC_API_KEY …) or the configuration file (`ossai config path`).

Results go to standard output, everything else to standard error.
Exit codes: 0 ok, 1 failure, 2 usage, 3 refused for money, 4 rate-limited, 130 interrupted."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Ask(Box<ask::Ask>),
    Count(count::Count),
    Cost(cost::Cost),
    Embed(embed::Embed),
    Models(models::Models),
    Usage(Box<usage::Usage>),
    Budget(budget::Budget),
    Keys(keys::Keys),
    Serve(serve::Serve),
    Doctor(doctor::Doctor),
    /// Print a shell's completion script
    #[command(after_help = "Example:
  ossai completions bash > ~/.local/share/bash-completion/completions/ossai")]
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
    Config(settings::Settings),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.global.apply_color();
    match run(cli.command, &cli.global) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(cli.global.json || cli.global.jsonl);
            failure.code()
        }
    }
}

fn run(command: Command, global: &Global) -> Result<(), Failure> {
    match command {
        Command::Count(count) => count.run(global),
        Command::Cost(cost) => cost.run(global),
        Command::Keys(keys) => keys.run(global),
        Command::Config(settings) => settings.run(global),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ossai", &mut script);
            io::out_bytes(&script)
        }
        Command::Ask(ask) => runtime()?.block_on(ask.run(global)),
        Command::Embed(embed) => runtime()?.block_on(embed.run(global)),
        Command::Models(models) => runtime()?.block_on(models.run(global)),
        Command::Budget(budget) => runtime()?.block_on(budget.run(global)),
        Command::Usage(usage) => runtime()?.block_on(usage.run(global)),
        Command::Serve(serve) => runtime()?.block_on(serve.run(global)),
        Command::Doctor(doctor) => runtime()?.block_on(doctor.run(global)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
