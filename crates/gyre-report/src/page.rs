//! The shell around everything: head, style, script, navigation. One page is one file.
//!
//! A page loads nothing. The content security policy says so to the browser, in the page itself (for reports that are
//! opened as files) and, if the server repeats it, in a header.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::theme;

/// The script of all pages: tooltips on charts and filter chips on timelines. Pages are complete without it.
pub const SCRIPT: &str = include_str!("page.js");

/// What a page may do: use its own style sheet, run exactly [`SCRIPT`] (named by its SHA-256), submit forms to its own
/// origin, and nothing else. No attribute of any element carries style or script.
pub const CONTENT_SECURITY_POLICY: &str = concat!(
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; ",
    "script-src 'sha256-",
    "lwaUmWCXWGUDdmsMc9eZ//ZRYJMcDCU54IZQOtUNNcM=",
    "'"
);

/// The pages of the control room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nav {
    /// Health of all models, the last decisions.
    Overview,
    /// Models and their versions.
    Models,
    /// The journal and its proof.
    Journal,
}

impl Nav {
    const ALL: [Nav; 3] = [Nav::Overview, Nav::Models, Nav::Journal];

    /// Where the page is found, on the control room's own origin.
    pub const fn path(self) -> &'static str {
        match self {
            Nav::Overview => "/",
            Nav::Models => "/models",
            Nav::Journal => "/journal",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Nav::Overview => "Overview",
            Nav::Models => "Models",
            Nav::Journal => "Journal",
        }
    }
}

/// A page of the control room: the body between navigation and footer. Start the body with [`lead`].
pub fn page(title: &str, active: Nav, body: Markup) -> String {
    let header = html! {
        header.top {
            div {
                a.brand href=(Nav::Overview.path()) { (mark()) "gyre" }
                nav aria-label="Pages" {
                    @for item in Nav::ALL {
                        a href=(item.path()) aria-current=[(item == active).then_some("page")] { (item.name()) }
                    }
                }
            }
        }
    };
    shell(title, header, body)
}

/// A document that stands alone: no navigation, since there is nowhere to go.
pub(crate) fn document(title: &str, body: Markup) -> String {
    shell(title, html! {}, body)
}

/// The top of a page: a line of context above the title, the title, and a sentence beneath.
pub fn lead(eyebrow: Markup, title: &str, sentence: Markup) -> Markup {
    html! {
        div.lead {
            div.eyebrow { (eyebrow) }
            h1 { (title) }
            p { (sentence) }
        }
    }
}

/// gyre's mark, a turn that comes back around.
pub(crate) fn mark() -> Markup {
    html! {
        svg viewBox="0 0 24 24" aria-hidden="true" {
            path d="M20.5 12a8.5 8.5 0 1 1-3-6.5M16 12a4 4 0 1 1-4-4M17.8 2v3.9h-3.9" {}
        }
    }
}

fn shell(title: &str, header: Markup, body: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(CONTENT_SECURITY_POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · gyre" }
                link rel="icon" href="data:,";
                style { (PreEscaped(theme::CSS)) }
            }
            body {
                a.skip href="#content" { "Skip to content" }
                (header)
                main id="content" { (body) }
                footer { "All times are UTC. This page is complete in itself and loads nothing." }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_policy_names_the_script_by_its_digest() {
        let digest = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
        assert!(
            CONTENT_SECURITY_POLICY.contains(&format!("'sha256-{digest}'")),
            "page.js changed: use {digest}"
        );
    }

    #[test]
    fn the_script_cannot_end_its_element() {
        assert!(!SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
        assert!(!SCRIPT.contains("innerHTML") && !SCRIPT.contains("eval"));
    }

    #[test]
    fn the_open_page_is_marked_in_the_navigation() {
        let text = page("Models & <b>", Nav::Models, html! { p { "hello" } });
        assert!(text.contains(r#"<a href="/models" aria-current="page">Models</a>"#), "{text}");
        assert_eq!(text.matches("aria-current=").count(), 1);
        assert!(text.contains("<title>Models &amp; &lt;b&gt; · gyre</title>"));
    }
}
