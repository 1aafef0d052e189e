//! Decoder language models, adapters, tokenizers, alignment, losses, corpora and metrics of cotune.
