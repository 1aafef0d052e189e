//! Exact match after the scorer's normalisation.
//!
//! Source: `normalize_answer` of allenai/natural-instructions, `eval/automatic/evaluation.py`: lower-case,
//! the 32 ASCII punctuation characters deleted (not spaced), white space collapsed. Articles stay, unlike
//! SQuAD's normalisation.

/// Whether prediction and reference are equal once normalised.
pub fn exact_match(prediction: &str, reference: &str) -> bool {
    normalize(prediction) == normalize(reference)
}

fn normalize(text: &str) -> String {
    let bare: String = text.to_lowercase().chars().filter(|letter| !letter.is_ascii_punctuation()).collect();
    bare.split(is_python_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// White space as Python's `str.split()` sees it: Unicode's and the four ASCII separators U+001C to U+001F.
fn is_python_space(letter: char) -> bool {
    letter.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_is_deleted_not_spaced() {
        assert!(exact_match("don't", "dont"));
        assert!(!exact_match("well-known", "well known"));
    }

    #[test]
    fn articles_stay() {
        assert!(!exact_match("the lamp", "lamp"));
    }

    #[test]
    fn case_and_spacing_do_not_matter() {
        assert!(exact_match("  Red\taisle \n", "red aisle"));
    }
}
