//! Trains a LoRA on one sequence of token ids and writes it in PEFT's layout.
//!
//! ```sh
//! cargo run --release --example tune_lora -- BASE ADAPTER q,v,norms 5,17,3,9
//! ```
//!
//! BASE is a checkpoint in Hugging Face's layout; the third word names what is trained: linear maps (`q`, `k`, `v`,
//! `qkv`, `o`, `gate`, `up`, `down`) and parts of the base (`embeddings`, `norms`).

use std::error::Error;
use std::path::Path;

use cotune_kernel::stream::Stream;
use cotune_models::adapter::{Layout, LoraSpec};
use cotune_models::base::Base;
use cotune_models::batch::{Batch, Sequence};
use cotune_models::device::Compute;
use cotune_models::learner::{Learner, Trained};
use cotune_models::optimizer::AdamW;
use cotune_models::peft;
use serde::de::DeserializeOwned;

const STEPS: usize = 20;
const LEARNING_RATE: f64 = 2e-2;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, adapter, trained, ids] = arguments.as_slice() else {
        return Err("give BASE, ADAPTER, what is trained, and ids".into());
    };
    let base = Base::load_bare(Path::new(base), &Compute::cpu())?;
    let words: Vec<&str> = trained.split(',').collect();
    let lora = LoraSpec { rank: 4, alpha: 8.0, targets: known(&words), modules_to_save: known(&words) };
    let ids: Vec<u32> = ids.split(',').map(str::parse).collect::<Result<_, _>>()?;

    let layout = Layout::lora(base.spec(), &lora);
    let values = layout.init(&mut Stream::keyed(1, "adapter"), |tensor| base.host_values(tensor));
    let state = Trained { values, ..Trained::default() };
    let sequence = Sequence { prompt: ids[..1].to_vec(), answer: ids[1..].to_vec() };
    let mut learner = Learner::new(&base, &layout, &state, AdamW::default());
    for step in 0..STEPS {
        learner.tune(Batch::pack(&[&sequence], base.pad()), LEARNING_RATE);
        if step == 0 || step + 1 == STEPS {
            println!("step {:>2}: loss {:.4}", step + 1, learner.latest_loss());
        }
    }
    peft::write(Path::new(adapter), base.spec(), &lora, &learner.finish().0.values)?;
    println!("{adapter}: {} values", layout.total());
    Ok(())
}

/// The words that are names of a `T`.
fn known<T: DeserializeOwned>(words: &[&str]) -> Vec<T> {
    words.iter().filter_map(|word| serde_json::from_value((*word).into()).ok()).collect()
}
