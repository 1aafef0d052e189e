//! `adapter_config.json` of a LoRA.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Keys that say nothing about what an adapter computes, or that [`Config::read`] looks at one by one.
const READ: [&str; 25] = [
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "target_modules",
    "task_type",
    "use_rslora",
];

/// Ways to start an adapter that leave the base as it was.
const STARTS: [&str; 3] = ["gaussian", "orthogonal", "eva"];

/// What `adapter_config.json` says of a LoRA.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Config {
    /// Rank of the modules that no pattern names.
    pub rank: usize,
    /// Numerator of their scale.
    pub alpha: f64,
    /// Whether the scale is `alpha / √rank` (Kalajdzievski 2023, arXiv 2312.03732), not `alpha / rank`.
    pub rslora: bool,
    /// Ends of the paths of the adapted modules; none where a regular expression says it.
    pub targets: Option<Vec<String>>,
    /// The adapted blocks; none is all.
    pub layers: Option<Vec<usize>>,
    /// Ends of the paths of the modules that are trained whole.
    pub saved: Vec<String>,
    /// Ranks of single modules, by the ends of their paths.
    pub rank_pattern: BTreeMap<String, f64>,
    /// Numerators of their scales.
    pub alpha_pattern: BTreeMap<String, f64>,
    /// Whether embedding and head stay one matrix where they are one in the base.
    pub ties: bool,
    /// Whether the linear maps lie as `[inputs, outputs]`; of no meaning for the adapter's own tensors.
    pub conv1d: bool,
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// In words: what is missing, malformed, or not implemented.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let keys: Map<String, Value> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let keys = Keys(keys);
        match keys.get("peft_type") {
            Some(Value::String(kind)) if kind == "LORA" => {}
            Some(kind) => return Err(format!("peft_type {kind} is not implemented: \"LORA\" is")),
            None => return Err("has no `peft_type`".to_string()),
        }
        for (key, value) in &keys.0 {
            if !READ.contains(&key.as_str()) && !means_nothing(value) {
                return Err(format!("`{key}` = {value} is not implemented"));
            }
        }
        match keys.get("bias") {
            None => {}
            Some(Value::String(bias)) if bias == "none" => {}
            Some(bias) => return Err(format!("`bias` = {bias} is not implemented: \"none\" is")),
        }
        match keys.get("init_lora_weights") {
            None | Some(Value::Bool(_)) => {}
            Some(Value::String(start)) if STARTS.contains(&start.as_str()) => {}
            Some(start) => {
                return Err(format!("`init_lora_weights` = {start} changes the base: not implemented"));
            }
        }
        let rank = keys.number("r")?.ok_or("has no `r`")?;
        if rank < 1.0 || rank.fract() != 0.0 {
            return Err(format!("`r` is {rank}, not a rank"));
        }
        Ok(Self {
            rank: rank as usize,
            alpha: keys.number("lora_alpha")?.ok_or("has no `lora_alpha`")?,
            rslora: keys.flag("use_rslora")?,
            targets: match keys.get("target_modules") {
                Some(Value::Array(_)) if keys.get("exclude_modules").is_none() => {
                    Some(keys.names("target_modules")?)
                }
                _ => None,
            },
            layers: keys.layers()?,
            saved: keys.names("modules_to_save")?,
            rank_pattern: keys.pattern("rank_pattern")?,
            alpha_pattern: keys.pattern("alpha_pattern")?,
            ties: keys.flag("ensure_weight_tying")?,
            conv1d: keys.flag("fan_in_fan_out")?,
        })
    }

    /// Whether a module of block `block` is adapted; `None` where only the tensors of the file say it.
    pub(super) fn targets(&self, module: &str, block: usize) -> Option<bool> {
        let targets = self.targets.as_ref()?;
        let in_layers = self.layers.as_ref().is_none_or(|layers| layers.contains(&block));
        Some(in_layers && targets.iter().any(|end| ends_at_dot(module, end)))
    }

    /// Whether a module is trained whole. PEFT compares without regard to dots here.
    pub(super) fn saves(&self, module: &str) -> bool {
        self.saved.iter().any(|end| module.ends_with(end.as_str()))
    }

    /// Rank of a module and the scale of its update.
    ///
    /// # Errors
    /// Two patterns name the module and differ, or the rank is none.
    pub(super) fn rank_and_scale(&self, module: &str) -> Result<(usize, f64), String> {
        let rank = named(&self.rank_pattern, "rank_pattern", module)?.unwrap_or(self.rank as f64);
        let alpha = named(&self.alpha_pattern, "alpha_pattern", module)?.unwrap_or(self.alpha);
        if rank < 1.0 || rank.fract() != 0.0 {
            return Err(format!("`rank_pattern` gives `{module}` the rank {rank}"));
        }
        Ok((rank as usize, alpha / if self.rslora { rank.sqrt() } else { rank }))
    }

    /// Writes the file as PEFT does, without the keys whose defaults hold.
    pub(super) fn write(&self) -> Vec<u8> {
        let whole = |number: f64| if number.fract() == 0.0 { json!(number as i64) } else { json!(number) };
        let pattern = |pattern: &BTreeMap<String, f64>| -> Map<String, Value> {
            pattern.iter().map(|(end, number)| (end.clone(), whole(*number))).collect()
        };
        let keys = json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": null,
            "inference_mode": true,
            "r": self.rank,
            "lora_alpha": whole(self.alpha),
            "lora_dropout": 0.0,
            "use_rslora": self.rslora,
            "bias": "none",
            "fan_in_fan_out": self.conv1d,
            "target_modules": self.targets,
            "rank_pattern": pattern(&self.rank_pattern),
            "alpha_pattern": pattern(&self.alpha_pattern),
            "modules_to_save": if self.saved.is_empty() { Value::Null } else { json!(self.saved) },
        });
        let mut text = serde_json::to_vec_pretty(&keys).expect("keys are JSON");
        text.push(b'\n');
        text
    }
}

/// Whether the path of a module is `end`, or ends with it behind a dot.
fn ends_at_dot(module: &str, end: &str) -> bool {
    module.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// What a pattern says of a module.
fn named(pattern: &BTreeMap<String, f64>, key: &str, module: &str) -> Result<Option<f64>, String> {
    let mut found = pattern.iter().filter(|(end, _)| ends_at_dot(module, end)).map(|(_, number)| *number);
    let first = found.next();
    match found.find(|other| Some(*other) != first) {
        Some(_) => Err(format!("`{key}` names `{module}` twice")),
        None => Ok(first),
    }
}

/// Whether a key might as well not be there.
fn means_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

struct Keys(Map<String, Value>);

impl Keys {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !matches!(value, Value::Null))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, String> {
        let number =
            |value: &Value| value.as_f64().ok_or_else(|| format!("`{key}` is {value}, not a number"));
        self.get(key).map(number).transpose()
    }

    fn flag(&self, key: &str) -> Result<bool, String> {
        let flag =
            |value: &Value| value.as_bool().ok_or_else(|| format!("`{key}` is {value}, not true or false"));
        self.get(key).map_or(Ok(false), flag)
    }

    fn names(&self, key: &str) -> Result<Vec<String>, String> {
        let wrong = || format!("`{key}` is {}, not a list of names", self.0[key]);
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(names)) => {
                names.iter().map(|name| name.as_str().map(str::to_string).ok_or_else(wrong)).collect()
            }
            Some(_) => Err(wrong()),
        }
    }

    fn layers(&self) -> Result<Option<Vec<usize>>, String> {
        let wrong = |value: &Value| format!("`layers_to_transform` is {value}, not numbers of layers");
        let one = |value: &Value| value.as_u64().map(|layer| layer as usize).ok_or_else(|| wrong(value));
        match self.get("layers_to_transform") {
            None => Ok(None),
            Some(Value::Array(layers)) if layers.is_empty() => Ok(None),
            Some(Value::Array(layers)) => layers.iter().map(one).collect::<Result<_, _>>().map(Some),
            Some(layer) => Ok(Some(vec![one(layer)?])),
        }
    }

    /// Names of modules with a number each. PEFT reads the names as regular expressions; plain ones are implemented.
    fn pattern(&self, key: &str) -> Result<BTreeMap<String, f64>, String> {
        let wrong = |value: &Value| format!("`{key}` is {value}, not numbers by module");
        let fields = match self.get(key) {
            None => return Ok(BTreeMap::new()),
            Some(Value::Object(fields)) => fields,
            Some(other) => return Err(wrong(other)),
        };
        let one = |(end, value): (&String, &Value)| {
            let end = end.replace("\\.", ".");
            if !end.chars().all(|letter| letter.is_alphanumeric() || "._".contains(letter)) {
                return Err(format!(
                    "`{key}` has the regular expression `{end}`: only names are implemented"
                ));
            }
            value.as_f64().map(|number| (end, number)).ok_or_else(|| wrong(value))
        };
        fields.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(keys: &str) -> Result<Config, String> {
        Config::read(format!(r#"{{"peft_type": "LORA", "r": 4, "lora_alpha": 8{keys}}}"#).as_bytes())
    }

    #[test]
    fn what_was_written_is_read() {
        let config = Config {
            rank: 4,
            alpha: 6.5,
            targets: Some(vec!["c_attn".to_string(), "attn.c_proj".to_string()]),
            saved: vec!["wte".to_string()],
            rank_pattern: [("c_attn".to_string(), 12.0)].into(),
            alpha_pattern: [("c_attn".to_string(), 19.5)].into(),
            conv1d: true,
            ..Config::default()
        };
        assert_eq!(Config::read(&config.write()), Ok(config.clone()));
        assert_eq!(config.rank_and_scale("transformer.h.0.attn.c_attn"), Ok((12, 1.625)));
        assert_eq!(config.rank_and_scale("transformer.h.0.attn.c_proj"), Ok((4, 1.625)));
    }

    #[test]
    fn names_of_modules_match_at_a_dot_as_in_peft() {
        let config =
            with(r#", "target_modules": ["c_proj", "attn.c_attn"], "layers_to_transform": 1"#).unwrap();
        assert_eq!(config.targets("transformer.h.1.mlp.c_proj", 1), Some(true));
        assert_eq!(config.targets("transformer.h.0.mlp.c_proj", 0), Some(false));
        assert_eq!(config.targets("transformer.h.1.cross.attn.c_attn", 1), Some(true));
        assert_eq!(config.targets("transformer.h.1.crossattn.c_attn", 1), Some(false));
        assert_eq!(with(r#", "target_modules": ".*_proj""#).unwrap().targets("a.q_proj", 0), None);
    }

    #[test]
    fn what_is_not_implemented_is_named() {
        for (keys, named) in [
            (r#", "use_dora": true"#, "`use_dora` = true"),
            (r#", "bias": "lora_only""#, "`bias` = \"lora_only\""),
            (r#", "lora_bias": true"#, "`lora_bias`"),
            (r#", "layer_replication": [[0, 2]]"#, "`layer_replication`"),
            (r#", "trainable_token_indices": [1]"#, "`trainable_token_indices`"),
            (r#", "a_key_of_tomorrow": 3"#, "`a_key_of_tomorrow` = 3"),
            (r#", "init_lora_weights": "pissa""#, "`init_lora_weights` = \"pissa\""),
            (r#", "rank_pattern": {"^model.*q_proj": 8}"#, "regular expression"),
            (r#", "modules_to_save": "lm_head""#, "`modules_to_save` is \"lm_head\""),
        ] {
            let error = with(keys).unwrap_err();
            assert!(error.contains(named), "{keys}: {error}");
        }
        assert!(Config::read(br#"{"peft_type": "IA3"}"#).unwrap_err().contains("\"IA3\""));
        assert_eq!(
            with(r#", "layers_to_transform": [-1]"#).unwrap_err(),
            "`layers_to_transform` is -1, not numbers of layers"
        );
    }
}
