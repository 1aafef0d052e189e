//! Lists the checkpoints under `zoo/` so that they are embedded: a checkpoint made by `cotune pretrain` is in
//! the next build without a line of code.

use std::{env, fmt::Write, fs, path::Path};

fn main() {
    let zoo = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join("zoo");
    println!("cargo::rerun-if-changed={}", zoo.display());
    let mut names: Vec<String> = fs::read_dir(&zoo)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| zoo.join(name).join("model.safetensors").is_file())
        .collect();
    names.sort();
    let mut code = String::from(
        "/// Every embedded checkpoint by name.\npub static MODELS: &[(&str, CheckpointFiles<'static>)] = &[\n",
    );
    for name in names {
        let file = |file: &str| format!("include_bytes!({:?})", zoo.join(&name).join(file));
        writeln!(
            code,
            "    ({name:?}, CheckpointFiles {{ config: {}, model: {}, tokenizer: {} }}),",
            file("config.json"),
            file("model.safetensors"),
            file("tokenizer.json")
        )
        .expect("a string takes any text");
    }
    code.push_str("];\n");
    let out = Path::new(&env::var("OUT_DIR").expect("set by cargo")).join("zoo.rs");
    fs::write(out, code).expect("the output directory is writable");
}
