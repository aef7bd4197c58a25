//! `--name value` arguments of these programs.

/// The value of `--name`, or `default`; a value that cannot be read ends the program with what was expected.
#[must_use]
pub fn number(name: &str, default: u64) -> u64 {
    let Some(text) = text(name) else {
        return default;
    };
    text.parse().unwrap_or_else(|_| {
        eprintln!("--{name}: expected a whole number, found {text:?}");
        std::process::exit(2)
    })
}

/// The value of `--name`.
#[must_use]
pub fn text(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|a| a.strip_prefix("--") != Some(name));
    arguments.next()?;
    arguments.next()
}
