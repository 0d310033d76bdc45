//! Documents of a server: small, flat, without entities of their own; anything else is refused before it is read
//! into types.

use super::error::{Kind, S3Error};
use quick_xml::Reader;
use quick_xml::events::Event;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Deepest nesting. S3's own documents have four levels.
const DEPTH: usize = 8;
/// Most elements. A listing of 1,000 objects has some 9,000.
const ELEMENTS: usize = 50_000;

/// Reads a document into a type.
///
/// # Errors
/// [`Kind::Broken`] when it is not well-formed, too deep, too long, brings entities, or lacks a part.
pub fn parse<T: DeserializeOwned>(document: &[u8]) -> Result<T, S3Error> {
    let text = check(document)?;
    quick_xml::de::from_str(text).map_err(|_| broken("lacks a part"))
}

/// The `<Error>` of a server.
#[derive(Deserialize, Default)]
pub(super) struct ErrorDocument {
    #[serde(rename = "Code", default)]
    pub(super) code: String,
    #[serde(rename = "Message", default)]
    pub(super) message: String,
    #[serde(rename = "Region", default)]
    pub(super) region: Option<String>,
}

/// The error in a body, if it is one.
pub(super) fn error_in(body: &[u8]) -> Option<ErrorDocument> {
    let text = check(body).ok()?;
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event().ok()? {
            Event::Start(root) | Event::Empty(root) if root.local_name().as_ref() == b"Error" => {
                break;
            }
            Event::Start(_) | Event::Empty(_) | Event::Eof => return None,
            _ => {}
        }
    }
    Some(quick_xml::de::from_str(text).unwrap_or_default())
}

/// The document as text, when it is one that may be read.
fn check(document: &[u8]) -> Result<&str, S3Error> {
    let text = std::str::from_utf8(document).map_err(|_| broken("is not UTF-8"))?;
    let mut reader = Reader::from_str(text);
    let (mut depth, mut elements) = (0usize, 0usize);
    loop {
        match reader.read_event() {
            Ok(Event::Start(_)) => {
                depth += 1;
                elements += 1;
            }
            Ok(Event::Empty(_)) => elements += 1,
            Ok(Event::End(_)) => depth = depth.saturating_sub(1),
            Ok(Event::DocType(_)) => return Err(broken("has a document type")),
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(_) => return Err(broken("is not well-formed")),
        }
        if depth > DEPTH || elements > ELEMENTS {
            return Err(broken("is too large"));
        }
    }
    if depth != 0 || elements == 0 {
        return Err(broken("is cut off"));
    }
    Ok(text)
}

fn broken(what: &str) -> S3Error {
    S3Error::new(Kind::Broken, format!("the server's document {what}"))
}
