//! Quantities with units.

use cotune_scenario::units::{self, Dimension, Mistake};

#[test]
fn every_unit_has_its_size() {
    let table: &[(&Dimension, &str, f64)] = &[
        (&units::TIME, "3ns", 3e-9),
        (&units::TIME, "35 us", 35e-6),
        (&units::TIME, "35ms", 0.035),
        (&units::TIME, "1.5s", 1.5),
        (&units::TIME, "25min", 1500.0),
        (&units::TIME, "-3h", -10_800.0),
        (&units::TIME, "1e-1d", 8640.0),
        (&units::SIZE, "1_500B", 1500.0),
        (&units::SIZE, "20GB", 20e9),
        (&units::SIZE, "6GiB", 6_442_450_944.0),
        (&units::SIZE, "1TiB", 1_099_511_627_776.0),
        (&units::RATE, "80Mbit/s", 10e6),
        (&units::RATE, "10Gbit/s", 1.25e9),
        (&units::RATE, "8bit/s", 1.0),
        (&units::RATE, "50GB/s", 50e9),
        (&units::COMPUTE, "900GFLOP/s", 900e9),
        (&units::COMPUTE, "1PFLOP/s", 1e15),
        (&units::POWER, "150mW", 0.15),
        (&units::ENERGY, "17Wh", 61_200.0),
        (&units::ENERGY, "1kWh", 3.6e6),
        (&units::PRICE_PER_TIME, "3.60USD/h", 0.001),
        (&units::PRICE_PER_SIZE, "0.08USD/GB", 8e-11),
        (&units::HAZARD, "36/h", 0.01),
        (&units::HAZARD, "6/min", 0.1),
        (&units::HAZARD, "86.4/d", 0.001),
        (&units::PER_TRANSFER, "0.01/transfer", 0.01),
        (&units::PARAMETERS, "7.6B", 7.6e9),
        (&units::PARAMETERS, "350M", 350e6),
        (&units::PARAMETERS, "12k", 12e3),
        (&units::CARBON, "360gCO2/kWh", 1e-4),
    ];
    for (dimension, text, si) in table {
        assert_eq!(units::parse(dimension, text), Ok(*si), "{text}");
    }
    for text in ["", "min", "_1s", "1_s", "1__0s", "--1s", "1.2.3s", "NaNs", "infs", "1e999s"] {
        assert_eq!(units::parse(&units::TIME, text), Err(Mistake::NotANumber), "{text}");
    }
    for text in ["25MIN", "25m", "25 minutes", "25bit/s", "25ss"] {
        assert!(matches!(units::parse(&units::TIME, text), Err(Mistake::UnknownUnit(..))), "{text}");
    }
    assert_eq!(units::parse(&units::TIME, "25"), Err(Mistake::NoUnit("25".to_owned(), 25.0)));
}

#[test]
fn the_example_of_every_unit_is_right() {
    for dimension in units::ALL {
        assert!(units::parse(dimension, dimension.example).is_ok(), "{}", dimension.example);
        for common in dimension.common {
            assert!(dimension.units.iter().any(|(symbol, _)| symbol == common), "{common}");
        }
    }
}

#[test]
fn tidy_numbers_survive_the_text_of_a_lock_file() {
    for step in 0..200_000u32 {
        // From 1e-20 to 1e20, no two with the same digits.
        let number = 10f64.powf(f64::from(step) / 5_000.0 - 20.0);
        let tidy = units::tidy(number);
        let text = serde_json::to_string(&tidy).expect("a number becomes JSON");
        let again: f64 = serde_json::from_str(&text).expect("it is a number");
        assert_eq!(again.to_bits(), tidy.to_bits(), "{number:e}");
        assert_eq!(units::tidy(tidy).to_bits(), tidy.to_bits(), "{number:e}");
        if number > 1e-7 {
            assert!((tidy / number - 1.0).abs() < 1e-14, "{number:e} became {tidy:e}");
        }
    }
}
