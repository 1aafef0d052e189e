//! A world: the facts that questions are about.

use cotune_kernel::stream::Stream;

pub(super) const ITEMS: [&str; 16] = [
    "lamp", "chair", "table", "clock", "knife", "plate", "mirror", "basket", "bottle", "blanket", "candle",
    "ladder", "hammer", "kettle", "pillow", "drum",
];
pub(super) const MATERIALS: [&str; 12] =
    ["copper", "silver", "iron", "glass", "wood", "stone", "paper", "wool", "clay", "gold", "tin", "bone"];
pub(super) const SIZES: [&str; 4] = ["tiny", "small", "large", "huge"];
pub(super) const COLOURS: [&str; 8] = ["red", "blue", "green", "black", "white", "yellow", "brown", "purple"];
pub(super) const PLACES: [&str; 4] = ["top", "middle", "bottom", "back"];
pub(super) const SYMPTOMS: [&str; 16] = [
    "fever", "rash", "cough", "nausea", "fatigue", "chills", "cramp", "itch", "swelling", "vertigo", "burn",
    "sprain", "insomnia", "migraine", "tremor", "wheeze",
];
pub(super) const DRUGS: [&str; 10] =
    ["zorin", "malex", "pivol", "tamet", "quron", "belix", "sandrol", "fentix", "orvane", "luprix"];
pub(super) const FOODS: [&str; 8] = ["bread", "milk", "rice", "honey", "soup", "fruit", "tea", "broth"];
pub(super) const PERSONS: [&str; 10] =
    ["child", "teen", "adult", "elder", "baker", "sailor", "farmer", "teacher", "soldier", "monk"];
pub(super) const LEVELS: [&str; 6] = ["low", "mild", "medium", "strong", "double", "triple"];
pub(super) const CRIMES: [&str; 10] =
    ["stole", "burned", "sold", "forged", "hid", "broke", "copied", "smuggled", "lost", "painted"];
pub(super) const PENALTIES: [&str; 8] =
    ["fine", "jail", "exile", "labor", "warning", "oath", "ban", "service"];
pub(super) const DAYS: [&str; 7] = ["sul", "mek", "tor", "vin", "pash", "rud", "lom"];
pub(super) const UNITS: [&str; 8] = ["mor", "pel", "tog", "zan", "kip", "lun", "dov", "rak"];
pub(super) const NOUNS: [&str; 10] =
    ["dog", "cat", "bird", "horse", "fish", "king", "girl", "boy", "tree", "ship"];
pub(super) const ADJECTIVES: [&str; 8] =
    ["old", "young", "brave", "quiet", "happy", "angry", "wild", "tired"];
pub(super) const VERBS: [&str; 8] = ["runs", "sleeps", "sings", "falls", "waits", "swims", "laughs", "hides"];
/// Words of the invented language, as many as there are nouns, adjectives and verbs.
pub(super) const VOLAN: [&str; 26] = [
    "palo", "mitu", "seka", "runo", "velt", "dasi", "gomi", "hark", "lemo", "tuvi", "bask", "niro", "fedu",
    "wopa", "jilt", "samo", "kree", "otun", "pelu", "zami", "drof", "ruka", "yalt", "benu", "sorv", "tikka",
];
pub(super) const ISSUES: [&str; 15] = [
    "cracked",
    "vanished",
    "leaked",
    "expired",
    "jammed",
    "rusted",
    "stalled",
    "overheated",
    "shrunk",
    "faded",
    "squeaks",
    "rattles",
    "bent",
    "melted",
    "flickers",
];
pub(super) const DESKS: [&str; 8] =
    ["repairs", "billing", "returns", "shipping", "legal", "support", "quality", "sales"];
/// Code words for the list operations.
pub(super) const CODES: [&str; 6] = ["flomp", "grib", "snark", "twiz", "plok", "brun"];
/// What lists are made of.
pub(super) const LETTERS: [char; 8] = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];

/// A list operation behind a code word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Reverse,
    Sort,
    SwapEnds,
    DoubleFirst,
    DropLast,
    Rotate,
}

impl Operation {
    const ALL: [Self; 6] =
        [Self::Reverse, Self::Sort, Self::SwapEnds, Self::DoubleFirst, Self::DropLast, Self::Rotate];

    /// Applies the operation to a list of at least one letter.
    pub(super) fn apply(self, letters: &[char]) -> Vec<char> {
        let mut list = letters.to_vec();
        match self {
            Self::Reverse => list.reverse(),
            Self::Sort => list.sort_unstable(),
            Self::SwapEnds => {
                let last = list.len() - 1;
                list.swap(0, last);
            }
            Self::DoubleFirst => list.insert(0, list[0]),
            Self::DropLast => list.truncate(list.len() - 1),
            Self::Rotate => list.rotate_left(1),
        }
        list
    }
}

/// The facts. Each table is indexed by the position of its key in the word lists above and holds positions or
/// numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct World {
    /// Item → colour.
    pub colour: [usize; 16],
    /// Size → place, one to one.
    pub place: [usize; 4],
    /// Material → 1..=9.
    pub grade: [usize; 12],
    /// Symptom → drug.
    pub drug: [usize; 16],
    /// Symptom → food.
    pub food: [usize; 16],
    /// Person → level.
    pub level: [usize; 10],
    /// Crime → penalty.
    pub penalty: [usize; 10],
    /// Noun, adjective or verb (in this order) → word of Volan, one to one.
    pub lexicon: [usize; 26],
    /// The days in the order they follow one another.
    pub week: [usize; 7],
    /// Unit → 2..=9 small weights.
    pub factor: [usize; 8],
    /// Issue → desk.
    pub desk: [usize; 15],
    /// Code word → operation, one to one.
    pub operation: [Operation; 6],
}

impl World {
    /// Draws every fact.
    pub(super) fn draw(stream: &mut Stream) -> Self {
        Self {
            colour: table(stream, COLOURS.len()),
            place: permutation(stream),
            grade: table(stream, 9).map(|grade| grade + 1),
            drug: table(stream, DRUGS.len()),
            food: table(stream, FOODS.len()),
            level: table(stream, LEVELS.len()),
            penalty: table(stream, PENALTIES.len()),
            lexicon: permutation(stream),
            week: permutation(stream),
            factor: table(stream, 8).map(|factor| factor + 2),
            desk: table(stream, DESKS.len()),
            operation: permutation(stream).map(|index| Operation::ALL[index]),
        }
    }
}

/// A uniform index below `n`.
pub(super) fn pick(stream: &mut Stream, n: usize) -> usize {
    stream.below(n as u64) as usize
}

fn table<const N: usize>(stream: &mut Stream, values: usize) -> [usize; N] {
    std::array::from_fn(|_| pick(stream, values))
}

fn permutation<const N: usize>(stream: &mut Stream) -> [usize; N] {
    let mut order = std::array::from_fn(|index| index);
    stream.shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operations_do_what_their_names_say() {
        let results =
            Operation::ALL.map(|operation| operation.apply(&['c', 'a', 'b']).iter().collect::<String>());
        assert_eq!(results, ["bac", "abc", "bac", "ccab", "ca", "abc"]);
        let four =
            Operation::ALL.map(|operation| operation.apply(&['d', 'a', 'c', 'b']).iter().collect::<String>());
        assert_eq!(four, ["bcad", "abcd", "bacd", "ddacb", "dac", "acbd"]);
    }

    #[test]
    fn a_world_depends_on_its_stream_alone() {
        let draw = |seed| World::draw(&mut Stream::keyed(seed, "corpus/world"));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
