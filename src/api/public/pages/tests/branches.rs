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
        "<!-- a -{% if until %} b {% endif %} --> {{ name }}",
        "<!-- <p>{{ name }}</p> --> {{ name }}",
        "<!--{{ name }}-->{{ name }}",
        "<a {% if until %}b{% endif %} {% if until %}c=d{% endif %} title='{{ name }}'>",
        "<br {% if until %}a=b{% endif %}/>{{ name }}",
        "<title>{% block title %}{{ name }} 1 > 2{% endblock %}</title>{{ name }}",
        "<style>{% if until %}p > b {}{% endif %}</style>{{ name }}",
        "<a href=/d?id=1>{{ name }}</a >",
        "{{ name }}<a>\r\n",
    ] {
        assert_eq!(mistakes(source), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn what_browsers_read_otherwise_than_it_looks_is_a_mistake() {
    const ENDS: &str = "ends of files belong between tags";
    const COMMENT: &str = "the comment might end here";
    const QUOTE: &str = "belongs behind a =";
    for (source, expected) in [
        // A comment that goes on, or not, depending on a name.
        (
            "<!-- -{{ name }}-><a title=\"--> <b {{ name }}>\">",
            COMMENT,
        ),
        ("<!-- --{{ name }}> <b {{ name }}> -->", COMMENT),
        ("<!-- {{ name }}> <b {{ name }}> -->", COMMENT),
        ("<!-- {% if until %}--{% endif %}> <b> -->", COMMENT),
        // One that looks as if it had ended.
        ("<!--!><a href=\" --> <b {{ name }}> \">", ATTRIBUTES),
        ("<!---!><a href=\" --> <b {{ name }}> \">", ATTRIBUTES),
        // Quotes that are none.
        ("<a b=c'> <i {{ name }}> '>", QUOTE),
        ("<a '> <i {{ name }}> '>", QUOTE),
        (
            "<a {% if until %}b{% endif %}='{{ name }}'>",
            "in different ways",
        ),
        ("</ '> <i {{ name }}> '>", "behind </"),
        ("<svg><![CDATA[><a b=\"]]> <b {{ name }}>\">", "<![ in"),
        (
            "<title><!-- </title> <b {{ name }}> --> </title>",
            "title, style",
        ),
        ("<title></{{ name }}", A_TAG),
        ("</{{ name }}>", A_TAG),
        // What is included is read as if nothing stood before it, and nothing of it stays open.
        ("\n<!--", ENDS),
        ("<!-- {% include 'a.html' %} -->", ENDS),
        ("<!-- {% block a %}{% endblock %} -->", ENDS),
        ("<title>{% include 'a.html' %}</title>", ENDS),
        ("<title>", ENDS),
        ("<\n", ENDS),
        ("<\r\n", ENDS),
        ("{% block a %}<title>{% endblock %}</title>", UNEVEN),
    ] {
        let found = mistakes(source);
        let told = found.iter().any(|f| f.contains(expected));
        assert!(told, "{source}: {found:?}");
    }
    let found = mistakes("a\n\n<a\nb '>");
    assert!(found[0].contains("line 4: "), "{found:?}");
}
