//! Names for runs that were given none: two words and a number, easy to say and to tell apart.

const FIRST: [&str; 32] = [
    "amber", "bold", "brisk", "calm", "clear", "crisp", "deft", "eager", "fair", "fleet", "fond", "gentle",
    "glad", "golden", "grand", "keen", "kind", "lively", "lucid", "mellow", "neat", "nimble", "proud",
    "quick", "quiet", "rapid", "sharp", "silver", "solid", "steady", "vivid", "warm",
];
const SECOND: [&str; 32] = [
    "alder", "badger", "beacon", "birch", "brook", "cedar", "comet", "crane", "delta", "dune", "falcon",
    "fjord", "grove", "harbor", "heron", "island", "kestrel", "lagoon", "lark", "maple", "marten", "meadow",
    "otter", "pebble", "pine", "raven", "reef", "river", "summit", "thistle", "willow", "wren",
];

/// A random name, such as `calm-otter-412`.
pub(crate) fn random_name() -> String {
    let random = uuid::Uuid::new_v4().as_u128();
    let word = |words: &[&'static str; 32], shift: u32| words[(random >> shift) as usize % 32];
    format!("{}-{}-{}", word(&FIRST, 0), word(&SECOND, 8), (random >> 16) % 1000)
}
