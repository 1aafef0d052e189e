//! What the rest of the language asks of a method's table.

use super::{Aggregate, Alignment, Optimizer, Relay, Steps};

/// Which examples a party trains on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// A device's own; at the cloud, everybody's.
    pub private: bool,
    /// The cloud's.
    pub public: bool,
    /// What a proxy makes.
    pub relay: bool,
}

impl Seen {
    /// In words, on a device.
    fn on_device(self) -> &'static str {
        match (self.private, self.public, self.relay) {
            (true, true, true) => "their private and the public examples, and the relay set",
            (true, true, false) => "their private and the public examples",
            (true, false, true) => "their private examples and the relay set",
            (true, false, false) => "their private examples",
            (false, ..) => self.of_others(),
        }
    }

    /// In words, at the cloud; who has private examples there has all of everybody's.
    fn at_cloud(self) -> &'static str {
        if self.private { "everybody's private and the public examples" } else { self.of_others() }
    }

    fn of_others(self) -> &'static str {
        match (self.public, self.relay) {
            (true, true) => "the public examples and the relay set",
            (true, false) => "the public examples",
            (false, true) => "the relay set",
            (false, false) => "no examples",
        }
    }
}

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

    /// The first round in which anybody learns from the relay set.
    fn relay_starts(&self) -> Option<u32> {
        self.relay().map(|relay| relay.from_round.device.min(relay.from_round.cloud))
    }

    /// The optimizer.
    fn optimizer(&self) -> Option<&Optimizer> {
        None
    }

    /// How updates become one, where updates are averaged.
    fn aggregate(&self) -> Option<&Aggregate> {
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

    /// Which examples the devices train on, and which the cloud trains on.
    fn seen(&self) -> [Seen; 2];

    /// The same in words.
    fn sees(&self) -> [&'static str; 2] {
        let [devices, cloud] = self.seen();
        [devices.on_device(), cloud.at_cloud()]
    }

    /// The relay set, to be changed.
    fn relay_mut(&mut self) -> Option<&mut Relay> {
        None
    }
}
