//! Dollars on the command line and in tables.

use ossai::NanoUsd;

/// Reads dollars as a decimal, exactly to the nanodollar.
///
/// # Errors
/// A sentence for clap.
pub fn dollars(text: &str) -> Result<NanoUsd, String> {
    let bad = || "expected dollars, such as 0.05".to_owned();
    let text = text.trim();
    let text = text.strip_prefix('$').unwrap_or(text);
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let empty = whole.is_empty() && decimals.is_empty();
    if decimals.len() > 9 || !digits(whole) || !digits(decimals) || empty {
        return Err(bad());
    }
    format!("{whole}{decimals:0<9}")
        .parse()
        .map(NanoUsd)
        .map_err(|_| bad())
}

/// An amount, or `unknown`: never 0 where no price is known.
#[must_use]
pub fn amount(amount: Option<NanoUsd>) -> String {
    amount.map_or_else(|| "unknown".into(), |amount| amount.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_exactly() {
        assert_eq!(dollars("0.05"), Ok(NanoUsd(50_000_000)));
        assert_eq!(dollars("$1"), Ok(NanoUsd(1_000_000_000)));
        assert_eq!(dollars(".000000001"), Ok(NanoUsd(1)));
        for bad in [
            "",
            ".",
            "-1",
            "1e3",
            "0.0000000001",
            "abc",
            "$$1",
            "99999999999999",
        ] {
            assert!(dollars(bad).is_err(), "{bad}");
        }
    }
}
