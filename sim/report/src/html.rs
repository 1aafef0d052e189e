//! The page: ten sections, each of which leaves itself out if it has nothing to say.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::ReportInput;
use crate::section;

pub(crate) const STYLE: &str = include_str!("style.css");

/// Renders one offline HTML file. Every text of the user is escaped.
pub fn render(input: &ReportInput) -> String {
    let sections: Vec<(&str, &str, Markup)> = [
        ("learning", "Learning", section::learning::render(input)),
        ("time", "Where the time went", section::time::render(input)),
        ("part", "Who took part", section::participation::render(input)),
        ("benefit", "Who benefited", section::benefit::render(input)),
        ("wire", "The wire", section::wire::render(input)),
        ("devices", "The devices", section::devices::render(input)),
        ("wrong", "What went wrong", section::wrong::render(input)),
        ("fleet", "The fleet drawn", section::fleet::render(input)),
        ("appendix", "Appendix", section::appendix::render(input)),
    ]
    .into_iter()
    .filter_map(|(id, title, content)| content.map(|content| (id, title, content)))
    .collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (input.summary.name) " · cotune" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (section::verdict::render(input))
                    nav { @for (id, title, _) in &sections { a href=(format!("#{id}")) { (title) } } }
                    @for (id, title, content) in &sections {
                        section id=(id) {
                            h2 { (title) }
                            (content)
                        }
                    }
                    footer {
                        "cotune " (input.manifest.version) " · everything above follows from the event stream with digest "
                        code { (&input.summary.digest.to_hex()[..16]) "…" }
                    }
                }
            }
        }
    };
    page.into_string()
}
