//! Which script and which language a text is in.

use super::text::words;

/// Whether the texts are, beyond doubt, in different scripts or languages.
pub(super) fn differ(a: &str, b: &str) -> bool {
    scripts(a) != scripts(b)
        || match (language(a), language(b)) {
            (Some(a), Some(b)) => a != b,
            _ => false,
        }
}

/// The scripts that have a fifth of the letters at least, as bits.
fn scripts(text: &str) -> u16 {
    let mut counts = [0_usize; 12];
    for c in text.chars().filter(|c| c.is_alphabetic()) {
        if let Some(count) = counts.get_mut(script(c)) {
            *count += 1;
        }
    }
    let all: usize = counts.iter().sum();
    counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0 && **count * 5 >= all)
        .fold(0, |bits, (place, _)| bits | 1 << place)
}

fn script(c: char) -> usize {
    match u32::from(c) {
        0..=0x24f | 0x1e00..=0x1eff | 0xff21..=0xff5a => 0,
        0x370..=0x3ff | 0x1f00..=0x1fff => 1,
        0x400..=0x52f => 2,
        0x590..=0x5ff => 3,
        0x600..=0x77f | 0xfb50..=0xfdff | 0xfe70..=0xfeff => 4,
        0x900..=0x97f => 5,
        0xe00..=0xe7f => 6,
        0x3040..=0x30ff | 0x31f0..=0x31ff | 0xff66..=0xff9d => 7,
        0x1100..=0x11ff | 0x3130..=0x318f | 0xac00..=0xd7af => 8,
        0x3400..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff => 9,
        0x980..=0xdff => 10,
        _ => 11,
    }
}

/// The Latin-script languages told apart, by words that are common in one of them and rare in the others.
const COMMON: [(&str, &[&str]); 9] = [
    (
        "en",
        &[
            "the", "is", "are", "what", "how", "of", "and", "to", "does", "do", "which", "when",
            "where", "why", "can", "my", "with", "it", "who", "should", "for",
        ],
    ),
    (
        "de",
        &[
            "der", "die", "das", "ist", "und", "wie", "ich", "ein", "eine", "einen", "nicht",
            "mit", "zu", "den", "von", "für", "kann", "sind", "wann", "warum", "auf", "welche",
            "gibt", "viel", "wo",
        ],
    ),
    (
        "fr",
        &[
            "le", "la", "les", "est", "et", "un", "une", "des", "du", "comment", "je", "quelle",
            "quel", "pourquoi", "dans", "pour", "avec", "sont", "où", "quand", "combien", "mon",
            "peut", "puis-je", "en",
        ],
    ),
    (
        "es",
        &[
            "el", "la", "los", "las", "es", "cómo", "qué", "cuál", "un", "una", "por", "para",
            "con", "del", "está", "son", "dónde", "cuándo", "cuánto", "mi", "puedo", "en", "se",
            "que",
        ],
    ),
    (
        "it",
        &[
            "il", "la", "gli", "è", "che", "come", "un", "una", "per", "con", "della", "del",
            "sono", "dove", "quando", "quanto", "qual", "perché", "di", "posso", "mio", "si",
            "più",
        ],
    ),
    (
        "pt",
        &[
            "o", "os", "as", "é", "como", "um", "uma", "por", "para", "com", "do", "da", "são",
            "onde", "quando", "quanto", "qual", "que", "meu", "posso", "não", "em",
        ],
    ),
    (
        "nl",
        &[
            "de", "het", "een", "is", "en", "hoe", "wat", "ik", "van", "voor", "met", "zijn",
            "waar", "wanneer", "waarom", "welke", "kan", "mijn", "niet", "te",
        ],
    ),
    (
        "sv",
        &[
            "och", "är", "ett", "hur", "vad", "jag", "som", "för", "med", "på", "av", "det", "den",
            "var", "när", "varför", "vilken", "inte", "kan", "min",
        ],
    ),
    (
        "pl",
        &[
            "jest", "jak", "co", "się", "nie", "na", "czy", "dla", "do", "w", "z", "gdzie",
            "kiedy", "dlaczego", "jaki", "jaka", "ile", "mogę", "mój",
        ],
    ),
];

/// The language that explains clearly more of the words than any other; `None` in doubt.
pub(super) fn language(text: &str) -> Option<&'static str> {
    let mut hits = [0_usize; COMMON.len()];
    for word in words(text) {
        for (hit, (_, common)) in hits.iter_mut().zip(&COMMON) {
            *hit += usize::from(common.contains(&word.lower.as_str()));
        }
    }
    let (place, best) = hits.iter().enumerate().max_by_key(|(_, hit)| **hit)?;
    let next = hits
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != place)
        .map(|(_, hit)| *hit)
        .max()
        .unwrap_or(0);
    let (name, _) = COMMON.get(place)?;
    (*best >= 2 && *best > next).then_some(name)
}

/// Whether a word is a common one in any of the languages.
pub(super) fn is_common(word: &str) -> bool {
    COMMON.iter().any(|(_, common)| common.contains(&word))
}
