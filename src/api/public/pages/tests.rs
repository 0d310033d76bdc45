//! Every page, rendered; and names that would like to be more than names.

use super::*;
use crate::http::Payload;

/// Names that have been markup, script or confusion elsewhere.
const HOSTILE: [&str; 14] = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>.png",
    "\"><svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    "</title><script>alert(1)</script>",
    "</main></body><iframe src=javascript:alert(1)>",
    "javascript:alert(1)",
    "{{ site }}{% raw %}",
    "<!-- --><b>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\u{2028}\u{2029}<b>",
    "<\u{0}script>",
    "＜script＞",
    "a\u{202e}gpj.exe",
];

fn pages_settings(base_url: &str) -> ApiSettings {
    ApiSettings {
        base_url: base_url.to_owned(),
        default_downloads: 1,
        default_days: 14,
        max_file_size: 1,
        hotlink_protection: false,
        pages: PageSettings {
            name: "Box & <Co>".to_owned(),
            ..PageSettings::default()
        },
        secure_cookies: false,
    }
}

fn pages_at(base_url: &str) -> Pages {
    Pages::new(&pages_settings(base_url))
}

fn pages() -> Pages {
    pages_at("https://share.example")
}

fn html(response: &Response) -> String {
    let Payload::Bytes(bytes) = &response.payload else {
        panic!("a page is small");
    };
    String::from_utf8(bytes.clone()).unwrap()
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    let mut all = response.headers.iter().filter(|(n, _)| *n == name);
    let first = all.next().map(|(_, v)| v.as_str());
    assert!(all.next().is_none(), "{name} twice");
    first
}

/// The tags of a page, in order: what a name must not add to.
fn tags(html: &str) -> Vec<String> {
    html.split('<')
        .skip(1)
        .map(|rest| rest.split(['>', ' ', '\n']).next().unwrap().to_owned())
        .collect()
}

#[test]
fn hostile_names_stay_text() {
    let file = |name: &str| html(&pages().file("abcdefgh", name, 12, None, Some(3)));
    let harmless = tags(&file("report.pdf"));
    for name in HOSTILE {
        let page = file(name);
        assert_eq!(tags(&page), harmless, "{name}");
        assert!(!page.contains('\u{202e}'), "{name}");
        assert!(!page.contains('\0'), "{name}");
    }
    assert!(file("<b>&\"'").contains("<bdi>&lt;b&gt;&amp;&quot;&#39;</bdi>"));
}

#[test]
fn the_name_of_the_server_is_text_too() {
    let page = html(&pages().start());
    assert!(page.contains("Box &amp; &lt;Co&gt;") && !page.contains("<Co>"));
}

#[test]
fn the_page_of_a_file_says_what_there_is_to_say() {
    let page = |downloads, until| html(&pages().file("abcdefgh", "a.txt", 12, until, downloads));
    let one = page(Some(1), Some(Timestamp(1_796_458_178)));
    for text in [
        "<bdi>a.txt</bdi>",
        "<p class=\"size\">12 B</p>",
        "1 download left, until <time",
        ">5 Dec 2026, 08:09 UTC</time>",
        "datetime=\"2026-12-05T08:09:38Z\"",
        "href=\"/dh/abcdefgh\"",
        "This is the last download",
    ] {
        assert!(one.contains(text), "{text} is not in\n{one}");
    }
    let free = page(None, None);
    assert!(free.contains("Available until it is deleted."));
    assert!(!free.contains("last download") && free.contains("class=\"button\""));
    let many = page(Some(3), None);
    assert!(many.contains("3 downloads left</p>"), "{many}");
    let timed = page(None, Some(Timestamp(0)));
    assert!(timed.contains("Available until <time datetime=\"1970-01-01T00:00:00Z\">"));
}

#[test]
fn a_locked_page_tells_nothing_but_that_it_is_locked() {
    let asked = pages().locked("abcdefgh", false);
    let wrong = pages().locked("abcdefgh", true);
    assert_eq!((asked.status, wrong.status), (200, 403));
    assert!(html(&asked).contains("action=\"/d?id=abcdefgh\""));
    assert!(!html(&asked).contains("not the password"));
    assert!(html(&wrong).contains("That is not the password."));
    let empty = Pages::locked(&pages(), "abcdefgh", false);
    assert!(!html(&empty).contains("/dh/"));
}

#[test]
fn a_server_below_a_path_links_below_it() {
    let pages = pages_at("https://host.example/files/share");
    let page = html(&pages.file("abcdefgh", "a", 1, None, None));
    for address in [
        "href=\"/files/share/dh/abcdefgh\"",
        "href=\"/files/share/assets/style.css?v=",
        "href=\"/files/share/\"",
    ] {
        assert!(page.contains(address), "{address} is not in\n{page}");
    }
    assert!(html(&pages.start()).contains("https://host.example/files/share/api/files/add"));
    assert_eq!(pages.link("abc"), "/files/share/d?id=abc");
}

#[test]
fn pages_bring_no_script_and_allow_none() {
    let all = [
        pages().start(),
        pages().file("abcdefgh", "a", 1, None, None),
        pages().locked("abcdefgh", true),
        pages().not_found(),
        pages().error(&Error::Damaged),
    ];
    for response in all {
        let page = html(&response);
        for bad in ["<script", "style=", " onload", "javascript:", "http://"] {
            assert!(!page.contains(bad), "{bad} in\n{page}");
        }
        let policy = header(&response, "Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'none';"));
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"));
        for (name, value) in [
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Content-Type", "text/html; charset=utf-8"),
            ("X-Robots-Tag", "noindex, nofollow"),
        ] {
            assert_eq!(header(&response, name), Some(value));
        }
        assert!(page.contains("name=\"robots\" content=\"noindex, nofollow\""));
    }
}

#[test]
fn errors_have_their_status_and_tell_no_secret() {
    let wait = Duration::from_secs(30);
    for (error, status) in [
        (Error::NotFound, 404),
        (Error::Forbidden, 404),
        (Error::Unauthorized, 404),
        (Error::PasswordNeeded, 403),
        (Error::WrongPassword, 403),
        (Error::Busy(wait), 429),
        (Error::TooMany(wait), 429),
        (Error::TooLarge { limit: 1 }, 413),
        (Error::Full { available: 1 }, 507),
        (Error::Quota, 507),
        (Error::Invalid("too long".into()), 400),
        (Error::Input(std::io::ErrorKind::UnexpectedEof.into()), 400),
        (Error::Damaged, 410),
        (Error::Internal("/secret/path".into()), 500),
        (Error::Away("bucket secret".into()), 503),
    ] {
        let response = pages().error(&error);
        assert_eq!(response.status, status, "{error:?}");
        let retry = header(&response, "Retry-After");
        assert_eq!(
            retry,
            [429, 503].contains(&status).then_some("30"),
            "{error:?}"
        );
        assert!(!html(&response).contains("secret"));
    }
}

#[test]
fn assets_are_kept_until_they_change() {
    let pages = pages();
    let page = html(&pages.start());
    let version = |path: &str| {
        let at = page.find(&format!("\"{path}?v=")).unwrap() + path.len() + 4;
        page[at..at + 16].to_owned()
    };
    type Serve = fn(&Pages, Option<&str>) -> Response;
    let all: [(&str, Serve, &str); 3] = [
        (STYLE_PATH, Pages::style, "text/css; charset=utf-8"),
        (LOGO_PATH, Pages::logo, "image/svg+xml"),
        (FAVICON_PATH, Pages::favicon, "image/svg+xml"),
    ];
    for (path, serve, kind) in all {
        let right = format!("v={}", version(path));
        for (query, keep) in [
            (Some(right.as_str()), "public, max-age=31536000, immutable"),
            (None, "public, max-age=86400"),
            (Some("v=0123456789abcdef"), "no-store"),
        ] {
            let response = serve(&pages, query);
            assert_eq!(header(&response, "Cache-Control"), Some(keep), "{path}");
            assert_eq!(header(&response, "Content-Type"), Some(kind));
            assert!(!html(&response).is_empty());
        }
    }
    assert_eq!(
        header(&ROBOTS.serve(None), "Cache-Control"),
        Some("public, max-age=86400")
    );
}

#[test]
fn large_assets_are_not_copied_for_everybody_who_takes_them() {
    let bytes: Arc<[u8]> = vec![b'x'; 64 * 1024].into();
    let asset = Asset {
        content_type: "image/png",
        bytes: assets::Bytes::Own(Arc::clone(&bytes)),
        keep: "",
    };
    let answers: Vec<Response> = (0..10).map(|_| asset.serve(None)).collect();
    for answer in &answers {
        assert_eq!(header(answer, "Content-Type"), Some("image/png"));
        let Payload::Stream(stream) = &answer.payload else {
            panic!("a copy");
        };
        assert_eq!(stream.length, Some(64 * 1024));
    }
    assert_eq!(Arc::strong_count(&bytes), 2 + answers.len());
}

mod branches;
mod mistakes;
mod own;
