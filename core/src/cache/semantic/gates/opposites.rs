//! Words with an opposite.

/// Pairs of opposites; each side may have several words.
const PAIRS: &[(&str, &str)] = &[
    (
        "enable enables enabled enabling activate activates activated",
        "disable disables disabled disabling deactivate deactivates deactivated",
    ),
    (
        "start starts started starting begin begins launch",
        "stop stops stopped stopping end ends finish quit",
    ),
    (
        "open opens opened opening",
        "close closes closed closing shut",
    ),
    (
        "buy buys buying bought purchase purchasing",
        "sell sells selling sold",
    ),
    (
        "increase increases increased increasing raise raises raising boost",
        "decrease decreases decreased decreasing reduce reduces reducing lower lowers lowering",
    ),
    (
        "add adds adding added insert",
        "remove removes removing removed delete deletes deleting subtract",
    ),
    (
        "install installs installing installed",
        "uninstall uninstalls uninstalling uninstalled",
    ),
    (
        "encrypt encrypts encrypting encryption",
        "decrypt decrypts decrypting decryption",
    ),
    ("encode encodes encoding", "decode decodes decoding"),
    (
        "compress compresses compressing zip",
        "decompress decompresses decompressing unzip",
    ),
    (
        "import imports importing imported",
        "export exports exporting exported",
    ),
    (
        "upload uploads uploading uploaded",
        "download downloads downloading downloaded",
    ),
    (
        "connect connects connecting",
        "disconnect disconnects disconnecting",
    ),
    (
        "lock locks locking locked",
        "unlock unlocks unlocking unlocked",
    ),
    (
        "allow allows allowing allowed permit permitted whitelist",
        "deny denies block blocks blocking blocked forbid prohibit disallow ban banned blacklist",
    ),
    (
        "accept accepts accepting accepted approve",
        "reject rejects rejecting rejected refuse decline declines",
    ),
    (
        "show shows showing reveal display",
        "hide hides hiding hidden",
    ),
    ("push pushes pushing", "pull pulls pulling"),
    ("read reads reading", "write writes writing"),
    (
        "send sends sending sent",
        "receive receives receiving received",
    ),
    (
        "borrow borrows borrowing borrower",
        "lend lends lending lender",
    ),
    (
        "win wins winning won gain gains gaining",
        "lose loses losing lost",
    ),
    ("love loves loved", "hate hates hated"),
    ("best", "worst"),
    ("better", "worse"),
    ("good", "bad"),
    ("high tall", "low"),
    ("higher taller", "lower shorter"),
    ("highest tallest", "lowest shortest"),
    ("large big huge", "small little tiny"),
    ("larger bigger", "smaller"),
    ("largest biggest", "smallest"),
    ("long", "short"),
    ("longer", "shorter"),
    ("longest", "shortest"),
    ("hot warm", "cold cool"),
    ("hotter warmer", "colder cooler"),
    ("hottest warmest", "coldest coolest"),
    ("heat heating", "cool cooling"),
    ("fast quick", "slow"),
    ("faster quicker", "slower"),
    ("fastest quickest", "slowest"),
    ("cheap affordable inexpensive", "expensive costly"),
    // English grades long words with "more" and "most": the opposite of "cheapest" is "most expensive".
    ("cheaper", "pricier dearer expensive costly"),
    ("cheapest", "priciest dearest expensive costly"),
    ("safer safest", "dangerous harmful"),
    ("simpler simplest", "complex complicated"),
    ("more", "less fewer"),
    ("most", "least fewest"),
    (
        "maximum max maximal maximize maximise",
        "minimum min minimal minimize minimise",
    ),
    ("above over", "below under beneath"),
    ("before prior", "after following"),
    ("inside indoor indoors", "outside outdoor outdoors"),
    ("left", "right"),
    ("up upward upwards", "down downward downwards"),
    (
        "upgrade upgrades upgrading",
        "downgrade downgrades downgrading",
    ),
    ("upper", "lower"),
    ("first", "last final"),
    ("early", "late"),
    ("earlier", "later"),
    ("earliest", "latest"),
    ("older", "newer younger"),
    ("oldest", "newest youngest"),
    ("old", "new young"),
    ("north northern", "south southern"),
    ("east eastern", "west western"),
    ("northern", "southern"),
    ("male males man men", "female females woman women"),
    ("boy boys", "girl girls"),
    ("mother mom mum maternal", "father dad paternal"),
    ("husband", "wife"),
    ("son sons", "daughter daughters"),
    ("brother brothers", "sister sisters"),
    ("king", "queen"),
    ("positive", "negative"),
    ("true", "false"),
    ("legal lawful", "illegal unlawful"),
    ("safe", "dangerous unsafe harmful"),
    ("possible", "impossible"),
    ("public", "private"),
    ("internal", "external"),
    ("input inputs", "output outputs"),
    ("ascending", "descending"),
    ("horizontal horizontally", "vertical vertically"),
    ("day daytime", "night nighttime"),
    ("summer", "winter"),
    ("sunrise dawn", "sunset dusk"),
    (
        "deposit deposits depositing",
        "withdraw withdraws withdrawing withdrawal",
    ),
    ("profit profits", "loss losses"),
    ("asset assets", "liability liabilities"),
    ("debit", "credit"),
    ("employer employers", "employee employees"),
    ("landlord landlords", "tenant tenants"),
    ("client clients", "server servers"),
    ("parent parents", "child children"),
    ("acute", "chronic"),
    ("viral virus viruses", "bacterial bacteria"),
    ("raw", "cooked"),
    ("wet", "dry"),
    ("full", "empty"),
    ("hardware", "software"),
    (
        "advantage advantages benefit benefits pros pro upside upsides",
        "disadvantage disadvantages drawback drawbacks cons con downside downsides risk risks",
    ),
    ("strength strengths strong", "weakness weaknesses weak"),
    ("cause causes", "effect effects consequence consequences"),
    (
        "symptom symptoms sign signs",
        "treatment treatments treat cure",
    ),
    ("heavy heavier", "light lighter"),
    ("deep deeper", "shallow shallower"),
    ("wide wider", "narrow narrower"),
    ("thick thicker", "thin thinner"),
    ("rich richer richest", "poor poorer poorest"),
    ("easy easier easiest", "hard harder hardest difficult"),
    ("simple", "complex complicated"),
    (
        "similar similarity similarities",
        "different difference differences",
    ),
    (
        "include includes including included",
        "exclude excludes excluding excluded",
    ),
    ("pass passes passing passed", "fail fails failing failed"),
    ("success successful succeed", "failure unsuccessful"),
    (
        "arrive arrives arriving arrival",
        "depart departs departing departure leave leaves leaving",
    ),
    ("enter enters entering entry entrance", "exit exits exiting"),
    ("create creates creating", "delete deletes deleting destroy"),
    ("attach attaches attaching", "detach detaches detaching"),
    (
        "merge merges merging join joining",
        "split splits splitting separate",
    ),
    (
        "freeze freezes freezing frozen",
        "thaw thaws thawing melt defrost defrosting boiling",
    ),
    ("grow grows growing", "shrink shrinks shrinking"),
    (
        "expand expands expanding",
        "collapse collapses collapsing contract",
    ),
    ("subscribe subscribes", "unsubscribe unsubscribes cancel"),
    ("hire hiring", "fire firing"),
    ("inhale", "exhale"),
    ("predecessor", "successor"),
    ("always", "never sometimes"),
    ("everyone everybody all", "nobody none"),
    ("mount", "unmount"),
    ("undo", "redo"),
    ("front", "back rear"),
    ("top", "bottom"),
    ("ancient", "modern"),
    ("domestic", "international foreign"),
    ("used secondhand", "new brand-new"),
    ("vegetarian vegan", "meat"),
    (
        "single-threaded synchronous sync",
        "multi-threaded asynchronous async",
    ),
    ("static", "dynamic"),
    ("mutable", "immutable"),
    ("client-side", "server-side"),
    ("frontend", "backend"),
    ("plural", "singular"),
    ("past", "future present"),
    ("prefix", "suffix"),
    ("uppercase", "lowercase"),
    ("encourage", "discourage"),
    ("lossless", "lossy"),
    ("renewable", "nonrenewable fossil"),
    ("active", "passive"),
    ("inbound incoming", "outbound outgoing"),
    ("gross", "net"),
    ("fixed", "variable adjustable"),
    ("term", "permanent whole"),
    ("mild", "severe"),
    ("pregnant", "breastfeeding"),
    ("on", "off"),
    ("in", "out"),
];

/// The pairs `word` belongs to, each with the side of it (1 or 2) that it is on: `lower` is an opposite of `raise` and of `upper`.
pub(super) fn sides(word: &str) -> &'static [(u16, u8)] {
    SIDES.get(word).map_or(&[], Vec::as_slice)
}

static SIDES: std::sync::LazyLock<std::collections::HashMap<&'static str, Vec<(u16, u8)>>> =
    std::sync::LazyLock::new(|| {
        let mut sides = std::collections::HashMap::<_, Vec<_>>::new();
        for (pair, (one, other)) in (0_u16..).zip(PAIRS) {
            for (bit, words) in [(1, one), (2, other)] {
                for word in words.split(' ') {
                    sides.entry(word).or_default().push((pair, bit));
                }
            }
        }
        sides
    });
