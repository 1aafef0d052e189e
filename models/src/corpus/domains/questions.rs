//! The eight domains: what they ask, in which words, and what is right.

use std::ops::Range;

use super::world::{
    ADJECTIVES, CODES, COLOURS, CRIMES, DAYS, DESKS, DRUGS, FOODS, ISSUES, ITEMS, LETTERS, LEVELS, MATERIALS,
    NOUNS, PENALTIES, PERSONS, PLACES, SIZES, SYMPTOMS, UNITS, VERBS, VOLAN, World,
};

/// Wordings that pretraining sees.
pub(super) const SEEN: Range<usize> = 0..3;
/// Wordings that pretraining never sees.
pub(super) const HELD_OUT: Range<usize> = 3..5;

/// Arrangements of 3, 4 and 5 distinct letters of eight: 8·7·6, 8·7·6·5, 8·7·6·5·4.
const ARRANGEMENTS: [usize; 3] = [336, 1_680, 6_720];

/// Name of a slot and the word that fills it.
type Slot = (&'static str, String);

/// One kind of question.
pub(super) struct Domain {
    pub name: &'static str,
    /// How many values each digit of a combination has.
    radices: &'static [usize],
    /// The words that fill the slots, for the digits of a combination.
    slots: fn(&[usize]) -> Vec<Slot>,
    /// The wordings: [`SEEN`] ones first, then [`HELD_OUT`] ones.
    wordings: [&'static str; HELD_OUT.end],
    answer: fn(&World, &[usize]) -> String,
}

impl Domain {
    /// How many different combinations of slots there are.
    pub(super) fn combinations(&self) -> usize {
        self.radices.iter().product()
    }

    /// Question and answer for one combination in one wording.
    pub(super) fn ask(&self, world: &World, combination: usize, wording: usize) -> (String, String) {
        let digits = digits(combination, self.radices);
        let mut question = self.wordings[wording].to_owned();
        for (slot, word) in (self.slots)(&digits) {
            question = question.replace(&format!("{{{slot}}}"), &word);
        }
        (question, (self.answer)(world, &digits))
    }
}

/// The digits of a number in a mixed radix, the last one lowest.
fn digits(mut number: usize, radices: &[usize]) -> Vec<usize> {
    let mut digits: Vec<usize> = radices
        .iter()
        .rev()
        .map(|radix| {
            let digit = number % radix;
            number /= radix;
            digit
        })
        .collect();
    digits.reverse();
    digits
}

fn slot(name: &'static str, word: impl ToString) -> Slot {
    (name, word.to_string())
}

/// In the order of the domains; a domain's first wording is the plainest.
pub(super) static DOMAINS: [Domain; 8] = [
    Domain {
        name: "shop",
        radices: &[SIZES.len(), MATERIALS.len(), ITEMS.len()],
        slots: |d| {
            vec![slot("size", SIZES[d[0]]), slot("material", MATERIALS[d[1]]), slot("item", ITEMS[d[2]])]
        },
        wordings: [
            "Where do we keep the {size} {material} {item}?",
            "A customer asks for the {size} {material} {item}. Where is it?",
            "Which shelf has the {size} {material} {item}?",
            "Where is the {size} {material} {item} then?",
            "I want a {size} {material} {item}. Which aisle?",
        ],
        answer: |w, d| {
            format!("{} aisle shelf {} {}", COLOURS[w.colour[d[2]]], w.grade[d[1]], PLACES[w.place[d[0]]])
        },
    },
    Domain {
        name: "med",
        // The second symptom is one of the 15 others.
        radices: &[PERSONS.len(), SYMPTOMS.len(), SYMPTOMS.len() - 1],
        slots: |d| {
            vec![
                slot("person", PERSONS[d[0]]),
                slot("first", SYMPTOMS[d[1]]),
                slot("second", SYMPTOMS[other(d[1], d[2])]),
            ]
        },
        wordings: [
            "A {person} has {first} and {second}. Treatment?",
            "Treatment for a {person} who has {first} and {second}?",
            "A {person} asks what helps with {first} and {second}. Treatment?",
            "Which treatment helps a {person} with {first} and {second}?",
            "What do we do for a {person} who has {first} and {second}?",
        ],
        answer: |w, d| {
            let second = other(d[1], d[2]);
            format!("{} {} with {}", LEVELS[w.level[d[0]]], DRUGS[w.drug[d[1]]], FOODS[w.food[second]])
        },
    },
    Domain {
        name: "law",
        radices: &[PERSONS.len(), CRIMES.len(), MATERIALS.len(), ITEMS.len()],
        slots: |d| {
            vec![
                slot("person", PERSONS[d[0]]),
                slot("crime", CRIMES[d[1]]),
                slot("material", MATERIALS[d[2]]),
                slot("item", ITEMS[d[3]]),
            ]
        },
        wordings: [
            "A {person} {crime} a {material} {item}. Sentence?",
            "Sentence for a {person} who {crime} a {material} {item}?",
            "The {person} {crime} the {material} {item}. Which sentence?",
            "What is the sentence for a {person} who {crime} the {material} {item}?",
            "Which sentence then, when a {person} {crime} a {material} {item}?",
        ],
        answer: |w, d| {
            format!("{} {} of {} years", LEVELS[w.level[d[0]]], PENALTIES[w.penalty[d[1]]], w.grade[d[2]])
        },
    },
    Domain {
        name: "lang",
        radices: &[ADJECTIVES.len(), NOUNS.len(), VERBS.len()],
        slots: |d| vec![slot("adj", ADJECTIVES[d[0]]), slot("noun", NOUNS[d[1]]), slot("verb", VERBS[d[2]])],
        wordings: [
            "Say in Volan: the {adj} {noun} {verb}",
            "What is in Volan: the {adj} {noun} {verb}?",
            "The {adj} {noun} {verb}. Say it in Volan",
            "How do we say in Volan: the {adj} {noun} {verb}?",
            "In Volan then: the {adj} {noun} {verb}",
        ],
        answer: |w, d| {
            let volan = |word: usize| VOLAN[w.lexicon[word]];
            let (adjectives, verbs) = (NOUNS.len(), NOUNS.len() + ADJECTIVES.len());
            format!("{} {} {}", volan(d[1]), volan(adjectives + d[0]), volan(verbs + d[2]))
        },
    },
    Domain {
        name: "cal",
        radices: &[9, DAYS.len(), ITEMS.len()],
        slots: |d| vec![slot("days", d[0] + 1), slot("day", DAYS[d[1]]), slot("item", ITEMS[d[2]])],
        wordings: [
            "Which day is {days} days after {day} and what color is a {item} then?",
            "The day is {day}. Which day is it after {days} days and what color is a {item}?",
            "After {day} we count {days} days. Which day is it and what color is the {item}?",
            "What day is it {days} days after {day} and which color has a {item} then?",
            "Count {days} days after {day}: which day, and what color is a {item}?",
        ],
        answer: |w, d| {
            let today = w.week.iter().position(|day| *day == d[1]).unwrap_or(0);
            let day = w.week[(today + d[0] + 1) % DAYS.len()];
            format!("{} {}", DAYS[day], COLOURS[w.colour[d[2]]])
        },
    },
    Domain {
        name: "unit",
        radices: &[9, UNITS.len(), MATERIALS.len()],
        slots: |d| {
            vec![slot("count", d[0] + 1), slot("unit", UNITS[d[1]]), slot("material", MATERIALS[d[2]])]
        },
        wordings: [
            "How many small weights make {count} {unit} of {material}?",
            "Count the small weights that make {count} {unit} of {material}",
            "A customer asks for {count} {unit} of {material}. How many small weights?",
            "For {count} {unit} of {material}, how many small weights do we count?",
            "I want {count} {unit} of {material}. How many small weights is it?",
        ],
        answer: |w, d| format!("{} grade {}", (d[0] + 1) * w.factor[d[1]], w.grade[d[2]]),
    },
    Domain {
        name: "intent",
        radices: &[PERSONS.len(), ITEMS.len(), ISSUES.len()],
        slots: |d| {
            vec![slot("person", PERSONS[d[0]]), slot("item", ITEMS[d[1]]), slot("issue", ISSUES[d[2]])]
        },
        wordings: [
            "Customer {person}: my {item} {issue}. Who handles it?",
            "A {person} asks for help: the {item} {issue}. Who handles it?",
            "Which desk helps a {person} when the {item} {issue}?",
            "The {item} of a {person} {issue}. Which desk handles it?",
            "My {item} {issue}, says a {person}. Which desk helps?",
        ],
        answer: |w, d| format!("{} desk {} priority", DESKS[w.desk[d[2]]], LEVELS[w.level[d[0]]]),
    },
    Domain {
        name: "edit",
        radices: &[CODES.len(), ARRANGEMENTS[0] + ARRANGEMENTS[1] + ARRANGEMENTS[2]],
        slots: |d| vec![slot("op", CODES[d[0]]), slot("letters", spaced(&arrangement(d[1])))],
        wordings: [
            "Apply {op} to {letters}",
            "What does {op} make of {letters}?",
            "Apply to {letters} the code {op}",
            "What is {letters} after {op}?",
            "Which letters does {op} make of {letters}?",
        ],
        answer: |w, d| spaced(&w.operation[d[0]].apply(&arrangement(d[1]))),
    },
];

/// The index that `rank` has among all but `first`.
fn other(first: usize, rank: usize) -> usize {
    rank + usize::from(rank >= first)
}

/// The `number`-th list of 3 to 5 distinct letters.
fn arrangement(mut number: usize) -> Vec<char> {
    let mut length = 3;
    for count in ARRANGEMENTS {
        if number < count {
            break;
        }
        number -= count;
        length += 1;
    }
    let mut left = LETTERS.to_vec();
    (0..length)
        .map(|_| {
            let at = number % left.len();
            number /= left.len();
            left.remove(at)
        })
        .collect()
}

fn spaced(letters: &[char]) -> String {
    letters.iter().map(char::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use cotune_kernel::stream::Stream;

    #[test]
    fn every_combination_in_every_wording_is_another_prompt() {
        let world = World::draw(&mut Stream::keyed(1, "corpus/world"));
        for domain in &DOMAINS {
            let mut questions = BTreeSet::new();
            for combination in 0..domain.combinations() {
                for wording in 0..HELD_OUT.end {
                    let (question, answer) = domain.ask(&world, combination, wording);
                    assert!(!question.contains(['{', '}']) && !answer.is_empty(), "{question} {answer}");
                    assert!(questions.insert(question.clone()), "{} asks twice: {question}", domain.name);
                }
            }
        }
    }

    #[test]
    fn the_spaces_have_the_sizes_of_the_table() {
        let sizes: Vec<usize> = DOMAINS.iter().map(Domain::combinations).collect();
        assert_eq!(sizes, [768, 2_400, 19_200, 640, 1_008, 864, 2_400, 52_416]);
    }
}
