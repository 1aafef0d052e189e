//! Writes the report of a made-up run, to look at: `cargo run -p cotune-report --example demo_report [FILE]`.

mod synthetic;

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "demo-report.html".into());
    let run = synthetic::synthetic("city-clinics", 100, 60, 32);
    print!("{}", cotune_report::terminal(&run.summary));
    std::fs::write(&path, run.report())?;
    eprintln!("wrote {path}");
    Ok(())
}
