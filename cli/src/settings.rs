//! `ossai config`: where the configuration is, what it says, and what it may say.

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::global::{Global, config_path, shown};
use crate::io::out;

/// Show where the configuration is, what it says, and what it may say
#[derive(Args)]
pub struct Settings {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The file's path, whether it exists or not
    Path,
    /// The configuration in force, keys hidden
    Show,
    /// The JSON Schema of the file
    Schema,
}

impl Settings {
    /// Runs the command.
    ///
    /// # Errors
    /// A wrong configuration, a closed standard output.
    pub fn run(&self, global: &Global) -> Result<(), Failure> {
        match self.what {
            What::Path => {
                let path = global.config.clone().or_else(config_path);
                let path =
                    path.ok_or_else(|| Failure::message("no HOME and no XDG_CONFIG_HOME is set"))?;
                out(&format!("{}\n", path.display()))
            }
            What::Show => global.print_json(&shown(&global.configuration()?)),
            What::Schema => global.print_json(&schemars::schema_for!(ossai::Config)),
        }
    }
}
