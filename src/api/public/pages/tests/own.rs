//! Templates, style and pictures of the owner: used when they are sound, told about when not, and
//! never able to break a page.

use super::*;
use crate::api::public::pages::content::{BASE, COMMON};
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Instant;
use tempfile::TempDir;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\0\0\0\x01\0\x08\x06\0\0\0";

/// A folder with these files.
pub(super) fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

pub(super) fn settings(dir: &TempDir) -> PageSettings {
    PageSettings {
        templates: Some(dir.path().to_owned()),
        ..PageSettings::default()
    }
}

pub(super) fn own_pages(settings: PageSettings) -> Pages {
    let mut api = pages_settings("https://share.example");
    api.pages = settings;
    Pages::new(&api)
}

/// Reads the pages again.
fn again(pages: &Pages, settings: &PageSettings) -> Vec<Problem> {
    pages.replace(read("https://share.example", settings).unwrap())
}

/// What is told of a folder with these files: each as `file, line N: text`.
pub(super) fn told(files: &[(&str, &[u8])]) -> Vec<String> {
    let dir = folder(files);
    let problems = check(&settings(&dir)).unwrap();
    let prefix = format!("{}/", dir.path().display());
    problems
        .iter()
        .map(|problem| problem.to_string().replace(&prefix, ""))
        .collect()
}

pub(super) fn all_pages(pages: &Pages) -> Vec<String> {
    [
        pages.start(),
        pages.file("abcdefgh", "a.txt", 12, None, Some(2)),
        pages.locked("abcdefgh", true),
        pages.not_found(),
    ]
    .iter()
    .map(html)
    .collect()
}

#[test]
fn a_folder_may_hold_any_of_the_files() {
    let dir = folder(&[
        ("download.html", b"<p>own {{ name }} {{ availability }}</p>"),
        ("style.css", b"body { color: red }"),
        ("logo.png", PNG),
        ("notes.txt", b"ignored"),
    ]);
    assert_eq!(check(&settings(&dir)).unwrap(), []);
    let pages = own_pages(settings(&dir));
    let shown = all_pages(&pages);
    assert_eq!(shown[1], "<p>own a.txt 2 downloads left</p>");
    assert!(shown[0].contains("curl -H") && shown[3].contains("Not found"));
    assert!(
        shown[0].contains("width=\"80\" height=\"40\""),
        "{}",
        shown[0]
    );
    let style = html(&pages.style(None));
    assert!(style.starts_with(":root{--accent:#0b6b57;--accent-text:#ffffff}"));
    assert!(style.ends_with("\nbody { color: red }"));
    assert_eq!(header(&pages.logo(None), "Content-Type"), Some("image/png"));
    assert_eq!(
        header(&pages.favicon(None), "Content-Type"),
        Some("image/svg+xml")
    );
}

#[test]
fn an_own_frame_is_around_the_built_in_pages_and_parts_can_be_included() {
    let dir = folder(&[
        (
            "base.html",
            b"{% include 'top.html' %}<main>{% block content %}{% endblock %}</main>",
        ),
        ("top.html", b"<b>{{ site.name }}</b>"),
        (
            "error.html",
            b"{% extends 'base.html' %}{% block content %}{{ status }}{{ super() }}{% endblock %}",
        ),
    ]);
    assert_eq!(check(&settings(&dir)).unwrap(), []);
    let shown = all_pages(&own_pages(settings(&dir)));
    assert!(shown[0].starts_with("<b>Mayfly</b><main>\n<h1>Mayfly</h1>"));
    assert_eq!(shown[3], "<b>Mayfly</b><main>404</main>");
}

#[test]
fn files_that_are_none_of_the_pages_are_told() {
    for (name, bytes, wanted) in [
        (
            "dowload.html",
            &b"x"[..],
            "dowload.html: no page uses it: name it base.html",
        ),
        (
            "Error.html",
            b"x",
            "Error.html: templates have names of small letters",
        ),
        ("app.js", b"x", "app.js: the pages have no use for it"),
        (
            "logo.png",
            b"GIF89a",
            "logo.png: it is no picture that pages show",
        ),
        (
            "error.html",
            b"\na\n\xff",
            "error.html, line 3: it is not UTF-8: save it",
        ),
        ("style.css", b"\xff", "style.css, line 1: it is not UTF-8"),
    ] {
        let all = told(&[(name, bytes)]);
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].starts_with(wanted), "{all:?}");
    }
    assert_eq!(
        told(&[
            (".hidden.html", b"x"),
            ("README.md", b"x"),
            ("a.html~", b"x")
        ])
        .len(),
        0
    );
    let two = told(&[("logo.png", PNG), ("logo.svg", b"<svg/>")]);
    assert!(
        two[0].contains("logo.svg: there is another file for this"),
        "{two:?}"
    );
}

#[test]
fn links_pipes_and_folders_are_not_followed_out_or_waited_for() {
    let outside = folder(&[("secret.html", b"secret")]);
    let dir = folder(&[("real.part", b"x {{ site.name }}")]);
    symlink(
        outside.path().join("secret.html"),
        dir.path().join("error.html"),
    )
    .unwrap();
    symlink("nowhere", dir.path().join("index.html")).unwrap();
    symlink("real.part", dir.path().join("download.html")).unwrap();
    fs::create_dir(dir.path().join("style.css")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(dir.path().join("password.html"))
        .status();
    let all: Vec<String> = check(&settings(&dir))
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    let has = |text: &str| all.iter().any(|p| p.contains(text));
    assert!(
        has("error.html: it is a link that leads out of the folder"),
        "{all:#?}"
    );
    assert!(has("index.html: it cannot be read: No such file"));
    assert!(has("style.css: it is no file: remove it"));
    if made.is_ok_and(|status| status.success()) {
        assert!(has("password.html: it is no file"));
    }
    let pages = own_pages(settings(&dir));
    assert_eq!(all_pages(&pages)[1], "x Mayfly");
    assert!(!all_pages(&pages)[3].contains("secret"));
    let nowhere = PageSettings {
        templates: Some(dir.path().join("missing")),
        ..PageSettings::default()
    };
    let all = check(&nowhere).unwrap();
    assert!(all[0].what.contains("the folder cannot be read"), "{all:?}");
}

#[test]
fn a_template_that_fails_later_gives_way_to_the_built_in_one() {
    // Only a limited number of downloads can be compared with a number: this fails for free files,
    // in a way that no sample shows.
    let dir = folder(&[(
        "error.html",
        b"{% if status == 413 %}{{ text < status }}{{ text|default(1, 2, 3) }}{% endif %}own",
    )]);
    assert_eq!(check(&settings(&dir)).unwrap(), []);
    let pages = own_pages(settings(&dir));
    assert_eq!(html(&pages.not_found()), "own");
    let broken = pages.error(&Error::TooLarge { limit: 1 });
    assert_eq!(broken.status, 413);
    assert!(html(&broken).contains("<!doctype html>"));
}

#[test]
fn a_reload_changes_everything_at_once_and_a_broken_one_falls_back() {
    let dir = folder(&[("error.html", b"one")]);
    let pages = own_pages(settings(&dir));
    assert_eq!(html(&pages.not_found()), "one");
    fs::write(dir.path().join("error.html"), "two {{ site.color }}").unwrap();
    assert_eq!(html(&pages.not_found()), "one", "read once");
    let mut changed = settings(&dir);
    changed.color = Some("#123".to_owned());
    changed.name = "Other".to_owned();
    assert_eq!(again(&pages, &changed), []);
    assert_eq!(html(&pages.not_found()), "two #112233");
    assert!(html(&pages.start()).contains("Other"));
    fs::write(dir.path().join("error.html"), "{{ three").unwrap();
    assert_eq!(again(&pages, &changed).len(), 1);
    assert!(html(&pages.not_found()).contains("<!doctype html>"));
}

#[test]
fn colour_and_logo_of_the_settings_are_used_or_told() {
    let dir = folder(&[(
        "mine.webp",
        b"RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x4f\0\0\x27\0\0",
    )]);
    let mut own = PageSettings {
        color: Some("#ffe14d".to_owned()),
        logo: Some(dir.path().join("mine.webp")),
        ..PageSettings::default()
    };
    assert_eq!(check(&own).unwrap(), []);
    let pages = own_pages(own.clone());
    let style = html(&pages.style(None));
    let light = style.split('}').next().unwrap();
    assert!(light.ends_with("--accent-text:#000000"), "{light}");
    assert!(
        style.contains("dark){:root{--accent:#ffe14d;--accent-text:#000000}}"),
        "{style}"
    );
    assert_eq!(
        header(&pages.logo(None), "Content-Type"),
        Some("image/webp")
    );
    let policy = pages.logo(None);
    let policy = header(&policy, "Content-Security-Policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"));

    own.color = Some("red;}body{display:none".to_owned());
    own.logo = Some(dir.path().join("missing.png"));
    let all = check(&own).unwrap();
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all[0].what.contains("is no colour") && all[0].refused);
    assert!(!html(&own_pages(own).style(None)).contains("display:none"));
}

#[test]
fn every_documented_variable_is_there_and_no_other() {
    let documented = include_str!("../../../../../docs/templates.md");
    let rows: Vec<&str> = documented
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let mut known: Vec<&str> = COMMON.to_vec();
    for page in Page::ALL {
        let own = page.variables();
        known.extend(own);
        let source: String = COMMON
            .iter()
            .chain(own)
            .map(|name| format!("{name}={{{{ {name} }}}}\n"))
            .collect();
        let dir = folder(&[(page.file(), source.as_bytes())]);
        assert_eq!(check(&settings(&dir)).unwrap(), [], "{page:?}");
    }
    for name in &known {
        assert!(rows.contains(name), "{name} is not in docs/templates.md");
    }
    for row in rows {
        let file =
            row == BASE || row.ends_with(".html") || row.contains('.') && !row.starts_with("site.");
        assert!(
            file || known.contains(&row),
            "{row} is in docs/templates.md only"
        );
    }
}

#[test]
fn everything_that_is_documented_works() {
    let dir = folder(&[
        (
            "download.html",
            b"{#- a comment -#}
              {%- if downloads is not none and downloads <= 2 or not (until is none) -%}
              few{% elif name is undefined or missing is defined %}never{% else %}many{% endif %}
              <i title=\"{{ name|upper }}\">{{ size|lower|capitalize }}</i>{{ until|default('x')|trim|e }}|{{ name|length }}
              {% raw %}{{ name }}{% endraw %}{{ name == 'a.txt' }}",
        ),
    ]);
    assert_eq!(
        told_of(&dir),
        ["download.html, line 3: there is no variable missing"]
    );
    let source = fs::read_to_string(dir.path().join("download.html")).unwrap();
    fs::write(
        dir.path().join("download.html"),
        source.replace("missing is", "name is not"),
    )
    .unwrap();
    assert_eq!(told_of(&dir), [""; 0]);
    let shown = all_pages(&own_pages(settings(&dir)))[1].clone();
    let shown: String = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(shown, "few <i title=\"A.TXT\">12 b</i>x|5 {{ name }}True");
}

/// As [`told`], each up to what there is instead.
fn told_of(dir: &TempDir) -> Vec<String> {
    let prefix = format!("{}/", dir.path().display());
    let problems = check(&settings(dir)).unwrap();
    let text = |p: &Problem| p.to_string().replace(&prefix, "");
    problems
        .iter()
        .map(|p| text(p).split(": use").next().unwrap().to_owned())
        .collect()
}

#[test]
fn includes_of_includes_end_soon() {
    let part = format!("{}{{% include 'a.html' %}}", "x".repeat(60_000));
    let twice = "{% include 'b.html' %}".repeat(2000);
    let dir = folder(&[
        ("error.html", b"{% include 'a.html' %}"),
        ("a.html", twice.as_bytes()),
        ("b.html", part.as_bytes()),
    ]);
    let started = Instant::now();
    let all = told_of(&dir);
    assert!(!all.is_empty());
    assert!(started.elapsed().as_secs() < 5);
    assert!(html(&own_pages(settings(&dir)).not_found()).contains("<!doctype html>"));
}

#[test]
fn whoever_looks_while_it_changes_sees_the_old_page_or_the_new_one() {
    let dirs = ["one", "two"].map(|word| {
        let page = format!("{word} {{{{ site.name }}}}");
        let dir = folder(&[("error.html", page.as_bytes())]);
        let mut own = settings(&dir);
        own.name = word.to_owned();
        (dir, own)
    });
    let pages = own_pages(dirs[0].1.clone());
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            for n in 0..40 {
                again(&pages, &dirs[n % 2].1);
            }
        });
        while !changing.is_finished() {
            let shown = html(&pages.not_found());
            assert!(["one one", "two two"].contains(&shown.as_str()), "{shown}");
        }
    });
}

mod random {
    use super::*;
    use proptest::prelude::*;

    const PIECES: [&str; 34] = [
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        " if ",
        " elif ",
        " else ",
        " endif ",
        " block content ",
        " endblock ",
        " extends 'base.html' ",
        " include 'error.html' ",
        " include 'part.html' ",
        " raw ",
        " endraw ",
        " text ",
        " site.name ",
        " wait ",
        " is none ",
        " not ",
        " and ",
        "|upper",
        "|default('x')",
        "super()",
        "(",
        ")",
        "'",
        "\"",
        "<a b=\"",
        ">",
        "\u{e9}\n",
        "-",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_template_breaks_a_page(
            error in proptest::collection::vec(0..PIECES.len(), 0..40),
            part in proptest::collection::vec(0..PIECES.len(), 0..20),
            base in proptest::collection::vec(0..PIECES.len(), 0..20),
        ) {
            let text = |pieces: Vec<usize>| -> String {
                pieces.into_iter().map(|at| PIECES[at]).collect()
            };
            let (error, part, base) = (text(error), text(part), text(base));
            let dir = folder(&[
                ("error.html", error.as_bytes()),
                ("part.html", part.as_bytes()),
                ("base.html", base.as_bytes()),
            ]);
            let pages = own_pages(settings(&dir));
            for (response, status) in [
                (pages.start(), 200),
                (pages.not_found(), 404),
                (pages.file("id", "<name>", 1, None, None), 200),
            ] {
                prop_assert_eq!(response.status, status);
                prop_assert!(!html(&response).contains("<name>"));
                let kind = header(&response, "Content-Type");
                prop_assert_eq!(kind, Some("text/html; charset=utf-8"));
            }
        }
    }
}
