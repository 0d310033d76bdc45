//! Documents of object storage: whatever comes, reading ends, and what is taken is a document of the expected form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly::store::s3::xml::parse;
use serde::Deserialize;

#[derive(Deserialize)]
struct Listing {
    #[serde(rename = "IsTruncated")]
    _truncated: bool,
    #[serde(rename = "Contents", default)]
    contents: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "Size")]
    size: u64,
}

fuzz_target!(|document: &[u8]| {
    let Ok(listing) = parse::<Listing>(document) else {
        return;
    };
    let text = std::str::from_utf8(document).expect("only UTF-8 is read");
    // Elsewhere, in a value or a comment, these are characters like others.
    let opening = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    assert!(
        !opening.starts_with("<!DOCTYPE"),
        "a document type was taken"
    );
    for entry in listing.contents {
        assert!(entry.key.len() <= document.len());
        assert!(entry.size.to_string().len() <= document.len());
    }
});
