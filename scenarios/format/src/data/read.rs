//! Reading `[data]`.

use super::*;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, Value};
use crate::reader::{self, Bound, Shape, View};
use crate::words;

pub(crate) fn read(view: View, seed: u64) -> Option<Data> {
    let corpus = corpus(&view, seed);
    let template = template::read(view.table_or_empty("template"), corpus.as_ref());
    let part = |key, default| {
        let read =
            |node: &Node, path: &str| portion(node, path).map_err(|error| view.problems.add(error)).ok();
        view.part(
            key,
            "0.05",
            || Shape::AnyOf(vec![Shape::Whole { least: 0 }, Shape::Number(Bound::BelowOne)]),
            read,
        )
        .or(Portion::Fraction(default))
    };
    // Examples that are only counted are all private unless the file says otherwise.
    let usual = |share| if matches!(corpus, Some(Corpus::Sizes(_))) { 0.0 } else { share };
    let (public, validation, test) =
        (part("public", usual(0.05)), part("validation", usual(0.05)), part("test", usual(0.1)));
    let private = view.count("private", 1).optional();
    let split = view.choice("split", &words::SPLIT).optional().and_then(split).unwrap_or(Split::Iid);
    let follows = view.table("follows").optional().and_then(follows);
    let data = corpus.and_then(|corpus| {
        let data = Data { corpus, template, public, validation, test, private, split, follows };
        match &data.corpus {
            Corpus::Builtin(builtin) => resolve(builtin.examples, &data, &view),
            Corpus::Sizes(counted) => resolve(counted.examples, &data, &view),
            Corpus::Sources(_) | Corpus::Sni(_) => Some(data),
        }
    });
    view.finish();
    data
}

fn follows(view: View) -> Option<Follows> {
    const TRAITS: &[(&str, Trait)] =
        &[("class", Trait::Class), ("region", Trait::Region), ("availability", Trait::Availability)];
    let what = view.word("what", TRAITS).required(view.problems);
    let strength = view.number("strength", Bound::Fraction).or(1.0);
    view.finish();
    Some(Follows { what: what?, strength })
}

fn corpus(view: &View, seed: u64) -> Option<Corpus> {
    let sources: Vec<Source> = view.tables("source").into_iter().filter_map(source::read).collect();
    let (name, corpus) = view.choice("corpus", &words::CORPUS).required(view.problems)?;
    if name != "sources" && view.has("source") {
        let warning = Diagnostic::new(codes::UNUSED_SOURCES, "[[data.source]] is not read");
        let warning = warning.label(view.key_place("source"), "not read");
        view.problems.add(warning.help("choose corpus.sources = {}, or remove the sources"));
    }
    match name {
        "builtin" => return builtin(corpus, seed),
        "sni" => return tasks::read(corpus).map(Corpus::Sni),
        _ => {}
    }
    if name == "sizes" {
        let examples = corpus.count("examples", 1).required(corpus.problems);
        let mean_tokens = corpus.number("mean_tokens", Bound::Positive).or(64.0);
        corpus.finish();
        return Some(Corpus::Sizes(Counted { examples: examples?, mean_tokens }));
    }
    corpus.finish();
    if !view.has("source") {
        let message = "`data.corpus` is `sources`, and there is no [[data.source]]";
        let error = Diagnostic::new(codes::MISSING_KEY, message).label(view.place("corpus"), "from where?");
        let help = "write [[data.source]] with a domain and one of jsonl, csv, scan and spans";
        view.problems.add(error.help(help));
    }
    Some(Corpus::Sources(sources))
}

/// Turns fractions of a known number of examples into counts.
fn resolve(examples: u64, data: &Data, view: &View) -> Option<Data> {
    let fits = data.sizes(examples).filter(|sizes| data.private.is_none_or(|wanted| wanted == sizes.private));
    let Some(sizes) = fits else {
        let [public, validation, test] =
            [data.public, data.validation, data.test].map(|part| part.of(examples));
        let private =
            data.private.map_or("some private ones".to_owned(), |private| format!("{private} private ones"));
        let message = format!(
            "{public} public, {validation} validation and {test} test examples, and {private}, do not fit in {examples}"
        );
        let place = ["private", "public", "test", "validation"].iter().find_map(|key| view.key_place(key));
        let error =
            Diagnostic::new(codes::NO_PRIVATE_DATA, message).label(place.or(view.at.clone()), "too many");
        view.problems.add(error.help("raise `examples`, or set less aside"));
        return None;
    };
    Some(Data {
        public: Portion::Count(sizes.public),
        validation: Portion::Count(sizes.validation),
        test: Portion::Count(sizes.test),
        private: Some(sizes.private),
        ..data.clone()
    })
}

/// A count, or a fraction of all examples.
fn portion(node: &Node, path: &str) -> Result<Portion, Diagnostic> {
    match node.value {
        Value::Integer(_) => reader::whole(node, path, 0).map(Portion::Count),
        Value::Float(_) => {
            let fraction = reader::number(node, path, Bound::BelowOne);
            fraction
                .map(Portion::Fraction)
                .map_err(|error| error.help("write a whole number of examples, or a fraction below 1"))
        }
        _ => Err(reader::number(node, path, Bound::BelowOne)
            .err()
            .unwrap_or_else(|| Diagnostic::new(codes::WRONG_TYPE, format!("`{path}` is a number")))
            .help("write a whole number of examples, or a fraction below 1")),
    }
}

fn builtin(view: View, seed: u64) -> Option<Corpus> {
    let name = view.word("name", &[("domains", BuiltinName::Domains)]).or(BuiltinName::Domains);
    let examples = view.count("examples", 1).required(view.problems);
    let seed = view.count("seed", 0).or(seed);
    let overlap = view.number("overlap", Bound::Fraction).or(1.0);
    let domain = |node: &Node, path: &str| {
        let written = reader::text(node, path, "\"shop\"")?;
        if BUILTIN_DOMAINS.contains(&written) {
            return Ok(written.to_owned());
        }
        let error =
            Diagnostic::new(codes::UNKNOWN_DOMAIN, format!("the builtin corpus has no domain `{written}`"));
        let help = words::suggestion(written, BUILTIN_DOMAINS.iter().copied());
        Err(error.label(node.at.clone(), "unknown").help(help))
    };
    let mut unseen_domains = view
        .list("unseen_domains", "[\"edit\"]", || Shape::Word(BUILTIN_DOMAINS.to_vec()), domain)
        .or(Vec::new());
    unseen_domains.sort();
    unseen_domains.dedup();
    if unseen_domains.len() == BUILTIN_DOMAINS.len() {
        let error = Diagnostic::new(
            codes::NO_PRIVATE_DATA,
            "every domain is unseen, and none is left to pretrain on",
        );
        view.problems
            .add(error.label(view.place("unseen_domains"), "all of them").help("leave some domains out"));
    }
    view.finish();
    Some(Corpus::Builtin(Builtin { name, examples: examples?, seed, overlap, unseen_domains }))
}

fn split((name, view): (&str, View)) -> Option<Split> {
    let by = |default: &str| view.string("by", "\"domain\"").or(default.to_owned());
    let split = match name {
        "iid" => Some(Split::Iid),
        "dirichlet" => {
            let by = by("domain");
            let alpha = view.number("alpha", Bound::Positive).required(view.problems);
            let min = view.count("min", 1).or(10);
            let self_balancing = view.boolean("self_balancing").or(false);
            let retry = view.word("retry", &[("niid-bench", Retry::NiidBench), ("flower", Retry::Flower)]);
            let retry = retry.or(Retry::NiidBench);
            alpha.map(|alpha| Split::Dirichlet(Dirichlet { by, alpha, min, self_balancing, retry }))
        }
        "pathological" => {
            let by = by("domain");
            let classes = view.count("classes_per_device", 1).required(view.problems);
            classes.map(|classes_per_device| Split::Pathological { by, classes_per_device })
        }
        "shards" => {
            let by = by("domain");
            let per_device = view.count("per_device", 1).required(view.problems);
            let size = view.count("size", 1).optional();
            let keep_incomplete = view.boolean("keep_incomplete").or(false);
            per_device.map(|per_device| Split::Shards(Shards { by, per_device, size, keep_incomplete }))
        }
        "natural" => Some(Split::Natural { by: by("domain") }),
        "quantity" => match view.chosen(&words::QUANTITY) {
            Ok((law, body)) => return quantity(law, body).map(Split::Quantity),
            Err(error) => {
                view.problems.add(error);
                return None;
            }
        },
        _ => view.string("file", "\"split.txt\"").required(view.problems).map(|path| Split::File { path }),
    };
    view.finish();
    split
}

fn quantity(law: &str, view: View) -> Option<Quantity> {
    let quantity = match law {
        "linear" => Some(Quantity::Linear),
        "square" => Some(Quantity::Square),
        "exponential" => Some(Quantity::Exponential),
        _ => {
            let sigma = view.number("sigma", Bound::Positive).required(view.problems);
            sigma.map(|sigma| Quantity::LogNormal { sigma })
        }
    };
    view.finish();
    quantity
}
