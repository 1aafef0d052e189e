mod common;
use common::*;
#[test]
fn tmp() {
    for f in ["city-clinics.toml", "small.toml"] {
        match parse("good", f).and_then(|d| d.check(&ZOO)) {
            Ok(c) => println!("{}\n{}", c.scenario.to_lock_json(), c.warnings),
            Err(e) => panic!("{e}"),
        }
    }
}
