//! The most that a scenario may count of what is held in memory at once: a file of a few lines from anyone must not ask for
//! more than any computer has. Each is far above what is in use (chosen).

/// The end of a dotted path, and the largest number that may stand there. Paths end alike in a scenario and in its lock file.
const LIMITS: &[(&str, u64)] = &[
    // The largest scale that the book has numbers for.
    ("fleet.devices", 100_000_000),
    // Wider than any model there is; a rank above a model's width adds nothing.
    ("lora.rank", 65_536),
    ("bottleneck.size", 65_536),
    ("batch", 65_536),
    ("builtin.examples", 10_000_000),
    ("relay.prompts", 1_000_000),
    ("max_tokens", 65_536),
    ("top_k", 262_144),
    ("privacy.canaries", 1_000),
    ("privacy.repeats", 100_000),
    ("privacy.words", 1_000),
    ("privacy.candidates", 100_000),
];

/// The largest number that may stand at a dotted path, where there is one.
pub(crate) fn most(path: &str) -> Option<u64> {
    let ends = |end: &str| path.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    LIMITS.iter().find(|(end, _)| ends(end)).map(|(_, most)| *most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_that_of_whole_names() {
        assert_eq!(most("fleet.devices"), Some(100_000_000));
        assert_eq!(most("models.fleet.adapter.lora.rank"), Some(65_536));
        assert_eq!(most("method.co-plms.relay.batch"), most("method.fedavg.batch"));
        assert_eq!(most("method.fedavg.optimizer.adamw.micro_batch"), None);
        assert_eq!(most("evaluation.privacy.devices"), None);
    }
}
