//! What a generated prompt is about.

use cotune_models::corpus::Example;
use std::collections::BTreeSet;

/// Shared words over all words of two prompts below which they are about different things (chosen: prompts of one domain
/// share a third of their words or more, of two domains hardly more than the opening and an article).
const UNLIKE: f64 = 0.2;

/// Finds the domain of a prompt: that of the labelled prompt with which it shares the largest part of its words.
pub(super) struct Nearest {
    known: Vec<(u16, BTreeSet<String>)>,
}

impl Nearest {
    /// By what these examples ask.
    pub(super) fn of<'e>(examples: impl Iterator<Item = &'e Example>) -> Self {
        Self { known: examples.map(|example| (example.domain, words(&example.prompt))).collect() }
    }

    /// The domain of a prompt; none if it is like none of the labelled ones.
    pub(super) fn domain(&self, prompt: &str) -> Option<u16> {
        let own = words(prompt);
        let likeness = |other: &BTreeSet<String>| {
            let both = own.intersection(other).count();
            both as f64 / (own.len() + other.len() - both).max(1) as f64
        };
        // The first of the nearest, so that ties do not depend on anything but the order of the examples.
        let nearest = self
            .known
            .iter()
            .map(|(domain, words)| (likeness(words), *domain))
            .reduce(|best, next| if best.0 >= next.0 { best } else { next });
        nearest.filter(|(likeness, _)| *likeness >= UNLIKE).map(|(_, domain)| domain)
    }
}

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(domain: u16, prompt: &str) -> Example {
        Example { id: 0, domain, prompt: prompt.to_owned(), answers: Vec::new() }
    }

    #[test]
    fn a_prompt_is_about_what_it_shares_its_words_with() {
        let examples = [
            example(3, "Q: Where do we keep the small steel lamp?\nA:"),
            example(5, "Q: Say in Volan: the red fox sleeps\nA:"),
        ];
        let nearest = Nearest::of(examples.iter());
        assert_eq!(nearest.domain("Q: Where do we keep the large oak chair?\nA:"), Some(3));
        assert_eq!(nearest.domain("Q: Say in Volan: the old cat eats\nA:"), Some(5));
        assert_eq!(nearest.domain("Q: Sort these letters backwards\nA:"), None);
        assert_eq!(Nearest::of(std::iter::empty()).domain("Q: Where?\nA:"), None);
    }
}
