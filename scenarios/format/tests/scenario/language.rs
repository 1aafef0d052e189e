//! What a scenario means: every section, every default.

use cotune_scenario::coordination::{Buffered, Coordination, Synchronous};
use cotune_scenario::data::{Corpus, Half, Layout, Portion, Split};
use cotune_scenario::evaluation::{Every, Metric};
use cotune_scenario::fault::{Classes, Corruption, Fault, Part};
use cotune_scenario::fleet::Availability;
use cotune_scenario::method::{
    Adaptive, Aggregate, Combine, Local, Method, Optimizer, Ranks, ServerOptimizer, VocabularyMap,
};
use cotune_scenario::transfer::Encoding;
use cotune_scenario::{Distribution, Scenario, Severity, units};

use crate::common::{ZOO, changed, good, parse, parse_text, read, with};

#[test]
fn the_example_of_the_design_is_read_in_si_units() {
    let scenario = good("city-clinics.toml");
    assert_eq!((scenario.name.as_str(), scenario.seed, scenario.fleet.devices), ("city-clinics", 1, 100));

    let billed = scenario.models["cloud"].bill_as.as_ref().expect("it is billed as a 7B");
    assert_eq!((billed.params, billed.layers, billed.width), (7_600_000_000, 34, 4352));

    let phone = &scenario.fleet.classes["phone"];
    let z95 = 1.644_853_626_951_472_2;
    let Distribution::LogNormal { median, sigma } = phone.compute_flops_per_second else {
        panic!("it is lognormal")
    };
    assert_eq!(median, 900e9);
    assert!((median * (sigma * z95).exp() / 1.6e12 - 1.0).abs() < 1e-12, "p95 comes back");
    let Distribution::LogNormal { median, sigma } = phone.link.down_bytes_per_second else {
        panic!("it is lognormal")
    };
    assert_eq!(median, 10e6);
    assert!((median * (-sigma * z95).exp() / 1e6 - 1.0).abs() < 1e-12, "p5 comes back");
    assert_eq!(phone.memory_bytes, 6 << 30);
    assert_eq!(phone.battery.as_ref().map(|battery| battery.capacity_joules), Some(61_200.0));
    assert_eq!(phone.link.drop_per_transfer, 0.01);
    let Availability::Diurnal(diurnal) = &phone.availability else { panic!("it is diurnal") };
    assert_eq!((diurnal.peak_seconds, diurnal.online_at_trough), (9000.0, 0.08));
    assert_eq!(diurnal.timezone_seconds, Distribution::Uniform { low: -10_800.0, high: 10_800.0 });

    let price = scenario.cloud.price.as_ref().expect("it has a price");
    assert_eq!((price.compute_usd_per_second, price.egress_usd_per_byte), (6.66666666666667e-4, 8e-11));
    assert_eq!(scenario.data.sizes(8000).expect("they fit").private, 6400);
    let Coordination::Sync(sync) = &scenario.coordination else { panic!("it is sync") };
    assert_eq!((sync.invited(100), sync.deadline_seconds), (42, Some(1500.0)));
    let crash = Fault::Crash { class: Classes::All, rate_per_second: units::tidy(0.02 / 3600.0) };
    assert_eq!(scenario.faults[0], crash);
    assert!(matches!(scenario.faults[1..], [Fault::Corrupt { .. }, Fault::CloudRestart { .. }]));
    let int8 = Encoding::Int8 { block: 64, error_feedback: true };
    assert_eq!((&scenario.transfer.up, &scenario.transfer.down), (&int8, &Encoding::None));
    assert_eq!(scenario.evaluation.every, Every::Rounds(5));
    assert_eq!(scenario.evaluation.metrics, [Metric::Loss, Metric::RougeL, Metric::ExactMatch]);
    assert_eq!(scenario.budget.uplink_bytes, Some(20_000_000_000));
    let Method::CoPlms(method) = &scenario.method else { panic!("it is co-plms") };
    assert_eq!(
        (method.device_steps.tune, method.device_steps.mutual, method.cloud_steps.mutual),
        (20, 20, 40)
    );
}

#[test]
fn the_least_scenario_gets_every_default() {
    let scenario = good("small.toml");
    let Coordination::Sync(sync) = &scenario.coordination else { panic!("it is sync") };
    assert_eq!(*sync, Synchronous { cohort: 4, overcommit: 1.0, deadline_seconds: None, min_updates: 1 });
    let parts = (scenario.data.public, scenario.data.validation, scenario.data.test, scenario.data.private);
    assert_eq!(parts, (Portion::Count(50), Portion::Count(50), Portion::Count(100), Some(800)));
    assert_eq!(scenario.data.split, Split::Iid);
    assert_eq!(scenario.fleet.classes["phone"].share, 1.0);
    assert_eq!(scenario.evaluation.panel, 4);
}

#[test]
fn every_coordination_is_read_and_none_is_larger_than_the_fleet() {
    let coordination = |written: &str| changed("small.toml", &[("coordination", written)]).coordination;
    let buffered = |concurrency, buffer, max_staleness, staleness_exponent| Buffered {
        concurrency,
        buffer,
        max_staleness,
        staleness_exponent,
    };
    assert_eq!(coordination("'buffered'"), Coordination::Buffered(buffered(4, 4, None, 0.5)));
    assert_eq!(
        coordination(
            "{ buffered = { concurrency = 3, buffer = 2, max_staleness = 5, staleness_exponent = 1 } }"
        ),
        Coordination::Buffered(buffered(3, 2, Some(5), 1.0))
    );
    let asynchronous = coordination("{ async = { concurrency = 2 } }");
    assert_eq!(asynchronous, Coordination::Async(buffered(2, 1, None, 0.5)));
    assert_eq!((asynchronous.invited(4), asynchronous.updates_per_round(4)), (2, 1));
    assert_eq!(asynchronous.deadline_seconds(), None);
    let rounds = coordination("{ sync = { deadline = '5min' } }");
    assert_eq!((rounds.invited(4), rounds.deadline_seconds()), (4, Some(300.0)));
    let many = changed("city-clinics.toml", &[("coordination", "'buffered'")]).coordination;
    assert_eq!(many, Coordination::Buffered(buffered(100, 10, None, 0.5)), "FedBuff's buffer");
}

#[test]
fn every_fault_is_read() {
    let text = read("good", "small.toml")
        .replace("[fleet.class.phone]", "[fleet.class.phone]\nregion = 'eu'\nmemory_free = 0.5");
    let text = format!(
        "{text}
[[fault]]
partition = {{ region = 'eu', at = '1h', lasts = '10min' }}
[[fault]]
partition = {{ class = 'phone', at = '2h', lasts = '90s' }}
[[fault]]
corrupt = {{ fraction = 0.1, how = 'nan' }}
[[fault]]
corrupt = {{ class = 'phone', fraction = 1, how = 'bit-flip' }}
[[fault]]
corrupt = {{ fraction = 0.5, how = 'scale', factor = -10 }}
[[fault]]
cloud_restart = {{ at = '20h', outage = '4min' }}
"
    );
    let document = parse_text("good", "faults.toml", &text).expect("it is TOML");
    let scenario = document.check(&ZOO).unwrap_or_else(|diagnostics| panic!("{diagnostics}")).scenario;
    assert_eq!(scenario.fleet.classes["phone"].memory_free, 0.5);
    let partition = |part, at_seconds, lasts_seconds| Fault::Partition { part, at_seconds, lasts_seconds };
    let phones = Classes::Named("phone".to_owned());
    assert_eq!(
        scenario.faults,
        [
            partition(Part::Region("eu".to_owned()), 3600.0, 600.0),
            partition(Part::Class(phones.clone()), 7200.0, 90.0),
            Fault::Corrupt { class: Classes::All, fraction: 0.1, how: Corruption::Nan },
            Fault::Corrupt { class: phones, fraction: 1.0, how: Corruption::BitFlip },
            Fault::Corrupt { class: Classes::All, fraction: 0.5, how: Corruption::Scale { factor: -10.0 } },
            Fault::CloudRestart { at_seconds: 72_000.0, outage_seconds: 240.0 },
        ]
    );
    let again = Scenario::from_lock_json(&scenario.to_lock_json()).expect("a lock file");
    assert_eq!(again, scenario);
}

#[test]
fn every_aggregation_is_read() {
    for (written, expected) in [
        ("'mean'", Aggregate::Weighted),
        ("'weighted'", Aggregate::Weighted),
        ("'uniform'", Aggregate::Uniform),
        ("'median'", Aggregate::Median),
        ("'norm-clip'", Aggregate::NormClip { norm: None }),
        ("{ norm-clip = { norm = 2.5 } }", Aggregate::NormClip { norm: Some(2.5) }),
        ("'trimmed-mean'", Aggregate::TrimmedMean { trim: 0.1 }),
        ("{ krum = { byzantine = 2, keep = 3 } }", Aggregate::Krum { byzantine: Some(2), keep: 3 }),
    ] {
        let scenario = changed("small.toml", &[("method.co-plms.aggregate", written)]);
        let Method::CoPlms(method) = scenario.method else { panic!("it is co-plms") };
        assert_eq!(method.aggregate, expected, "{written}");
    }
}

#[test]
fn every_method_of_this_version_is_read() {
    for (written, name) in [
        ("'zero-shot'", "zero-shot"),
        ("{ standalone = { public = true, cloud = false } }", "standalone"),
        ("{ fedavg = { on = 'edge', aggregate = 'uniform' } }", "fedavg"),
        ("{ fedavg = { on = 'proxy' } }", "fedavg"),
        ("{ co-plms = {} }", "co-plms"),
    ] {
        assert_eq!(changed("small.toml", &[("method", written)]).method.name(), name, "{written}");
    }
    let dtw =
        changed("small.toml", &[("method.co-plms.saml", "{ align = 'dtw', combine = { convex = 0.9 } }")]);
    let Method::CoPlms(method) = dtw.method else { panic!("it is co-plms") };
    assert_eq!(
        (method.saml.vocab, method.saml.combine),
        (VocabularyMap::Edit, Combine::Convex { lambda: 0.9 })
    );
}

#[test]
fn the_family_of_fedavg_is_read_with_its_defaults() {
    let fedavg = |keys: &str| {
        let written = format!("{{ fedavg = {{ on = 'edge', {keys} }} }}");
        let Method::FedAvg(method) = changed("small.toml", &[("method", &written)]).method else {
            panic!("it is fedavg")
        };
        *method
    };
    let plain = fedavg("");
    assert_eq!((plain.local, plain.server, plain.nova, plain.ranks), (Local::None, None, false, None));
    assert_eq!(plain.epochs, None);
    assert_eq!(fedavg("local = 'prox'").local, Local::Prox { mu: 0.01 });
    assert_eq!(fedavg("local.prox = { mu = 0.5 }").local, Local::Prox { mu: 0.5 });
    assert_eq!(fedavg("local = 'none'").local, Local::None);
    assert_eq!(fedavg("local = 'scaffold', optimizer = 'sgd'").local, Local::Scaffold);
    assert_eq!(fedavg("device_steps = { epochs = 2 }").epochs, Some(2));
    let adaptive = Adaptive { lr: 1e-3, betas: [0.9, 0.99], tau: 1e-3 };
    for (written, expected) in [
        ("'sgd'", ServerOptimizer::Sgd { lr: 1.0 }),
        ("{ sgd = { lr = 0.5 } }", ServerOptimizer::Sgd { lr: 0.5 }),
        ("'momentum'", ServerOptimizer::Momentum { lr: 1.0, momentum: 0.9 }),
        ("'adam'", ServerOptimizer::Adam(adaptive)),
        ("{ yogi = { lr = 0.01, beta1 = 0.8 } }", {
            ServerOptimizer::Yogi(Adaptive { lr: 0.01, betas: [0.8, 0.99], ..adaptive })
        }),
        ("{ adagrad = { tau = 0.1 } }", ServerOptimizer::Adagrad(Adaptive { tau: 0.1, ..adaptive })),
    ] {
        assert_eq!(fedavg(&format!("server = {written}")).server, Some(expected), "{written}");
    }
    for (word, ranks) in [("flora", Ranks::FLoRA), ("flexlora", Ranks::FlexLoRA), ("hetlora", Ranks::HetLoRA)]
    {
        assert_eq!(fedavg(&format!("ranks = '{word}'")).ranks, Some(ranks));
        assert_eq!(ranks.name(), word);
    }
    let Optimizer::Sgd(sgd) = fedavg("optimizer.sgd = { momentum = 0.9, clip = 'off' }").optimizer else {
        panic!("it is descent")
    };
    assert_eq!((sgd.lr, sgd.cloud_lr, sgd.momentum, sgd.weight_decay, sgd.clip), (0.1, 0.05, 0.9, 0.0, None));
}

#[test]
fn a_scenario_that_says_nothing_new_keeps_its_digest() {
    let lock = changed("small.toml", &[("method", "{ fedavg = { on = 'edge' } }")]).to_lock_json();
    for key in ["local", "server", "nova", "ranks", "epochs", "freeze"] {
        assert!(!lock.contains(&format!("\"{key}\"")), "{key} is in {lock}");
    }
    let frozen = changed("small.toml", &[("models.edge.adapter", "{ lora = { rank = 2, freeze = 'a' } }")]);
    assert!(frozen.to_lock_json().contains("\"freeze\": \"a\""));
    let read = Scenario::from_lock_json(&frozen.to_lock_json()).expect("a lock file is read back");
    assert_eq!(read, frozen);
}

#[test]
fn sources_of_every_layout_are_read_and_named_as_files() {
    let text = read("good", "small.toml").replace("corpus.builtin = { examples = 1_000 }", "corpus.sources = {}\n[[data.source]]\ndomain = 'banking'\ncsv = 'data:banking77/train.csv'\nlabels = 20\npermute_labels = true\n[[data.source]]\ndomain = 'actions'\nscan = 'data:scan/tasks.txt'\nmax_actions = 8\nhalf = 'source'");
    let document = parse_text("good", "sources.toml", &text).expect("it is TOML");
    let scenario = document.check(&ZOO).unwrap_or_else(|diagnostics| panic!("{diagnostics}")).scenario;
    let Corpus::Sources(sources) = &scenario.data.corpus else { panic!("they are sources") };
    assert_eq!(
        (sources[0].layout, sources[0].label_column.as_str(), sources[0].half),
        (Layout::Csv, "category", Half::Target)
    );
    assert_eq!(
        (sources[1].layout, sources[1].max_actions, sources[1].half),
        (Layout::Scan, Some(8), Half::Source)
    );
    assert_eq!(scenario.data.private, None, "how many there are is known when they are read");
    let files: Vec<String> = scenario.files().into_iter().map(|file| file.key).collect();
    assert_eq!(files, ["data.source.0.csv", "data.source.1.scan"]);
    let shown = document.unreadable(&scenario.files()[1], "no such file");
    assert_eq!(shown.position(), Some((26, 8)));
}

#[test]
fn every_split_and_availability_is_read() {
    for split in [
        "'iid'",
        "{ iid = {} }",
        "{ dirichlet = { alpha = 0.3, self_balancing = true } }",
        "{ pathological = { classes_per_device = 2 } }",
        "{ shards = { per_device = 2, size = 50, keep_incomplete = true } }",
        "{ natural = { by = 'domain' } }",
        "{ quantity = { linear = {} } }",
        "{ quantity = { lognormal = { sigma = 1.0 } } }",
        "{ file = 'split.txt' }",
    ] {
        changed("small.toml", &[("data.split", split)]);
    }
    for availability in [
        "'always'",
        "{ markov = { mean_on = '50min', mean_off = '2h' } }",
        "{ diurnal = { peak = '02:30', online = { at_peak = 0.8, at_trough = 0.1 } } }",
        "{ sessions = { online = { weibull = { shape = 0.5, scale = '30min' } }, offline = '1h' } }",
        "{ trace = 'data:traces/devices.csv' }",
    ] {
        changed("small.toml", &[("fleet.class.phone.availability", availability)]);
    }
    for distribution in [
        "'50ms'",
        "{ constant = '50ms' }",
        "{ normal = { mean = '50ms', sd = '5ms' } }",
        "{ exponential = { mean = '50ms' } }",
        "{ empirical = 'rtt.txt' }",
    ] {
        changed("small.toml", &[("fleet.class.phone.link.rtt", distribution)]);
    }
}

#[test]
fn a_scenario_in_json_means_the_same() {
    let json = r#"{ "format": 1, "name": "small",
        "models": { "cloud": { "base": "zoo:llm", "adapter": { "lora": { "rank": 8 } } },
                    "proxy": { "base": "zoo:dpm", "adapter": { "lora": { "rank": 8 } } },
                    "edge": { "base": "zoo:slm-llama", "adapter": { "lora": { "rank": 8 } } } },
        "data": { "corpus": { "builtin": { "examples": 1000 } } },
        "fleet": { "devices": 4, "class": { "phone": { "model": "edge", "compute": "900GFLOP/s",
            "memory": "6GiB", "link": { "down": "80Mbit/s", "up": "20Mbit/s" } } } },
        "method": { "co-plms": {} }, "budget": { "rounds": 6 } }"#;
    let scenario = parse_text("good", "small.json", json).and_then(|document| document.check(&ZOO));
    assert_eq!(scenario.unwrap_or_else(|diagnostics| panic!("{diagnostics}")).scenario, good("small.toml"));
}

#[test]
fn warnings_do_not_stop_a_scenario() {
    let checked = with("small.toml", &[("evaluation.panel", "50")]).expect("it is valid");
    assert_eq!(checked.scenario.evaluation.panel, 4);
    assert!(checked.warnings.0.iter().all(|warning| warning.severity == Severity::Warning));
    assert_eq!(checked.warnings.0.len(), 1);
    let clinics = parse("good", "city-clinics.toml").expect("TOML").check(&ZOO).expect("valid");
    let codes: Vec<&str> = clinics.warnings.0.iter().map(|warning| warning.code.name).collect();
    assert!(codes.is_empty(), "{codes:?}");
}
