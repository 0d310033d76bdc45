//! Documents that servers send, and some that they should not.

use crate::store::s3::xml::{error_in, parse};
use crate::store::s3::{Kind, S3Error};
use serde::Deserialize;

#[derive(Deserialize, Debug, PartialEq)]
struct Listing {
    #[serde(rename = "IsTruncated")]
    truncated: bool,
    #[serde(rename = "Contents", default)]
    contents: Vec<Entry>,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Entry {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "Size")]
    size: u64,
}

fn read(text: &str) -> Result<Listing, S3Error> {
    parse(text.as_bytes())
}

#[test]
fn a_listing_is_read_with_a_declaration_a_namespace_and_what_nobody_asked_for() {
    let listing = read(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>\
         <CommonPrefixes/><!-- so --><IsTruncated>false</IsTruncated>\
         <Contents><Key>a&amp;b&#x2f;c</Key><Size>5368709120</Size><Owner><ID>1</ID></Owner></Contents>\
         <Contents><Key>d</Key><Size>0</Size></Contents></ListBucketResult>",
    );
    let entry = |key: &str, size| Entry {
        key: key.to_owned(),
        size,
    };
    let expected = Listing {
        truncated: false,
        contents: vec![entry("a&b/c", 5_368_709_120), entry("d", 0)],
    };
    assert_eq!(listing.unwrap(), expected);
}

#[test]
fn documents_that_are_made_to_harm_are_refused() {
    let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    let nine = format!("{}{}", "<a>".repeat(9), "</a>".repeat(9));
    let many = format!("<a>{}</a>", "<b/>".repeat(60_000));
    let laughs = "<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]>\
                  <L><IsTruncated>&b;</IsTruncated></L>";
    let outside =
        "<!DOCTYPE l SYSTEM \"file:///etc/passwd\"><L><IsTruncated>true</IsTruncated></L>";
    for (what, text) in [
        ("nested without end", deep.as_str()),
        ("nested too deep", &nine),
        ("too many elements", &many),
        ("entities that grow", laughs),
        ("an entity from outside", outside),
        (
            "an entity that nobody knows",
            "<L><IsTruncated>&b;</IsTruncated></L>",
        ),
        ("cut off", "<L><IsTruncated>true</IsTruncated>"),
        ("crossed", "<L><IsTruncated>true</L></IsTruncated>"),
        ("nothing", ""),
        ("no document", "Service Unavailable"),
        (
            "a web page",
            "<!DOCTYPE html><html><body>Login</body></html>",
        ),
        (
            "a part is missing",
            "<L><Contents><Key>a</Key><Size>1</Size></Contents></L>",
        ),
        (
            "no number",
            "<L><IsTruncated>true</IsTruncated><Contents><Key>a</Key><Size>-1</Size></Contents></L>",
        ),
        (
            "two values",
            "<L><IsTruncated>true</IsTruncated><IsTruncated>false</IsTruncated></L>",
        ),
    ] {
        let error = read(text).expect_err(what);
        assert_eq!(*error.kind(), Kind::Broken, "{what}");
        assert!(
            error.to_string().starts_with("the server's document "),
            "{what}: {error}"
        );
    }
    assert!(parse::<Listing>(b"<L><IsTruncated>\xff</IsTruncated></L>").is_err());
}

#[test]
fn an_error_is_known_by_its_element_not_by_its_words() {
    let found = error_in(
        b"<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>wait &lt;b&gt;</Message><Region>x</Region></Error>",
    )
    .unwrap();
    assert_eq!(found.code, "SlowDown");
    assert_eq!(found.message, "wait <b>");
    assert_eq!(found.region.as_deref(), Some("x"));
    let namespaced = error_in(b"<a:Error xmlns:a=\"b\"><Code>X</Code></a:Error>").unwrap();
    assert_eq!(namespaced.code, "X");
    assert!(error_in(b"<Error/>").is_some_and(|e| e.code.is_empty()));
    for none in [
        &b"<CompleteMultipartUploadResult><Error>x</Error></CompleteMultipartUploadResult>"[..],
        b"<Errors/>",
        b"Error",
        b"",
        b"<Error><Code>cut off",
    ] {
        assert!(
            error_in(none).is_none(),
            "{}",
            String::from_utf8_lossy(none)
        );
    }
}
