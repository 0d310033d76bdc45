//! Conditions whose branches leave the page in different places: what stands behind them would be
//! text in one page and attributes in another.

use crate::api::public::pages::content::Page;
use crate::api::public::pages::lint;

const UNEVEN: &str = "begins or ends in one branch";
const ATTRIBUTES: &str = "could become attributes";
const A_TAG: &str = "could become a tag";

/// The mistakes in a download page.
fn mistakes(source: &str) -> Vec<String> {
    let template = lint::template(source, Some(Page::Download), &|_| true);
    let findings = template.findings.into_iter();
    let mistakes = findings.filter(|finding| finding.is_error);
    mistakes.map(|f| f.of("x".into()).to_string()).collect()
}

#[test]
fn a_condition_that_leaves_something_open_in_one_branch_is_a_mistake() {
    for source in [
        "{% if until %}<a {% else %}<a>{% endif %}{{ name }}>",
        "{% if until %}<a>{% else %}<a {% endif %}{{ name }}>",
        "{% if until %}<a {% endif %}{{ name }}>",
        "<a {% if until %}>{% endif %}{{ name }}>",
        "<a b='{% if until %}'{% endif %} {{ name }}'>",
        "<a {% if until %}b='{% else %}b=\"{% endif %}{{ name }}\">",
        "{% if until %}{% elif downloads %}<a {% else %}{% endif %}{{ name }}",
        "{% if until %}{% if downloads %}<a {% endif %}{% endif %}{{ name }}",
        "{% if until %}<!--{% endif %} <a {{ name }}> -->",
        "{% if until %}<{% endif %}b {{ name }}>",
        "{% raw %}<b>{% endraw %}{% if until %}{% raw %}<i{% endraw %}{% endif %}>",
    ] {
        let found = mistakes(source);
        assert!(
            found.iter().any(|f| f.contains(UNEVEN)),
            "{source}: {found:?}"
        );
    }
    let found = mistakes("\n\n{% if until %}\n<a {% else %}x{% endif %}>");
    assert!(found[0].contains("line 3: "), "{found:?}");
}

#[test]
fn each_branch_is_read_from_where_the_condition_begins() {
    for (source, expected) in [
        (
            "<a {% if until %}b{% else %}{{ name }}{% endif %}>",
            ATTRIBUTES,
        ),
        (
            "<a b='{% if until %}'{% else %}{{ name }}'{% endif %} {{ id }}>",
            ATTRIBUTES,
        ),
        (
            "<{% if until %}b{% else %}i{% endif %} {{ name }}>",
            ATTRIBUTES,
        ),
        ("<{{ name }}>", A_TAG),
        ("<!{{ name }}>", A_TAG),
        (
            "< {%- if until %}b{% else %}i{% endif %} {{ name }}>",
            ATTRIBUTES,
        ),
        ("<\n{{- name }}>", A_TAG),
        ("<{# x -#} b {{ name }}>", ATTRIBUTES),
    ] {
        let found = mistakes(source);
        assert!(
            found.iter().any(|f| f.contains(expected)),
            "{source}: {found:?}"
        );
    }
}

#[test]
fn branches_that_end_alike_are_no_mistake_wherever_they_stand() {
    for source in [
        "{% if until %}<a>{% else %}<b>{% endif %}{{ name }}",
        "<a {% if until %}b='1'{% elif downloads %}c=\"2\"{% else %}d{% endif %} e='{{ name }}'>",
        "<a b='c {% if until %}d{% endif %} {{ name }}'>",
        "<{% if until %}b{% else %}i{% endif %} title='{{ name }}'>",
        "{% if until %}<a href='{{ name }}'{% else %}<b{% endif %} id='x'>",
        "<!-- {% if until %}a{% else %}<b '{% endif %} --> {{ name }}",
        "{% if until %}{% if downloads %}<a>{% else %}{% endif %}{% endif %}{{ name }}",
        "1 < {{ name }} {# a #}< {{ id }}",
        "<!doctype html><!-- a --!>{{ name }}",
        "{% block a %}{% if until %}<a>{% endif %}{% endblock %}",
    ] {
        assert_eq!(mistakes(source), Vec::<String>::new(), "{source}");
    }
}
