//! Porter's stemmer with NLTK's extensions, the one `rouge-score` uses.
//!
//! Source: Porter, "An algorithm for suffix stripping", Program 14(3), 1980; `nltk.stem.porter.PorterStemmer`
//! in its default mode `NLTK_EXTENSIONS`. Where NLTK departs from the paper the line says so.

/// The stem of a lower-case word of ASCII letters and digits. Other words come back unchanged.
pub fn stem(word: &str) -> String {
    if let Some(irregular) = irregular(word) {
        return irregular.to_owned();
    }
    if word.len() <= 2 || !word.is_ascii() {
        return word.to_owned();
    }
    [step_1a, step_1b, step_1c, step_2, step_3, step_4, step_5a, step_5b]
        .iter()
        .fold(word.to_owned(), |word, step| step(&word))
}

/// NLTK: words that the rules get wrong.
fn irregular(word: &str) -> Option<&'static str> {
    Some(match word {
        "sky" | "skies" => "sky",
        "dying" => "die",
        "lying" => "lie",
        "tying" => "tie",
        "news" => "news",
        "innings" | "inning" => "inning",
        "outings" | "outing" => "outing",
        "cannings" | "canning" => "canning",
        "howe" => "howe",
        "proceed" => "proceed",
        "exceed" => "exceed",
        "succeed" => "succeed",
        _ => return None,
    })
}

/// A suffix, what replaces it, and the condition on what is left.
type Rule = (&'static str, &'static str, fn(&str) -> bool);

/// The first rule whose suffix matches decides: it replaces, or leaves the word alone if its condition fails.
fn first_match(word: &str, rules: &[Rule]) -> String {
    for (suffix, replacement, condition) in rules {
        if let Some(stem) = word.strip_suffix(suffix) {
            return if condition(stem) { format!("{stem}{replacement}") } else { word.to_owned() };
        }
    }
    word.to_owned()
}

fn step_1a(word: &str) -> String {
    if word.len() == 4 && word.ends_with("ies") {
        return word.replace("ies", "ie"); // NLTK: ties, dies
    }
    first_match(
        word,
        &[("sses", "ss", always), ("ies", "i", always), ("ss", "ss", always), ("s", "", always)],
    )
}

fn step_1b(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ied") {
        return format!("{stem}{}", if word.len() == 4 { "ie" } else { "i" }); // NLTK: died, spied
    }
    if let Some(stem) = word.strip_suffix("eed") {
        return if measure(stem) > 0 { format!("{stem}ee") } else { word.to_owned() };
    }
    let Some(stem) =
        ["ed", "ing"].iter().find_map(|suffix| word.strip_suffix(suffix).filter(|stem| has_vowel(stem)))
    else {
        return word.to_owned();
    };
    if ["at", "bl", "iz"].iter().any(|ending| stem.ends_with(ending)) {
        return format!("{stem}e");
    }
    if ends_in_double_consonant(stem) {
        let keep = stem.ends_with(['l', 's', 'z']);
        return stem[..stem.len() - usize::from(!keep)].to_owned();
    }
    if measure(stem) == 1 && ends_in_cvc(stem) { format!("{stem}e") } else { stem.to_owned() }
}

fn step_1c(word: &str) -> String {
    // NLTK: only after a consonant that is not the first letter (happy, not enjoy; by stays).
    let after_consonant = |stem: &str| stem.len() > 1 && is_consonant(stem.as_bytes(), stem.len() - 1);
    first_match(word, &[("y", "i", after_consonant)])
}

fn step_2(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("alli").filter(|stem| measure(stem) > 0) {
        return step_2(&format!("{stem}al")); // NLTK: so that "ational" and the like still apply
    }
    // NLTK measures the word less three letters here, not less its suffix.
    let before_log = |stem: &str| measure(&format!("{stem}l")) > 0;
    first_match(
        word,
        &[
            ("ational", "ate", positive),
            ("tional", "tion", positive),
            ("enci", "ence", positive),
            ("anci", "ance", positive),
            ("izer", "ize", positive),
            ("bli", "ble", positive), // NLTK, after Porter's own later departure: abli
            ("alli", "al", positive),
            ("entli", "ent", positive),
            ("eli", "e", positive),
            ("ousli", "ous", positive),
            ("ization", "ize", positive),
            ("ation", "ate", positive),
            ("ator", "ate", positive),
            ("alism", "al", positive),
            ("iveness", "ive", positive),
            ("fulness", "ful", positive),
            ("ousness", "ous", positive),
            ("aliti", "al", positive),
            ("iviti", "ive", positive),
            ("biliti", "ble", positive),
            ("fulli", "ful", positive),  // NLTK
            ("logi", "log", before_log), // NLTK, after Porter's departure
        ],
    )
}

fn step_3(word: &str) -> String {
    first_match(
        word,
        &[
            ("icate", "ic", positive),
            ("ative", "", positive),
            ("alize", "al", positive),
            ("iciti", "ic", positive),
            ("ical", "ic", positive),
            ("ful", "", positive),
            ("ness", "", positive),
        ],
    )
}

fn step_4(word: &str) -> String {
    let long = |stem: &str| measure(stem) > 1;
    let long_s_or_t = |stem: &str| measure(stem) > 1 && stem.ends_with(['s', 't']);
    first_match(
        word,
        &[
            ("al", "", long),
            ("ance", "", long),
            ("ence", "", long),
            ("er", "", long),
            ("ic", "", long),
            ("able", "", long),
            ("ible", "", long),
            ("ant", "", long),
            ("ement", "", long),
            ("ment", "", long),
            ("ent", "", long),
            ("ion", "", long_s_or_t),
            ("ou", "", long),
            ("ism", "", long),
            ("ate", "", long),
            ("iti", "", long),
            ("ous", "", long),
            ("ive", "", long),
            ("ize", "", long),
        ],
    )
}

fn step_5a(word: &str) -> String {
    first_match(word, &[("e", "", |stem| measure(stem) > 1 || (measure(stem) == 1 && !ends_in_cvc(stem)))])
}

fn step_5b(word: &str) -> String {
    first_match(word, &[("ll", "l", |stem| measure(&format!("{stem}l")) > 1)])
}

fn always(_: &str) -> bool {
    true
}

fn positive(stem: &str) -> bool {
    measure(stem) > 0
}

/// Whether letter `index` is a consonant: not a vowel, and 'y' only at the start or after a vowel.
fn is_consonant(word: &[u8], index: usize) -> bool {
    match word[index] {
        b'a' | b'e' | b'i' | b'o' | b'u' => false,
        b'y' => index == 0 || !is_consonant(word, index - 1),
        _ => true,
    }
}

/// Porter's m: how often a consonant follows a vowel, [C](VC)^m[V].
fn measure(stem: &str) -> usize {
    let consonants: Vec<bool> = (0..stem.len()).map(|index| is_consonant(stem.as_bytes(), index)).collect();
    consonants.windows(2).filter(|pair| !pair[0] && pair[1]).count()
}

/// Porter's *v*.
fn has_vowel(stem: &str) -> bool {
    (0..stem.len()).any(|index| !is_consonant(stem.as_bytes(), index))
}

/// Porter's *d.
fn ends_in_double_consonant(stem: &str) -> bool {
    match stem.as_bytes() {
        [.., before, last] => before == last && is_consonant(stem.as_bytes(), stem.len() - 1),
        _ => false,
    }
}

/// Porter's *o: consonant, vowel, consonant other than w, x, y; NLTK: or vowel, consonant and nothing else.
fn ends_in_cvc(stem: &str) -> bool {
    let word = stem.as_bytes();
    let consonant = |back: usize| is_consonant(word, word.len() - back);
    match word {
        [_, _] => !consonant(2) && consonant(1),
        [.., _, _, last] => {
            consonant(3) && !consonant(2) && consonant(1) && !matches!(last, b'w' | b'x' | b'y')
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_irregular_words_keep_their_own_stems() {
        for (word, expected) in
            [("is", "is"), ("dying", "die"), ("ties", "tie"), ("died", "die"), ("spied", "spi")]
        {
            assert_eq!(stem(word), expected);
        }
    }

    #[test]
    fn the_papers_examples_come_out() {
        for (word, expected) in [
            ("generalizations", "gener"),
            ("oscillators", "oscil"),
            ("hopping", "hop"),
            ("relational", "relat"),
            ("controll", "control"),
            ("enjoy", "enjoy"),
        ] {
            assert_eq!(stem(word), expected);
        }
    }
}
