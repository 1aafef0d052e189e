//! What the rest of the language asks of a method's table.

use super::{Alignment, Optimizer, Relay, Steps};

/// One method's table. What a table does not say is: there is none of it.
pub trait Table {
    /// The cloud's LLM (a name in `[models]`).
    fn cloud_model(&self) -> Option<&str> {
        None
    }

    /// The small model that is the same everywhere (a name in `[models]`): co-plms' proxy, or what fedavg averages.
    fn proxy_model(&self) -> Option<&str> {
        None
    }

    /// The models that are trained in a fleet whose devices run `edge`; some may come twice.
    fn trains<'a>(&'a self, edge: &[&'a str]) -> Vec<&'a str>;

    /// Whether the models that it trains are to have bottleneck adapters.
    fn needs_bottlenecks(&self) -> bool {
        false
    }

    /// Who needs the public part, as the beginning of a sentence that goes on "on the public part".
    fn reads_public(&self) -> Option<&'static str> {
        None
    }

    /// The relay set.
    fn relay(&self) -> Option<&Relay> {
        None
    }

    /// The optimizer.
    fn optimizer(&self) -> Option<&Optimizer> {
        None
    }

    /// How rows and tokens of different models are matched, where a model learns from another one's logits.
    fn alignment(&self) -> Option<Alignment> {
        None
    }

    /// Every number of steps in it, for `--smoke` and for whoever makes methods comparable.
    fn steps_mut(&mut self) -> Vec<&mut Steps> {
        Vec::new()
    }

    /// A device's steps of a round, where it takes any.
    fn device_steps_mut(&mut self) -> Option<&mut Steps> {
        None
    }

    /// Which examples the devices train on, and which the cloud trains on, in words.
    fn sees(&self) -> [&'static str; 2] {
        let cloud = if self.reads_public().is_some() { "the public examples" } else { "no examples" };
        ["their private examples", cloud]
    }

    /// The relay set, to be changed.
    fn relay_mut(&mut self) -> Option<&mut Relay> {
        None
    }
}
