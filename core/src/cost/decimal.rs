//! Prices as decimal text to exact integers, because a price that went through a float is no longer the vendor's.

use std::fmt;

/// Longest number text read; every real price has fewer than twenty characters.
const MAX_TEXT: usize = 64;

/// No price is above a million dollars per million tokens (or per thousand pieces), so a larger one is a unit mistake.
const MAX_WHOLE: u128 = 1_000_000;

/// Why a number is no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecimalError {
    NotANumber,
    Negative,
    TooFine { decimals: u32 },
    TooLarge,
}

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber => f.write_str("expected a number"),
            Self::Negative => f.write_str("expected a number that is not negative"),
            Self::TooFine { decimals } => {
                write!(
                    f,
                    "expected at most {decimals} decimals (a whole number of picodollars)"
                )
            }
            Self::TooLarge => write!(f, "expected at most {MAX_WHOLE}: is the unit right?"),
        }
    }
}

/// Reads JSON number text (RFC 8259 §6) as `number × 10^decimals`, exactly.
///
/// Fails if the result is no whole number, so nothing is ever rounded here.
pub(super) fn scaled(text: &str, decimals: u32) -> Result<u64, DecimalError> {
    let text = text.trim();
    if text.len() > MAX_TEXT {
        return Err(DecimalError::NotANumber);
    }
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return Err(DecimalError::NotANumber),
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    if whole.is_empty() || leading_zero || !all_digits(whole) || !all_digits(fraction) {
        return Err(DecimalError::NotANumber);
    }

    // Value = digits × 10^power once insignificant zeros are gone, so 1.5000000000 is as good as 1.5.
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let dropped = digits.len() - significant.len();
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    if negative {
        return Err(DecimalError::Negative);
    }
    let power = i64::from(exponent) + i64::from(decimals) + dropped as i64 - fraction.len() as i64;
    if power < 0 {
        return Err(DecimalError::TooFine { decimals });
    }
    let limit = MAX_WHOLE * 10_u128.pow(decimals);
    let value = u32::try_from(power)
        .ok()
        .and_then(|power| 10_u128.checked_pow(power))
        .zip(significant.parse::<u128>().ok())
        .and_then(|(scale, digits)| digits.checked_mul(scale))
        .filter(|value| *value <= limit);
    value
        .and_then(|value| u64::try_from(value).ok())
        .ok_or(DecimalError::TooLarge)
}

/// The exponent's digits; more than three make no price and are refused before they can overflow.
fn exponent_of(text: &str) -> Result<i32, DecimalError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DecimalError::NotANumber);
    }
    text.parse().map_err(|_| DecimalError::NotANumber)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_per_million_tokens_become_whole_picodollars_per_token() {
        for (text, pico) in [
            ("1", 1_000_000),
            ("2.5", 2_500_000),
            ("0.0025", 2_500),
            ("0.000001", 1),
            ("0", 0),
            ("0.000", 0),
            ("-0", 0),
            ("1.50000000000000000", 1_500_000),
            ("25e-4", 2_500),
            ("2.5E+1", 25_000_000),
            ("1e-6", 1),
            ("1000000", 1_000_000_000_000),
            ("1e6", 1_000_000_000_000),
            // 0.1 + 0.2 in floats is not 0.3; the text is.
            ("0.3", 300_000),
        ] {
            assert_eq!(scaled(text, 6), Ok(pico), "{text}");
        }
    }

    #[test]
    fn what_does_not_divide_into_picodollars_is_refused_not_rounded() {
        assert_eq!(
            scaled("0.0000001", 6),
            Err(DecimalError::TooFine { decimals: 6 })
        );
        assert_eq!(
            scaled("0.1234567", 6),
            Err(DecimalError::TooFine { decimals: 6 })
        );
        assert_eq!(
            scaled("0.0000000001", 9),
            Err(DecimalError::TooFine { decimals: 9 })
        );
        assert_eq!(
            scaled("1e-999", 6),
            Err(DecimalError::TooFine { decimals: 6 })
        );
    }

    #[test]
    fn negative_and_absurd_prices_are_refused() {
        assert_eq!(scaled("-1", 6), Err(DecimalError::Negative));
        assert_eq!(scaled("-0.5", 6), Err(DecimalError::Negative));
        assert_eq!(scaled("1000000.1", 6), Err(DecimalError::TooLarge));
        assert_eq!(scaled("1e999", 6), Err(DecimalError::TooLarge));
        assert_eq!(
            scaled("99999999999999999999999999999999999999999999999", 6),
            Err(DecimalError::TooLarge)
        );
    }

    #[test]
    fn what_is_no_json_number_is_refused() {
        let long = "1".repeat(65);
        for text in [
            "",
            "-",
            "abc",
            "1.",
            ".5",
            "01",
            "1e",
            "1e+",
            "1e1000000",
            "0x10",
            "1_000",
            "NaN",
            "\"1\"",
            "--1",
            "+1",
            "1.2.3",
            "1e5e5",
            "１",
            &long,
        ] {
            assert_eq!(scaled(text, 6), Err(DecimalError::NotANumber), "{text}");
        }
    }
}
