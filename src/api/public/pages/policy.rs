//! What pages may load and do, and where templates and style sheets ask for more.

use super::problem::Finding;

/// Style, logo and icon of this server, small pictures in the style sheet (`data:`), the password
/// form. Scripts, frames, plug-ins, fonts and everything from elsewhere are out, also for the
/// owner's own templates.
pub const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What in this HTML browsers will not load or run: where, and the remedy.
pub fn markup(text: &str) -> Vec<(usize, &'static str)> {
    const HANDLERS: [&str; 7] = [
        "onclick",
        "onload",
        "onerror",
        "onsubmit",
        "onchange",
        "oninput",
        "onmouseover",
    ];
    let text = text.to_ascii_lowercase();
    let mut found = Vec::new();
    for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
        let rest = &text[at..];
        let after_blank = text[..at].ends_with([' ', '\n', '\t']);
        let value = |name: &str| {
            rest.strip_prefix(name)
                .filter(|_| after_blank)
                .and_then(|rest| rest.trim_start().strip_prefix('='))
        };
        let what = if rest.starts_with("<script") || rest.starts_with("javascript:") {
            "browsers run no script in these pages: remove it"
        } else if HANDLERS.iter().any(|name| value(name).is_some()) {
            "browsers run no script in these pages: remove this attribute"
        } else if rest.starts_with("<style") || value("style").is_some() {
            "browsers take the style of these pages from style.css only: move it there"
        } else if rest.starts_with("<iframe")
            || rest.starts_with("<object")
            || rest.starts_with("<embed")
        {
            "browsers show no other pages inside of these: remove it"
        } else if value("src").is_some_and(is_elsewhere) {
            "browsers load nothing from elsewhere into these pages: use the logo, or a data: address"
        } else if rest.starts_with("<link") && link_elsewhere(rest) {
            "browsers load nothing from elsewhere into these pages: use style.css and the favicon"
        } else {
            continue;
        };
        found.push((at, what));
    }
    found
}

/// Reads a style sheet.
pub fn style(source: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in source.lines().enumerate() {
        let line = line.to_ascii_lowercase();
        let elsewhere = line.split("url(").skip(1).any(is_elsewhere);
        if elsewhere || line.contains("@import") {
            findings.push(Finding::warning(
                number + 1,
                "browsers load nothing from elsewhere into these pages: write it into this file, or use a data: address for a picture",
            ));
        }
    }
    findings
}

/// Whether the value that begins here is an address with a host.
fn is_elsewhere(value: &str) -> bool {
    let value = value.trim_start().trim_start_matches(['"', '\'']);
    ["http:", "https:", "//"]
        .iter()
        .any(|start| value.starts_with(start))
}

/// Whether a `link` element points to another host.
fn link_elsewhere(element: &str) -> bool {
    let element = element.split('>').next().unwrap_or_default();
    element
        .split_once("href=")
        .is_some_and(|(_, value)| is_elsewhere(value))
}
