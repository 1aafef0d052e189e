//! What may be typed after `cotune model` and `cotune pretrain`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use cotune_models::align::{Align, AlignSpec, Vocab};
use cotune_models::checkpoint::Precision;
use cotune_models::device::DeviceChoice;

use super::{TalkFlags, device};

/// `cotune model …`.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Shape, size and tokenizer.
    Show(ModelShow),
    /// Log-probabilities of tokens or a text.
    Score(ModelScore),
    /// Continue prompts.
    Generate(ModelGenerate),
    /// Write a checkpoint in Hugging Face's layout.
    Convert(ModelConvert),
    /// How the tokens of two models belong together over one text.
    ///
    /// Linked are the rows that predict two tokens: under `bytes`, where both models have read the same.
    Align(ModelAlign),
}

/// `cotune model show`.
#[derive(Args, Debug)]
pub struct ModelShow {
    /// `zoo:NAME`, or the folder of a checkpoint.
    #[arg(value_name = "zoo:NAME|DIR")]
    pub model: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `cotune model score`.
#[derive(Args, Debug)]
pub struct ModelScore {
    /// `zoo:NAME`, or the folder of a checkpoint.
    #[arg(value_name = "zoo:NAME|DIR")]
    pub model: String,
    /// Token ids as they are, such as 1,2,3; nothing is put before them.
    #[arg(long, value_name = "IDS", value_delimiter = ',', required_unless_present = "text")]
    pub ids: Vec<u32>,
    /// A text, with the special tokens that the tokenizer puts before it.
    #[arg(long, conflicts_with = "ids")]
    pub text: Option<String>,
    /// A LoRA in PEFT's layout to attach; repeatable.
    #[arg(long, value_name = "DIR")]
    pub adapter: Vec<PathBuf>,
    /// Print JSON: `logprobs`, one number fewer than there are ids.
    #[arg(long)]
    pub json: bool,
    /// Print the scores of the whole vocabulary as well.
    #[arg(long, requires = "json")]
    pub logits: bool,
    /// Where to compute: auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto", value_parser = device)]
    pub device: DeviceChoice,
}

/// `cotune model generate`.
#[derive(Args, Debug)]
pub struct ModelGenerate {
    /// `zoo:NAME`, or the folder of a checkpoint.
    #[arg(value_name = "zoo:NAME|DIR")]
    pub model: String,
    /// A text to continue; repeatable; the zoo's models know $'Q: …\nA:'.
    #[arg(long, value_name = "TEXT", required_unless_present = "ids")]
    pub prompt: Vec<String>,
    /// Token ids to continue, such as 1,2,3, with or without a tokenizer.
    #[arg(long, value_name = "IDS", value_delimiter = ',', conflicts_with = "prompt")]
    pub ids: Vec<u32>,
    /// The most tokens to add.
    #[arg(long, value_name = "N", default_value = "48")]
    pub max_tokens: NonZeroUsize,
    /// Draw from softmax(logits / T) instead of taking the likeliest token.
    #[arg(long, value_name = "T", value_parser = temperature)]
    pub temperature: Option<f64>,
    /// Draw only from the likeliest tokens that together reach the probability P.
    #[arg(long, value_name = "P", value_parser = probability)]
    pub top_p: Option<f64>,
    /// The seed to draw with.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// A LoRA in PEFT's layout to attach; repeatable.
    #[arg(long, value_name = "DIR")]
    pub adapter: Vec<PathBuf>,
    /// Print a JSON array, one {ids, text, finished} a prompt.
    #[arg(long)]
    pub json: bool,
    /// Where to compute: auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto", value_parser = device)]
    pub device: DeviceChoice,
}

/// `cotune model convert`.
#[derive(Args, Debug)]
pub struct ModelConvert {
    /// `zoo:NAME`, the folder of a checkpoint, or a llama2.c file (version 0).
    #[arg(value_name = "zoo:NAME|DIR|FILE.bin")]
    pub from: String,
    /// The folder to make; nothing is overwritten.
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// A tokenizer.json, or llama2.c's tokenizer, instead of the model's own.
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// How to store the weights: f32, f16 or bf16 [default: as they are].
    #[arg(long, value_name = "FORMAT")]
    pub precision: Option<Precision>,
}

/// `cotune model align`.
#[derive(Args, Debug)]
pub struct ModelAlign {
    /// The model that teaches.
    #[arg(long, value_name = "zoo:NAME|DIR")]
    pub from: String,
    /// The model that learns.
    #[arg(long, value_name = "zoo:NAME|DIR")]
    pub to: String,
    /// How to match: bytes, or dtw with nearest tokens.
    #[arg(long, value_name = "RULE", default_value = "bytes", value_parser = alignment)]
    pub align: AlignSpec,
    /// The text.
    pub text: String,
    /// Print a JSON array.
    #[arg(long)]
    pub json: bool,
}

/// `cotune pretrain`.
#[derive(Args, Debug)]
pub struct Pretrain {
    /// Recipes.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The checkpoint's folder [default: the recipe's path without its extension].
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Where to train: auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto", value_parser = device)]
    pub device: DeviceChoice,
    /// What `data:` in a recipe stands for.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub talk: TalkFlags,
}

fn alignment(text: &str) -> Result<AlignSpec, String> {
    match text {
        "bytes" => Ok(AlignSpec::default()),
        "dtw" => Ok(AlignSpec { align: Align::Dtw, vocab: Vocab::Edit, ..AlignSpec::default() }),
        _ => Err("tokens are matched by `bytes` or by `dtw`".to_owned()),
    }
}

fn temperature(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a temperature is a number above 0".to_owned())
}

fn probability(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && *number <= 1.0);
    number.ok_or_else(|| "a probability is a number above 0, at most 1".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn a_temperature_is_above_zero() {
        assert_eq!(temperature("0.7"), Ok(0.7));
        assert!(["0", "-1", "inf", "warm"].iter().all(|text| temperature(text).is_err()));
    }

    #[test]
    fn a_probability_is_above_zero_and_at_most_one() {
        assert_eq!(probability("1"), Ok(1.0));
        assert!(["0", "-0.1", "1.1", "nan", "high"].iter().all(|text| probability(text).is_err()));
    }

    #[test]
    fn the_help_of_every_command_fits_a_screen() {
        let mut cotune = crate::arguments::Arguments::command();
        cotune.build();
        let model = cotune.find_subcommand_mut("model").expect("there is `cotune model`");
        assert!(model.render_help().to_string().lines().count() <= 24);
        for command in model.get_subcommands_mut() {
            let help = command.render_help().to_string();
            assert!(help.lines().count() <= 24, "{help}");
        }
    }
}
