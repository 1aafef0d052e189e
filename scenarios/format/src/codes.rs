//! Every diagnostic has a code, and every code an explanation (`cotune explain CODE`).

/// A stable code: `E` for errors, `W` for warnings. A retired code is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// `E0107`.
    pub name: &'static str,
    /// What went wrong, in a few words.
    pub title: &'static str,
    /// Why it is a mistake and what to do about it.
    pub explanation: &'static str,
}

impl Code {
    /// Whether a diagnostic of this code is a warning.
    pub fn is_warning(&self) -> bool {
        self.name.starts_with('W')
    }
}

/// The code called `name`, in any case.
pub fn find(name: &str) -> Option<&'static Code> {
    ALL.iter().copied().find(|code| code.name.eq_ignore_ascii_case(name))
}

macro_rules! codes {
    ($($constant:ident = $name:literal, $title:literal, $explanation:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $title, ".")]
            pub const $constant: &Code = &Code { name: $name, title: $title, explanation: $explanation };
        )*
        /// Every code, in order.
        pub const ALL: &[&Code] = &[$($constant),*];
    };
}

codes! {
    // The language.
    SYNTAX = "E0001", "the text is not TOML or JSON",
        "A scenario is TOML 1.0, or JSON where the text begins with a brace. Only the first syntax error of a file is known, because what follows it has no certain meaning.";
    UNKNOWN_KEY = "E0002", "a key that the language does not have",
        "Unknown keys are errors, because a misspelt key that is ignored silently changes what an experiment measures.";
    MISSING_KEY = "E0003", "a key without a default is missing",
        "Most keys have a default that is written in its documentation; this one has no sensible value for everybody.";
    WRONG_TYPE = "E0004", "a value of another kind",
        "Strings are in quotes, numbers are not, lists are in brackets and tables in braces or under a header.";
    UNKNOWN_WORD = "E0005", "a word that is not one of the choices",
        "Some keys take one of a few words, some tables one of a few sub-tables.";
    TWO_CHOICES = "E0006", "two choices where one is wanted",
        "The name of a sub-table is the choice: [method.co-plms] chooses co-plms. Two of them contradict each other. A file that extends another replaces its choice whole.";
    NO_CHOICE = "E0007", "no choice was made",
        "The table needs one sub-table whose name is the choice, such as [method.co-plms].";
    NOT_AVAILABLE = "E0008", "not available in this version",
        "The language has a name for it, this version of cotune does not do it yet. The message lists what it does.";
    FORMAT = "E0009", "another format version",
        "`format` is the version of the scenario language. This version of cotune reads format 1.";
    EXTENDS = "E0010", "the base file cannot be used",
        "`extends` names one file, relative to this one, and that file may not extend another: two files can be read side by side, a chain cannot.";
    OVERRIDE = "E0011", "an override cannot be applied",
        "--set KEY=VALUE takes a dotted path and a TOML value; --vary KEY=V1,V2,… takes several values.";
    OUT_OF_RANGE = "E0012", "a number outside its range",
        "The message states the range.";
    CONFLICT = "E0013", "keys that exclude each other",
        "Two ways of saying the same thing were used at once, or one of several was needed and none was given.";
    NAME = "E0014", "a name that cannot be used",
        "The scenario's name becomes part of a folder's name, a model's that of the folder of its adapter: letters, digits, '.', '_' and '-', at most 64, no '.' first.";

    // Quantities.
    MISSING_UNIT = "E0050", "a quantity without a unit",
        "Quantities are strings with units, such as \"25min\" or \"6GiB\": a number alone would leave the reader guessing.";
    UNKNOWN_UNIT = "E0051", "a unit that does not fit",
        "Units are case-sensitive: MB is a million bytes, Mbit/s a million bits per second, MiB 1,048,576 bytes.";
    NOT_A_NUMBER = "E0052", "the quantity does not begin with a number",
        "A quantity is a decimal number (underscores between digits are allowed) and a unit, such as \"1_500ms\".";
    BAD_QUANTITY = "E0053", "a quantity that cannot be",
        "Sizes, speeds and durations are finite and not negative; where nothing would happen at 0, they are above 0.";
    INVERTED = "E0054", "a distribution the wrong way round",
        "low is below high, p5 below the median and the median below p95.";

    // The sense of a scenario.
    UNKNOWN_MODEL = "E0101", "a model that the scenario does not have",
        "Methods and device classes name models by the name of their table: [models.edge-m] is \"edge-m\".";
    UNKNOWN_CHECKPOINT = "E0102", "an unknown checkpoint",
        "`base` is zoo:NAME (shipped), dir:PATH (Hugging Face layout) or pretrain:FILE.toml (made once).";
    NO_ADAPTER = "E0103", "a model that trains has no adapter",
        "Bases stay frozen: what trains and travels is the adapter. Only models that are evaluated and never trained may do without.";
    COHORT = "E0104", "more devices than the fleet has",
        "A round waits for `cohort` updates, `concurrency` devices are at work at once and a `buffer` takes one update of a device for each model: none can be more than the devices there are.";
    MIN_UPDATES = "E0105", "min_updates is larger than the cohort",
        "A round ends with `cohort` updates, so that a larger `min_updates` would make every round void.";
    UNKNOWN_CLASS = "E0106", "a device class or region that the fleet does not have",
        "Faults name a class by the name of its table, or \"*\" for all; a partition may name a region, which classes name with `region`.";
    SHARES = "E0107", "the shares do not add up to 1",
        "`share` is a fraction of the fleet. Write `weight` in every class instead to have cotune normalise.";
    FEW_DEVICES = "E0108", "fewer devices than classes",
        "Every class of the fleet has at least one device, or it should not be written.";
    NO_PRIVATE_DATA = "E0109", "the parts of the corpus do not fit",
        "Public, validation and test examples are set aside first; the rest is private, and some must be left.";
    SPLIT = "E0110", "the split cannot be made",
        "Every device needs its fewest examples, so devices · min may not exceed the private examples.";
    UNKNOWN_DOMAIN = "E0111", "a domain that the corpus does not have",
        "The builtin corpus has the domains shop, med, law, lang, cal, unit, intent and edit.";
    NOTHING_HELD_OUT = "E0112", "nothing was held out to evaluate on",
        "Evaluation needs examples that nobody trains on.";
    NO_BUDGET = "E0113", "nothing ends the run",
        "[budget] needs at least one of virtual_time, rounds and uplink; the run ends at the first.";
    UNKNOWN_METRIC = "E0114", "an unknown metric",
        "Metric names are scope.metric.statistic, such as edge.rouge-l.mean or uplink.total_bytes.";
    FILE = "E0115", "a file cannot be read",
        "Paths are relative to the scenario file; data:X lies under the data folder (--data, or COTUNE_DATA).";
    NOT_THE_PROXY = "E0116", "only the proxy is distilled",
        "init.distill makes the base of the model that travels; the other models are loaded.";
    NO_PUBLIC_DATA = "E0117", "the cloud has nothing to learn from",
        "The cloud trains on the public part of the corpus. Set `public`, or its steps to 0.";
    BAD_ROW = "E0118", "a row of a file that cannot be understood",
        "Traces, samples and splits are read whole when a scenario is checked; the message names the line.";
    DOES_NOT_FIT = "E0119", "models that do not fit a class",
        "Weights, adapters with their optimizer and the activations of a batch have to be in memory at once, for all models of a round. The message has the numbers.";
    DEADLINE = "E0120", "a deadline that nobody can meet",
        "Even the fastest device of the fleet would need longer to download, work and upload, so every round would be void.";
    PLAN = "E0121", "the scenario cannot be planned",
        "Models, corpus, split and fleet are right in themselves and cannot be brought together. Scenarios whose bases are made on first use are planned when they run, not when they are checked.";

    // Read this before trusting the result.
    UNUSED_MODEL = "W0201", "a model that nothing uses",
        "Neither the method nor a device class names it.";
    PANEL = "W0202", "the panel is larger than the fleet",
        "All devices are evaluated.";
    SCHEDULE = "W0203", "a schedule without a number of rounds",
        "The learning rate falls over budget.rounds; without it, over the share of the budget that is used up.";
    RELAY_NEVER = "W0204", "a relay that never starts",
        "The run ends before the relay's first round, so that it measures the plain reconstruction.";
    SKIPPED = "W0205", "an expectation that will be skipped",
        "The method has no such model, so the metric is absent and the expectation neither passes nor fails.";
    UNUSED_SOURCES = "W0206", "sources that are not read",
        "[[data.source]] is read with corpus.sources only.";
    // W0207 is retired: batteries are simulated.
    UNMATCHED = "W0208", "a method that is not matched",
        "[fairness] scales the steps of methods that cotune has; what a step of another one is worth is not known to it.";
}
