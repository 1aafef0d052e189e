//! What may be typed after `cotune model` and `cotune pretrain`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use cotune_models::device::DeviceChoice;

use super::{TalkFlags, device};

/// `cotune model …`.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Shape, size and tokenizer.
    Show(ModelShow),
    /// Continue a prompt.
    Generate(ModelGenerate),
    /// How the tokens of two models belong together over one text.
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

/// `cotune model generate`.
#[derive(Args, Debug)]
pub struct ModelGenerate {
    /// `zoo:NAME`, or the folder of a checkpoint.
    #[arg(value_name = "zoo:NAME|DIR")]
    pub model: String,
    /// The text to continue, as it is; the zoo's models know $'Q: …\nA:'.
    #[arg(long)]
    pub prompt: String,
    /// The most tokens to add.
    #[arg(long, value_name = "N", default_value = "48")]
    pub max_tokens: NonZeroUsize,
    /// Draw from softmax(logits / T) instead of taking the likeliest token.
    #[arg(long, value_name = "T", value_parser = temperature)]
    pub temperature: Option<f64>,
    /// The seed to draw with.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Where to compute: auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto", value_parser = device)]
    pub device: DeviceChoice,
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
    /// The text.
    pub text: String,
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

fn temperature(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a temperature is a number above 0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temperature_is_above_zero() {
        assert_eq!(temperature("0.7"), Ok(0.7));
        assert!(["0", "-1", "inf", "warm"].iter().all(|text| temperature(text).is_err()));
    }
}
