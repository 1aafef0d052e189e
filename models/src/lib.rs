//! Decoder language models and everything that is done with them in co-tuning.
//!
//! # Map
//!
//! | what it is about        | files |
//! |-------------------------|-------|
//! | text                    | [`corpus`] (invented worlds, readers), [`tokenizer`], [`align`] (token links), [`metrics`] |
//! | a model                 | [`spec`] (shape), [`checkpoint`] (its files), [`base`] (frozen weights), [`zoo`] (embedded ones), `decoder` (forward pass), [`kernels`] |
//! | what is trained         | [`adapter`] (LoRA in one flat buffer), [`peft`] (its files), [`low_rank`] (sums of adapters of different ranks), [`optimizer`] (AdamW, SGD), [`learner`] (steps, of one or of several at once), [`mutual`] (SAML) |
//! | what is read            | [`batch`] (padding), [`generate`] (text with a cache), [`score`] (losses, soft labels), [`knowledge`] (top-K logits that can be sent) |
//! | making a base           | [`pretrain`] |
//! | what it costs           | [`cost`] |
//! | where it computes       | [`device`] |
//!
//! burn's types appear in no public signature. A frozen [`base::Base`] is shared by all simulated devices; what a
//! device owns is a [`learner::Trained`]: plain values that travel, are averaged and stored.

pub mod adapter;
pub mod align;
pub mod base;
pub mod batch;
pub mod checkpoint;
pub mod cores;
pub mod corpus;
pub mod cost;
mod decoder;
pub mod device;
pub mod generate;
pub mod kernels;
pub mod knowledge;
pub mod learner;
pub mod low_rank;
pub mod metrics;
pub mod mutual;
pub mod optimizer;
pub mod peft;
pub mod pretrain;
pub mod score;
pub mod spec;
pub mod tokenizer;
pub mod zoo;
