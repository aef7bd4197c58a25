//! Words that stand in for each other in a question: forms and spellings of one, and everyday synonyms.

use std::sync::LazyLock;

/// Groups of words of which any may take another's place. A pair that is missing here costs a call.
static GROUPS: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| {
    let words = |group: &&str| group.split(' ').map(spelt).collect();
    WORDS.iter().map(words).collect()
});

const WORDS: &[&str] = &[
    "repair fix mend",
    "buy purchase order get",
    "cancel terminate end",
    "start begin commence",
    "finish complete end",
    "delete remove erase wipe clear",
    "change modify alter edit adjust update",
    "choose pick select",
    "find locate see",
    "clean wash cleanse",
    "happen occur",
    "contact reach call",
    "help assist",
    "show display",
    "print output display",
    "send submit",
    "need require",
    "allow permit let",
    "use utilize",
    "answer reply response",
    "make prepare create build",
    "run execute launch",
    "speak talk",
    "write compose",
    "bring take",
    "increase raise boost",
    "decrease reduce lower cut",
    "improve enhance",
    "solve resolve",
    "discover find",
    "avoid prevent",
    "obtain get receive",
    "explain describe",
    "check verify",
    "build construct",
    "film movie",
    "child kid",
    "children kids",
    "baby infant",
    "salary pay wage wages",
    "phone telephone",
    "mobile cellphone smartphone",
    "error mistake fault",
    "issue problem",
    "car automobile",
    "holiday vacation",
    "flat apartment",
    "shop store",
    "lift elevator",
    "petrol gas gasoline",
    "picture photo image photograph",
    "trip journey",
    "job work",
    "house home",
    "price cost",
    "method way approach technique",
    "goal aim purpose",
    "reason cause",
    "part component",
    "area region",
    "author writer",
    "doctor physician",
    "teacher instructor",
    "lawyer attorney",
    "employee worker",
    "boss manager supervisor",
    "customer client",
    "parcel package",
    "post mail",
    "rubbish trash garbage",
    "tap faucet",
    "couch sofa",
    "folder directory",
    "computer pc",
    "advice tips",
    "benefits advantages",
    "drawbacks disadvantages",
    "fast quick rapid quickly",
    "faster quicker",
    "fastest quickest",
    "slow sluggish",
    "big large",
    "bigger larger",
    "biggest largest",
    "hard difficult tough",
    "easy simple",
    "main chief principal primary",
    "common frequent usual typical",
    "important essential",
    "short brief concise",
    "sick ill",
    "wrong incorrect",
    "right correct",
    "whole entire",
    "cheap inexpensive affordable",
    "expensive costly",
    "best optimal",
    "famous well-known",
    "often frequently",
];

/// Whether one of two words may stand for the other.
pub(super) fn are(a: &str, b: &str) -> bool {
    // Nothing in a group is longer, and a text may be one word.
    if a.len().max(b.len()) > 32 {
        return a == b;
    }
    let (a, b) = (spelt(a), spelt(b));
    let has = |group: &[String], word: &str| group.iter().any(|other| is_inflected(other, word));
    is_inflected(&a, &b) || GROUPS.iter().any(|group| has(group, &a) && has(group, &b))
}

/// British and American spelling made one: `colour`, `organise`; hyphens left out.
fn spelt(word: &str) -> String {
    let word = word.replace("our", "or").replace('-', "");
    let mut letters = word.chars();
    let first: String = letters.next().into_iter().collect();
    first + &letters.as_str().replace("is", "iz").replace("ys", "yz")
}

/// Endings that make forms of one word, by what the stem is followed by in its plain form.
const FORMS: [&[&str]; 3] = [
    &["", "s", "es", "ed", "ing", "n", "en"],
    &["e", "es", "ed", "ing"],
    &["y", "ies", "ied", "ying"],
];

/// Whether two words are forms of one: `egg` and `eggs`, `bake` and `baking`.
fn is_inflected(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    // The common beginning, and up to two letters less: `bakes` and `baking`, but `passed` and `passes`.
    let common: usize = a
        .chars()
        .zip(b.chars())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len_utf8())
        .sum();
    let stems = (0..=common).rev().filter(|at| a.is_char_boundary(*at));
    stems.take(3).any(|at| {
        let (stem, end_a, end_b) = (&a[..at], &a[at..], &b[at..]);
        stem.chars().count() >= 3
            && FORMS
                .iter()
                .any(|forms| forms.contains(&end_a) && forms.contains(&end_b))
    })
}
