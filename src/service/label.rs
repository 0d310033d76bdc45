//! Names and types of files, as clients give them and as links keep them.

use crate::model::{BlobId, Lookup, Secret, clean_name};
use crate::pipeline::seal::keys::{self, Purpose};

/// The longest media type, in bytes.
const TYPE_MAX: usize = 255;
/// The type of whatever has no better one.
const UNKNOWN_TYPE: &str = "application/octet-stream";
/// What a hotlink may show, by extension; the type has to be an image, too.
const IMAGE_EXTENSIONS: [&str; 12] = [
    "jpg", "jpeg", "png", "gif", "webp", "bmp", "tiff", "tif", "ico", "avif", "avifs", "apng",
];

/// Name and type of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Label {
    pub(super) name: String,
    pub(super) content_type: String,
}

impl Label {
    /// Cleans what a client gave.
    pub(super) fn clean(name: &str, content_type: &str) -> Self {
        Self {
            name: clean_name(name),
            content_type: clean_type(content_type),
        }
    }

    /// Whether it may be shown in other people's pages: an image by name and by type, and never
    /// one that can carry a script.
    pub(super) fn is_inline_image(&self) -> bool {
        let extension = self.name.rsplit_once('.').map(|(_, extension)| extension);
        let by_name = extension.is_some_and(|e| {
            IMAGE_EXTENSIONS
                .iter()
                .any(|known| known.eq_ignore_ascii_case(e))
        });
        let by_type = self.content_type.starts_with("image/")
            && !["svg", "xml"].iter().any(|x| self.content_type.contains(x));
        by_name && by_type
    }

    /// Seals it under the content key, for the row of one link.
    pub(super) fn seal(&self, content: &Secret, lookup: &Lookup, blob: &BlobId) -> Vec<u8> {
        // Both are cleaned, so the name cannot contain the separator.
        let text = format!("{}\0{}", self.name, self.content_type);
        let secrets = [&content.reveal()[..]];
        keys::wrap(
            Purpose::Label,
            &secrets,
            &row(lookup, blob),
            text.as_bytes(),
        )
    }

    /// Opens [`Label::seal`].
    pub(super) fn open(
        sealed: &[u8],
        content: &Secret,
        lookup: &Lookup,
        blob: &BlobId,
    ) -> Option<Self> {
        let secrets = [&content.reveal()[..]];
        let text = keys::unwrap(Purpose::Label, &secrets, &row(lookup, blob), sealed)?;
        let (name, content_type) = std::str::from_utf8(&text).ok()?.split_once('\0')?;
        Some(Self {
            name: name.to_owned(),
            content_type: content_type.to_owned(),
        })
    }
}

/// What the wraps of a link are bound to: its row, and the bytes it is about.
pub(super) fn row(lookup: &Lookup, blob: &BlobId) -> [u8; 48] {
    let mut context = [0; 48];
    context[..32].copy_from_slice(&lookup.0);
    context[32..].copy_from_slice(&blob.0);
    context
}

/// A media type (RFC 9110, section 8.3.1), its type and subtype in lower case.
fn clean_type(content_type: &str) -> String {
    let text = content_type.trim();
    let (essence, parameters) = match text.split_once(';') {
        Some((essence, parameters)) => (essence.trim_end(), Some(parameters.trim())),
        None => (text, None),
    };
    let is_token = |s: &str| {
        !s.is_empty()
            && s.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let is_type = essence
        .split_once('/')
        .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    let is_plain = text.len() <= TYPE_MAX && text.bytes().all(|b| (0x20..0x7f).contains(&b));
    if !is_type || !is_plain {
        return UNKNOWN_TYPE.to_owned();
    }
    let essence = essence.to_ascii_lowercase();
    match parameters.filter(|p| !p.is_empty()) {
        Some(parameters) => format!("{essence}; {parameters}"),
        None => essence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_media_types() {
        for (given, kept) in [
            ("text/plain", "text/plain"),
            ("Text/HTML ; charset=utf-8", "text/html; charset=utf-8"),
            ("", UNKNOWN_TYPE),
            ("html", UNKNOWN_TYPE),
            ("text/", UNKNOWN_TYPE),
            ("text/html\r\nX: y", UNKNOWN_TYPE),
            ("text/<script>", UNKNOWN_TYPE),
        ] {
            assert_eq!(clean_type(given), kept, "{given:?}");
        }
    }

    #[test]
    fn only_images_without_scripts_get_hotlinks() {
        let inline = |name: &str, kind: &str| Label::clean(name, kind).is_inline_image();
        assert!(inline("a.png", "image/png") && inline("A.JPG", "image/jpeg"));
        assert!(!inline("a.svg", "image/svg+xml"));
        assert!(!inline("a.png", "image/svg+xml"));
        assert!(!inline("a.png", "text/html"));
        assert!(!inline("a.html", "image/png"));
        assert!(!inline("png", "image/png"));
    }

    #[test]
    fn a_label_opens_only_with_its_key_in_its_row() {
        let (key, other) = (keys::random_secret(), keys::random_secret());
        let (lookup, blob) = (Lookup([1; 32]), BlobId([2; 16]));
        let label = Label::clean("a.txt", "text/plain");
        let sealed = label.seal(&key, &lookup, &blob);
        assert_eq!(Label::open(&sealed, &key, &lookup, &blob), Some(label));
        assert_eq!(Label::open(&sealed, &other, &lookup, &blob), None);
        assert_eq!(Label::open(&sealed, &key, &Lookup([3; 32]), &blob), None);
        assert_eq!(Label::open(&sealed, &key, &lookup, &BlobId([4; 16])), None);
    }
}
