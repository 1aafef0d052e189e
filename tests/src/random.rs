//! Scenarios made from a seed: every availability, every fault, every coordination, every encoding, in any combination.
//!
//! A scenario is small, so that thousands of them are played within a test. The same seed gives the same scenario, and
//! [`scenario`] gives it as the text of a file, so that one that shows a mistake can be kept.

use std::fmt::Write as _;

use cotune_kernel::Stream;

/// Virtual seconds that anything of a scenario is spread over.
const SPAN: f64 = 6.0 * 3_600.0;

/// The scenario of a seed. `trace` is a log of presence that its devices may follow; where `learns`, it has texts to learn from.
pub fn scenario(seed: u64, trace: &str, learns: bool) -> String {
    let mut dice = Dice { stream: Stream::keyed(seed, "scenario"), text: String::new(), learns };
    let devices = if learns { 3 + dice.below(4) } else { 1 + dice.below(40) };
    let classes = 1 + dice.below(3.min(devices));
    dice.models();
    let text = &mut dice.text;
    let _ = write!(text, "[fleet]\ndevices = {devices}\n");
    for class in 0..classes {
        dice.class(class, trace);
    }
    dice.cloud();
    dice.method();
    dice.coordination(devices);
    dice.transfer();
    for _ in 0..dice.below(5) {
        dice.fault(classes);
    }
    let (rounds, hours) = (if learns { 2 } else { 1 + dice.below(9) }, 1 + dice.below(30));
    let text = &mut dice.text;
    let _ = write!(text, "[evaluation]\nevery = {{ rounds = 3 }}\nmetrics = [\"loss\"]\npanel = 1\n");
    let _ = write!(text, "[budget]\nrounds = {rounds}\nvirtual_time = \"{hours}h\"\n");
    format!("format = 1\nname = \"random-{seed}\"\nseed = {}\n{}", seed % 1_000_003, dice.text)
}

struct Dice {
    stream: Stream,
    text: String,
    learns: bool,
}

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.stream.below(n)
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.stream.chance(probability)
    }

    /// A number between `low` and `high`, evenly on a logarithmic scale.
    fn spread(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.stream.uniform())
    }

    fn say(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A distribution of a quantity whose usual values lie in a range.
    fn drawn(&mut self, low: f64, high: f64, unit: &str) -> String {
        let middle = self.spread(low, high);
        match self.below(4) {
            0 => format!("\"{middle:.3}{unit}\""),
            1 => format!(
                "{{ lognormal = {{ median = \"{middle:.3}{unit}\", p95 = \"{:.3}{unit}\" }} }}",
                middle * 3.0
            ),
            2 => format!("{{ exponential = {{ mean = \"{middle:.3}{unit}\" }} }}"),
            _ => format!(
                "{{ uniform = {{ low = \"{:.3}{unit}\", high = \"{:.3}{unit}\" }} }}",
                middle * 0.5,
                middle * 1.5
            ),
        }
    }

    fn models(&mut self) {
        for (name, base) in [("proxy", "dpm-small"), ("edge", "slm-gpt2-small")] {
            self.say(&format!("[models.{name}]\nbase = \"zoo:{base}\""));
            if !self.learns && self.chance(0.5) {
                let params = self.spread(1e6, 2e8);
                self.say(&format!("bill_as = {{ params = \"{:.1}M\", weights = \"bf16\" }}", params / 1e6));
            }
            self.say("adapter.lora = { rank = 2, alpha = 4, targets = [\"q\", \"v\"] }");
        }
        self.say("[data]");
        if self.learns {
            self.say("corpus.builtin = { name = \"domains\", examples = 96 }\npublic = 8\nvalidation = 8\ntest = 8");
            self.say("split = \"iid\"");
        } else {
            let examples = 2_000 + self.below(8_000);
            self.say(&format!("corpus.sizes = {{ examples = {examples}, mean_tokens = 24 }}"));
            self.say("split.quantity = { lognormal = { sigma = 0.7 } }");
        }
    }

    fn class(&mut self, class: u64, trace: &str) {
        let table = format!("fleet.class.c{class}");
        let weight = 1 + self.below(4);
        self.say(&format!("[{table}]\nweight = {weight}\nmodel = \"edge\"\nmemory = \"2GiB\""));
        if self.chance(0.5) {
            self.say(&format!("region = \"r{}\"", class % 2));
        }
        let compute = self.drawn(0.02, 2.0, "GFLOP/s");
        self.say(&format!("compute = {compute}"));
        self.say("power = { train = \"4W\", radio = \"1W\", idle = \"0.2W\" }");
        if self.chance(0.3) {
            let (capacity, above) = (self.spread(0.5, 30.0), 0.2 + 0.6 * self.stream.uniform());
            self.say(&format!("battery = {{ capacity = \"{capacity:.2}Wh\", train_above = {above:.2} }}"));
        }
        if self.chance(0.2) {
            self.say("memory_free = 0.001");
        }
        let (down, up) = (self.drawn(0.5, 100.0, "Mbit/s"), self.drawn(0.1, 20.0, "Mbit/s"));
        let rtt = self.spread(2.0, 300.0);
        self.say(&format!("[{table}.link]\ndown = {down}\nup = {up}\nrtt = \"{rtt:.1}ms\""));
        if self.chance(0.5) {
            let loss = self.spread(1e-4, 0.05);
            self.say(&format!("loss = {loss:.5}"));
        }
        if self.chance(0.5) {
            let drop = self.spread(0.005, 0.4);
            self.say(&format!("drop = \"{drop:.4}/transfer\""));
        }
        let availability = self.availability(trace);
        self.say(&format!("[{table}.availability]\n{availability}"));
    }

    fn availability(&mut self, trace: &str) -> String {
        match self.below(5) {
            0 => "always = {}".to_owned(),
            1 => {
                let (on, off) = (self.spread(1.0, 200.0), self.spread(0.2, 100.0));
                format!("markov = {{ mean_on = \"{on:.2}min\", mean_off = \"{off:.2}min\" }}")
            }
            2 => {
                let (scale, off) = (self.spread(1.0, 100.0), self.spread(0.2, 60.0));
                format!(
                    "sessions = {{ online = {{ weibull = {{ shape = 0.6, scale = \"{scale:.2}min\" }} }}, offline = \"{off:.2}min\" }}"
                )
            }
            3 => {
                let hour = self.below(24);
                let (low, mean) = (0.02 + 0.3 * self.stream.uniform(), self.spread(2.0, 200.0));
                format!(
                    "diurnal = {{ peak = \"{hour:02}:30\", online = {{ at_peak = 0.9, at_trough = {low:.3} }}, session = {{ exponential = {{ mean = \"{mean:.2}min\" }} }} }}"
                )
            }
            _ => format!("trace = {trace:?}"),
        }
    }

    fn cloud(&mut self) {
        let (compute, link) = (self.spread(1.0, 1_000.0), self.spread(0.5, 2_000.0));
        self.say(&format!("[cloud]\ncompute = \"{compute:.2}GFLOP/s\"\nmemory = \"64GiB\""));
        self.say(&format!("link = {{ down = \"{link:.2}Mbit/s\", up = \"{link:.2}Mbit/s\" }}"));
        if self.chance(0.5) {
            self.say("price = { compute = \"2.40USD/h\", egress = \"0.08USD/GB\" }");
        }
    }

    fn method(&mut self) {
        let on = if self.chance(0.5) { "proxy" } else { "edge" };
        let aggregate = match self.below(4) {
            0 => "\"uniform\"",
            1 => "\"median\"",
            2 => "{ trimmed-mean = { trim = 0.1 } }",
            _ => "\"weighted\"",
        };
        self.say(&format!("[method.fedavg]\non = \"{on}\"\ndevice_steps = {{ tune = 2 }}\nbatch = 4"));
        self.say(&format!("aggregate = {aggregate}"));
    }

    fn coordination(&mut self, devices: u64) {
        let some = |dice: &mut Self| 1 + dice.below(devices);
        match self.below(3) {
            0 => {
                let cohort = some(self);
                let (fewest, overcommit) = (1 + self.below(cohort), 1.0 + self.stream.uniform());
                self.say(&format!("[coordination.sync]\ncohort = {cohort}\nmin_updates = {fewest}\novercommit = {overcommit:.2}"));
                if self.chance(0.7) {
                    let minutes = self.spread(0.5, 120.0);
                    self.say(&format!("deadline = \"{minutes:.2}min\""));
                }
            }
            1 => {
                let (concurrency, buffer) = (some(self), some(self));
                self.say(&format!("[coordination.buffered]\nconcurrency = {concurrency}\nbuffer = {buffer}"));
                if self.chance(0.5) {
                    let most = self.below(3);
                    self.say(&format!("max_staleness = {most}"));
                }
            }
            _ => {
                let concurrency = some(self);
                self.say(&format!("[coordination.async]\nconcurrency = {concurrency}"));
            }
        }
    }

    fn transfer(&mut self) {
        let mut encoding = |up: bool| match self.below(4) {
            0 if up => "{ int8 = { error_feedback = true } }",
            0 | 1 => "{ int8 = {} }",
            2 if up => "{ topk = { share = 0.1, error_feedback = true } }",
            2 => "{ topk = { share = 0.1 } }",
            _ => "\"none\"",
        };
        let (up, down) = (encoding(true), encoding(false));
        self.say(&format!("[transfer]\nup = {up}\ndown = {down}"));
    }

    fn fault(&mut self, classes: u64) {
        let class = if self.chance(0.5) { "*".to_owned() } else { format!("c{}", self.below(classes)) };
        let (share, at) = (0.05 + 0.9 * self.stream.uniform(), SPAN * self.stream.uniform());
        let lasts = self.spread(1.0, 3_600.0);
        self.say("[[fault]]");
        let fault = match self.below(5) {
            0 => {
                let rate = self.spread(0.01, 60.0);
                format!("crash = {{ class = \"{class}\", rate = \"{rate:.3}/h\" }}")
            }
            1 => format!("slowdown = {{ class = \"{class}\", fraction = {share:.2}, factor = 3.0 }}"),
            2 => {
                let region = format!("r{}", self.below(2));
                let whom = match () {
                    () if self.text.contains(&format!("region = \"{region}\"")) => {
                        format!("region = \"{region}\"")
                    }
                    () if class == "*" => "class = \"c0\"".to_owned(),
                    () => format!("class = \"{class}\""),
                };
                format!("partition = {{ {whom}, at = \"{at:.1}s\", lasts = \"{lasts:.1}s\" }}")
            }
            3 => {
                let how = ["nan", "bit-flip", "scale"][self.below(3) as usize];
                format!("corrupt = {{ class = \"{class}\", fraction = {share:.2}, how = \"{how}\" }}")
            }
            _ => format!("cloud_restart = {{ at = \"{at:.1}s\", outage = \"{lasts:.1}s\" }}"),
        };
        self.say(&fault);
    }
}
