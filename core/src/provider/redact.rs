//! Takes what looks like a key out of a vendor's words and bounds them, for they end up in errors and logs.

/// Prefixes of vendors' keys.
const KEYS: &[&str] = &[
    "sk-", "sk_", "pk-", "rk-", "key-", "AIza", "ya29.", "xai-", "gsk_", "pplx-", "hf_", "nvapi-",
    "AKIA", "ASIA", "eyJ", "r8_", "ghp_", "csk-", "fw_", "tgp_", "ossai-", "ossai_",
];
/// Prefixes of ids that are long and random but no secrets.
const IDS: &[&str] = &[
    "req_",
    "chatcmpl-",
    "msg_",
    "resp_",
    "call_",
    "toolu_",
    "org-",
    "proj_",
    "file-",
];

/// `text` on one line, at most `max` characters, keys replaced by `[redacted]`.
pub(super) fn clean(text: &str, max: usize) -> String {
    let mut out = String::new();
    let mut word = String::new();
    // A key cut in two would not be recognised: the bound is applied after redaction, on twice the text.
    for c in text.trim().chars().take(max.saturating_mul(2)) {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*' | '+' | '/' | '=') {
            word.push(c);
            continue;
        }
        push_word(&mut out, &mut word);
        match c {
            c if !c.is_control() => out.push(c),
            _ if out.ends_with(' ') => {}
            _ => out.push(' '),
        }
    }
    push_word(&mut out, &mut word);
    if let Some((end, _)) = out.char_indices().nth(max) {
        out.truncate(end);
        out.push('…');
    }
    out
}

fn push_word(out: &mut String, word: &mut String) {
    let after_bearer = out.trim_end().to_ascii_lowercase().ends_with("bearer");
    if is_key(word) || (after_bearer && word.len() >= 8) {
        out.push_str("[redacted]");
    } else {
        out.push_str(word);
    }
    word.clear();
}

fn is_key(word: &str) -> bool {
    if IDS.iter().any(|id| word.starts_with(id)) {
        return false;
    }
    // At the start or after `=` or `/`, not inside a word (`task-oriented`).
    let starts = |key: &str| {
        word.match_indices(key).any(|(at, _)| {
            let before = word.get(..at).and_then(|before| before.chars().next_back());
            before.is_none_or(|c| matches!(c, '=' | '/'))
        })
    };
    if word.len() >= 12 && KEYS.iter().any(|key| starts(key)) {
        return true;
    }
    word.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| {
        run.len() >= 24
            && run.contains(|c: char| c.is_ascii_digit())
            && run.contains(|c: char| c.is_ascii_alphabetic())
    })
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn keys_are_taken_out_whatever_their_vendor() {
        for key in [
            "sk-proj-abcDEF123456_xyz",
            "sk-ant-api03-AAAA-bbbb",
            "sk-abc1********wxyz",
            "AIzaSyA1234567890",
            "gsk_abcdefgh1234",
            "0123456789abcdef0123456789abcdef",
            "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl",
        ] {
            let cleaned = clean(
                &format!("Incorrect API key provided: {key}. See the page."),
                500,
            );
            assert!(cleaned.contains("[redacted]"), "{cleaned}");
            assert!(!cleaned.contains(key.trim_end_matches('.')), "{cleaned}");
        }
        assert_eq!(
            clean("Authorization: Bearer abcdefgh", 500),
            "Authorization: Bearer [redacted]"
        );
    }

    #[test]
    fn words_models_and_request_ids_stay() {
        for text in [
            "The model `meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8` does not exist.",
            "request id req_011CSHoEeqs5C35K2UUqR7Fy",
            "task-oriented risk-free questions",
            "max_tokens must be at least 1, got 0",
        ] {
            assert_eq!(clean(text, 500), text);
        }
    }

    #[test]
    fn the_text_is_one_bounded_line() {
        assert_eq!(clean("a\r\n\tb", 500), "a b");
        assert_eq!(clean(&"ä".repeat(600), 500).chars().count(), 501);
        assert!(
            !clean(&format!("{} sk-{}", "x".repeat(490), "a".repeat(500)), 500).contains("aaa")
        );
    }
}
