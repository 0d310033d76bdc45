//! Mistakes in the owner's templates and styles: told with their place and the remedy, and the built-in page
//! shows instead.

use super::own::{all_pages, folder, own_pages, settings, told};
use super::*;
use crate::api::public::pages::folder::FILE_LIMIT;
use std::time::Instant;

const TAGS: &str = "belong between tags";

#[test]
fn mistakes_are_told_with_file_line_and_remedy_and_the_built_in_page_shows() {
    let many_ifs = "{% if site.name %}".repeat(40) + &"{% endif %}".repeat(40);
    let many_branches =
        "{% if text %}".to_owned() + &"{% elif text %}".repeat(3000) + "{% endif %}";
    let many_filters = format!("{{{{ text{} }}}}", "|trim".repeat(10_000));
    let large = "x".repeat(FILE_LIMIT as usize + 1);
    let wide = "{{ site.prefix }}".repeat(3800);
    let long = "{% include 'base.html' %}".repeat(200);
    for (name, source, wanted) in [
        (
            "download.html",
            "a\n\n{{ nmae }}",
            "download.html, line 3: there is no variable nmae: use id, name,",
        ),
        (
            "download.html",
            "{{ site.title }}",
            "download.html, line 1: there is no variable site.title",
        ),
        (
            "password.html",
            "{{ name }}",
            "password.html, line 1: there is no variable name: use id, wrong",
        ),
        (
            "error.html",
            "{{ text }",
            "error.html, line 1: this cannot be read: look for a missing quote or }}",
        ),
        (
            "error.html",
            "\n{{ 'text }}",
            "error.html, line 2: this cannot be read",
        ),
        (
            "error.html",
            "{% if wait %}\nx",
            "error.html, line 1: this has no end: write {% endif %} where it belongs",
        ),
        (
            "error.html",
            "{% endif %}",
            "error.html, line 1: there is no {% if %} to end here",
        ),
        (
            "download.html",
            "<p>1 < 2, it's</p><!-- \" -->\n<a title={{ name }} href=x>",
            "download.html, line 2: what a file name holds could become attributes",
        ),
        (
            "download.html",
            "<b a='{{ name }}' {{ name }}>",
            "could become attributes here",
        ),
        ("base.html", "<a {% block content %}{% endblock %}>", TAGS),
        (
            "base.html",
            "<a b='{% block content %}{% endblock %}'>",
            TAGS,
        ),
        ("error.html", "\n<a {% include 'base.html' %}>", TAGS),
        ("index.html", "{% block content %}<a {% endblock %}", TAGS),
        ("error.html", "\n<a href='x'", TAGS),
        (
            "error.html",
            "{% if text or %}{% endif %}",
            "error.html, line 1: ",
        ),
        (
            "error.html",
            "\n{% if text %}{% block a %}{% endif %}{% endblock %}",
            "error.html, line 2: {% endblock %} belongs before this",
        ),
        (
            "error.html",
            "\n{% if text == %}{% endif %}",
            "error.html, line 2: syntax error: ",
        ),
        (
            "error.html",
            "{# x",
            "error.html, line 1: this comment has no end",
        ),
        (
            "error.html",
            "{% raw %}x",
            "error.html, line 1: this raw part has no end",
        ),
        (
            "error.html",
            "{{ text|safe }}",
            "error.html, line 1: there is no filter safe: use capitalize",
        ),
        (
            "error.html",
            "{% if text is odd %}{% endif %}",
            "error.html, line 1: there is no test odd: use defined",
        ),
        (
            "error.html",
            "{% autoescape false %}{{ text }}{% endautoescape %}",
            "there is no tag autoescape here",
        ),
        (
            "error.html",
            "{% set a = text %}",
            "there is no tag set here: use block, elif",
        ),
        (
            "error.html",
            "{% for a in text %}{% endfor %}",
            "there is no tag for here",
        ),
        (
            "error.html",
            "{{ range(100000) }}",
            "there is no function range here",
        ),
        (
            "error.html",
            "{{ text.upper() }}",
            "there is no function text.upper here",
        ),
        (
            "error.html",
            "{{ 'x' * 100000000 }}",
            "* has no meaning here",
        ),
        ("error.html", "{{ text ~ text }}", "~ has no meaning here"),
        (
            "error.html",
            "{% include text %}",
            "write the name of a template in quotes",
        ),
        (
            "error.html",
            "{% include '../x.html' %}",
            "there is no template ../x.html",
        ),
        (
            "error.html",
            "\n{% extends 'bse.html' %}",
            "error.html, line 2: there is no template bse.html",
        ),
        (
            "error.html",
            "{% if text < 3 %}x{% endif %}{{ text < none }}{% include 'error.html' %}",
            "recursion limit",
        ),
        (
            "base.html",
            "<main></main>",
            "base.html, line 1: the frame has no place for the pages",
        ),
        (
            "base.html",
            "{% block content %}{% endblock %}{{ name }}",
            "base.html, line 1: a variable has no value on this page",
        ),
        (
            "base.html",
            "{% extends 'error.html' %}{% block content %}{% endblock %}",
            "base.html: ",
        ),
        ("error.html", &many_ifs, "too many conditions and blocks"),
        (
            "error.html",
            &many_branches,
            "too many conditions and blocks",
        ),
        ("error.html", &many_filters, "more than 64 words and signs"),
        (
            "error.html",
            &large,
            "error.html: it is larger than 64 KiB: make it smaller",
        ),
        (
            "error.html",
            &wide,
            "error.html, line 1: it takes too many steps: make it shorter",
        ),
        ("error.html", &long, "the page is larger than 64 KiB"),
    ] {
        let dir = folder(&[(name, source.as_bytes())]);
        let own = settings(&dir);
        let started = Instant::now();
        let problems = check(&own).unwrap();
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let short = &source[..source.len().min(60)];
        assert!(all.iter().any(|p| p.contains(wanted)), "{short}: {all:#?}");
        assert!(problems.iter().any(|p| p.refused), "{short}");
        assert!(problems.len() < 30, "{short}: {}", problems.len());
        let plain = PageSettings::default();
        assert_eq!(
            all_pages(&own_pages(own)),
            all_pages(&own_pages(plain)),
            "{short}"
        );
        // Not for ever: emulated processors take their time.
        assert!(started.elapsed().as_secs() < 120, "{short}");
    }
}

#[test]
fn only_the_broken_template_is_replaced() {
    let dir = folder(&[
        ("download.html", b"own {{ name }}"),
        ("error.html", b"{{ oops }}"),
        ("password.html", b"{% include 'part.html' %}"),
        ("part.html", b"{{ name }}"),
    ]);
    let all: Vec<String> = check(&settings(&dir))
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(all.len(), 2 + 1, "{all:#?}");
    let shown = all_pages(&own_pages(settings(&dir)));
    assert_eq!(shown[1], "own a.txt");
    assert!(shown[2].contains("<form") && shown[3].contains("<!doctype html>"));
}

#[test]
fn what_browsers_would_not_load_is_told_and_does_no_harm() {
    let all = told(&[
        (
            "error.html",
            b"<script>x</script>\n<p style=\"color:red\">\n<a onclick='x()'>\n<img src=\"//cdn.example/x.png\">\n<link rel=stylesheet href=https://cdn.example/x.css>\n<a href=\"https://example.org/imprint\">fine</a>",
        ),
        ("style.css", b"a { color: red }\n@import 'x.css';\nb { background: url( \"https://x.example/y\") }\ni { background: url(data:image/png;base64,AA) }"),
    ]);
    let lines: Vec<&str> = all.iter().map(|p| p.split(':').next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "style.css, line 2",
            "style.css, line 3",
            "error.html, line 1",
            "error.html, line 2",
            "error.html, line 3",
            "error.html, line 4",
            "error.html, line 5",
        ],
        "{all:#?}"
    );
}
