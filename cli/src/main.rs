//! The command `ossai`.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use ossai_cli::common::{Failure, Global, config_path, out};
use ossai_cli::{ask, cost, count, doctor, embed, models, serve};

/// One client for every language model: ask, count tokens, know the price
#[derive(Parser, Debug)]
#[command(
    name = "ossai",
    version,
    propagate_version = true,
    after_help = "Keys come from the providers' own variables (OPENAI_API_KEY, ANTHROPIC_API_KEY …).
Exit codes: 0 ok, 1 failure, 2 usage, 3 refused for money, 4 rate-limited, 130 interrupted."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Ask(Box<ask::Ask>),
    Count(count::Count),
    Cost(cost::Cost),
    Embed(embed::Embed),
    Models(models::Models),
    Usage(serve::Usage),
    Serve(serve::Serve),
    Keys(serve::Keys),
    Doctor(doctor::Doctor),
    /// Print a shell's completion script
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
    /// Where the configuration is, what it says, and what it may say
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    /// The file's path
    Path,
    /// The configuration in force, keys hidden
    Show,
    /// The JSON Schema of the file
    Schema,
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
        Command::Usage(usage) => usage.run(global),
        Command::Keys(keys) => keys.run(global),
        Command::Serve(serve) => runtime()?.block_on(serve.run(global)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ossai", &mut script);
            out(&String::from_utf8_lossy(&script))
        }
        Command::Config { what } => match what {
            ConfigCommand::Path => {
                let path = config_path()
                    .ok_or_else(|| Failure::message("no HOME and no XDG_CONFIG_HOME is set"))?;
                out(&format!("{}\n", path.display()))
            }
            ConfigCommand::Show => global.print_json(&global.configuration()?),
            ConfigCommand::Schema => global.print_json(&schemars::schema_for!(ossai::Config)),
        },
        Command::Ask(ask) => runtime()?.block_on(ask.run(global)),
        Command::Embed(embed) => runtime()?.block_on(embed.run(global)),
        Command::Models(models) => runtime()?.block_on(models.run(global)),
        Command::Doctor(doctor) => runtime()?.block_on(doctor.run(global)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}
