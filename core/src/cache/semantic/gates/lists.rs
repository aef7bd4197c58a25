//! The word lists of the gates, each looked up as a whole word in lower case.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Words, parted by spaces.
type Words = LazyLock<HashSet<&'static str>>;

/// Words that carry no subject of their own: articles, auxiliaries, pronouns, question words, politeness.
pub(super) static FUNCTION: Words = LazyLock::new(|| {
    "a an the this that these those it its it's i i'm i'd i've i'll me my mine we us our you your he she they them \
their his her one is are was were be been being am do does did doing done have has had can could will would \
shall should may might must and or but if so as of in on at by for with about what what's which who whom whose \
when where why how please tell there some any just also way need want like get go make give let let's most more \
much many best same"
        .split(' ')
        .collect()
});

/// Words a sentence begins with that are no names.
pub(super) static OPENERS: Words = LazyLock::new(|| {
    "explain describe list write show find create summarize summarise translate convert calculate compute compare \
define generate suggest recommend name help provide draft fix debug solve outline identify discuss rewrite \
rephrase paraphrase proofread correct improve add remove delete set change turn use using build implement design \
plan check test count sort estimate predict classify extract analyze analyse evaluate review teach learn try \
stop start open close buy sell send book order cancel return install update upgrade enable disable run steps \
ways tips advice ideas examples reasons causes symptoms benefits differences difference meaning definition \
recipe instructions guide is isn not no yes never without hi hello hey thanks will during after before since \
until while because although between among under over through from to into than then up down out off now today \
tomorrow yesterday here everyone someone people anyone say said ask asking looking trying having being doing \
making getting going taking two three four five ten good great new old first last next roughly approximately \
exactly in-depth kindly quick quickly briefly step explanation overview summary advise process method procedure \
time number price cost costs amount distance reset resetting renew apply pay report file track wie was wo wann \
warum welche kann ist comment quel quelle pourquoi où combien est-ce cómo qué cuál dónde cuándo cuánto come dove \
quando quanto perché como onde qual hoe wat waar wanneer"
        .split(' ')
        .collect()
});

/// Names that people write without a capital: languages, places, programs, makers, substances.
pub(super) static NAMES: Words = LazyLock::new(|| {
    "english french german spanish italian portuguese dutch russian chinese mandarin cantonese japanese korean arabic \
hindi turkish polish swedish norwegian danish finnish greek latin hebrew thai vietnamese ukrainian czech python \
java javascript typescript rust golang ruby php kotlin swift scala perl haskell sql mysql postgres postgresql \
sqlite mongodb redis react angular vue svelte django flask rails spring docker kubernetes linux windows macos \
ubuntu debian fedora android ios iphone ipad chrome firefox safari aws azure gcp github gitlab bitcoin ethereum \
google apple microsoft amazon facebook netflix spotify paypal visa mastercard excel word powerpoint outlook \
gmail whatsapp instagram tiktok america usa canada mexico brazil argentina chile peru england britain uk \
scotland ireland france germany spain italy portugal netherlands belgium switzerland austria poland sweden \
norway denmark finland iceland greece turkey russia ukraine china japan korea india pakistan thailand vietnam \
indonesia malaysia singapore philippines australia zealand egypt nigeria kenya morocco israel iran iraq dubai \
europe asia africa london paris berlin madrid rome milan vienna zurich geneva amsterdam brussels lisbon dublin \
oslo stockholm copenhagen helsinki prague warsaw budapest athens istanbul moscow tokyo kyoto osaka beijing \
shanghai seoul bangkok delhi mumbai sydney melbourne toronto vancouver chicago boston seattle texas california \
florida munich hamburg barcelona york mars venus jupiter saturn mercury neptune uranus pluto moon sun json xml \
yaml csv html css http https tcp udp ipv4 ipv6 ibuprofen paracetamol acetaminophen aspirin tylenol advil"
        .split(' ')
        .collect()
});

/// Words that deny, in fourteen languages.
pub(super) static NEGATIONS: Words = LazyLock::new(|| {
    "not no never none nobody nothing nowhere neither nor cannot without except excluding excludes exclude unless non \
avoid avoids avoiding prevent prevents preventing fail fails failed failing lack lacks lacking refuse refuses \
forbid forbids forbidden prohibited hardly rarely seldom barely isnt arent wasnt werent dont doesnt didnt cant \
couldnt wont wouldnt shouldnt mustnt hasnt havent hadnt nicht kein keine keinen keinem keiner keines nie niemals \
ohne nichts niemand ne pas jamais sans aucun aucune rien nunca sin ningún ninguna ninguno nada nadie jamás mai \
senza nessuno nessuna niente não sem nenhum nenhuma niet geen nooit zonder не нет без никогда нельзя ни inte \
aldrig utan ikke uden nej nigdy bez لا ليس ليست لم لن بدون לא אין בלי नहीं मत बिना"
        .split(' ')
        .collect()
});
