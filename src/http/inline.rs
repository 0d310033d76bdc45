//! Which files a browser may show under our name: an allow-list, by the declared type and by the
//! first bytes. Everything that can hold a script (SVG, HTML, XML, PDF) is saved, never shown.

use memchr::memmem;

/// How many first bytes of a file are needed.
pub const SNIFF: usize = 512;

/// The `Content-Type` to show a file with, or `None` to have it saved.
///
/// `first` is the beginning of the file, [`SNIFF`] bytes or all of it. The result is from a fixed
/// list: nothing that the client declared is sent back. Send it with `nosniff`.
pub fn inline_type(declared: &str, first: &[u8]) -> Option<&'static str> {
    let (content_type, fits) = kind(declared)?;
    fits(first).then_some(content_type)
}

/// The `Content-Type` that a file may be saved with where nothing else keeps browsers from running it: one of those
/// that hold no script, whatever the bytes are, or `None`.
pub fn inert_type(declared: &str) -> Option<&'static str> {
    kind(declared).map(|(content_type, _)| content_type)
}

/// Whether the first bytes are of a kind.
type Fits = fn(&[u8]) -> bool;

/// The type that is meant, and what its files begin with.
fn kind(declared: &str) -> Option<(&'static str, Fits)> {
    let essence = declared.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let kind: (_, Fits) = match essence.as_str() {
        "image/png" => ("image/png", |b| b.starts_with(b"\x89PNG\r\n\x1a\n")),
        "image/jpeg" | "image/jpg" | "image/pjpeg" => {
            ("image/jpeg", |b| b.starts_with(b"\xff\xd8\xff"))
        }
        "image/gif" => ("image/gif", |b| {
            b.starts_with(b"GIF87a") || b.starts_with(b"GIF89a")
        }),
        "image/webp" => ("image/webp", |b| is_riff(b, b"WEBP")),
        "image/avif" => ("image/avif", |b| has_brand(b, AVIF)),
        "video/mp4" => ("video/mp4", |b| has_brand(b, MP4)),
        "audio/mp4" | "audio/x-m4a" => ("audio/mp4", |b| has_brand(b, MP4)),
        "video/webm" => ("video/webm", is_webm),
        "audio/webm" => ("audio/webm", is_webm),
        "audio/mpeg" | "audio/mp3" => ("audio/mpeg", is_mp3),
        "audio/ogg" | "application/ogg" => ("audio/ogg", |b| b.starts_with(b"OggS\0")),
        "video/ogg" => ("video/ogg", |b| b.starts_with(b"OggS\0")),
        "audio/flac" | "audio/x-flac" => ("audio/flac", |b| b.starts_with(b"fLaC")),
        "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => {
            ("audio/wav", |b| is_riff(b, b"WAVE"))
        }
        "text/plain" => ("text/plain; charset=utf-8", is_text),
        _ => return None,
    };
    Some(kind)
}

/// Brands of AVIF images and sequences.
const AVIF: &[&[u8]] = &[b"avif", b"avis"];
/// Brands of MP4 films and sound. Not those of images in the same container.
const MP4: &[&[u8]] = &[
    b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"M4V ",
    b"M4A ", b"dash", b"MSNV",
];

/// Whether the file is of the ISO base media format and its main brand is one of these.
fn has_brand(first: &[u8], brands: &[&[u8]]) -> bool {
    first.get(4..8) == Some(b"ftyp") && first.get(8..12).is_some_and(|b| brands.contains(&b))
}

fn is_riff(first: &[u8], form: &[u8]) -> bool {
    first.starts_with(b"RIFF") && first.get(8..12) == Some(form)
}

/// An EBML head that names the document type `webm` (element 0x4282).
fn is_webm(first: &[u8]) -> bool {
    let head = first.get(..first.len().min(64)).unwrap_or_default();
    head.starts_with(b"\x1a\x45\xdf\xa3") && memmem::find(head, b"\x42\x82\x84webm").is_some()
}

/// An ID3 tag, or the head of a frame of MPEG audio, layer III, with a bit rate and a sample rate.
fn is_mp3(first: &[u8]) -> bool {
    first.starts_with(b"ID3")
        || matches!(first, [0xff, b, c, ..]
            if b & 0xe6 == 0xe2 && b & 0x18 != 0x08 && c & 0xf0 != 0xf0 && c & 0x0c != 0x0c)
}

/// UTF-8 (perhaps cut at the end) without control characters that text does not have, and that no
/// reader could take for markup or PDF.
fn is_text(first: &[u8]) -> bool {
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
    let utf8 = match std::str::from_utf8(text) {
        Ok(_) => true,
        Err(e) => e.error_len().is_none() && first.len() >= SNIFF,
    };
    let control = |b: &u8| b.is_ascii_control() && !b"\t\n\r\x0c\x1b".contains(b);
    let begin = text.trim_ascii_start();
    utf8 && !text.iter().any(control) && !begin.starts_with(b"<") && !begin.starts_with(b"%PDF")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&str, &[u8]); 14] = [
        ("image/png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        ("image/jpeg", b"\xff\xd8\xff\xe0\0\x10JFIF"),
        ("image/gif", b"GIF89a\x01\0"),
        ("image/webp", b"RIFF\x10\0\0\0WEBPVP8 "),
        ("image/avif", b"\0\0\0\x1cftypavif\0\0\0\0mif1avif"),
        ("video/mp4", b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41"),
        ("audio/mp4", b"\0\0\0\x20ftypM4A \0\0\x02\0M4A mp42"),
        (
            "video/webm",
            b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm\x42\x87",
        ),
        ("audio/mpeg", b"\xff\xfb\x90\x64\0"),
        ("audio/mpeg", b"ID3\x04\0\0"),
        ("audio/ogg", b"OggS\0\x02"),
        ("audio/flac", b"fLaC\0\0\0\x22"),
        ("audio/wav", b"RIFF\x24\0\0\0WAVEfmt "),
        ("text/plain; charset=utf-8", "grüße\n".as_bytes()),
    ];

    #[test]
    fn each_kind_is_shown_under_its_own_type_only() {
        for (content_type, bytes) in FILES {
            assert_eq!(inline_type(content_type, bytes), Some(content_type));
            assert_eq!(inert_type(content_type), Some(content_type));
            let shouted = content_type.to_ascii_uppercase();
            assert_eq!(inline_type(&shouted, bytes), Some(content_type));
            for (other, _) in FILES {
                let family = |t: &str| t.contains("mp4");
                if other != content_type && !(family(other) && family(content_type)) {
                    assert_eq!(inline_type(other, bytes), None, "{content_type} as {other}");
                }
            }
        }
    }

    #[test]
    fn other_names_of_a_type_become_the_right_one() {
        for (declared, at, wanted) in [
            ("image/jpg", 1, "image/jpeg"),
            ("audio/mp3", 8, "audio/mpeg"),
            ("application/ogg", 10, "audio/ogg"),
            ("audio/x-flac", 11, "audio/flac"),
            ("audio/x-wav", 12, "audio/wav"),
            (
                "text/plain; charset=iso-8859-1; x=\"<script>\"",
                13,
                "text/plain; charset=utf-8",
            ),
        ] {
            assert_eq!(inline_type(declared, FILES[at].1), Some(wanted));
        }
    }

    #[test]
    fn what_can_hold_a_script_is_never_shown() {
        for declared in [
            "image/svg+xml",
            "text/html",
            "application/xhtml+xml",
            "text/xml",
            "application/xml",
            "application/pdf",
            "text/javascript",
            "text/css",
            "application/wasm",
            "application/octet-stream",
            "multipart/x-mixed-replace",
            "image/*",
            "",
        ] {
            for (_, bytes) in FILES {
                assert_eq!(inline_type(declared, bytes), None, "{declared}");
            }
            assert_eq!(inert_type(declared), None, "{declared}");
        }
        for bytes in [
            b"<svg xmlns=".as_slice(),
            b"<!DOCTYPE html>",
            b"\xef\xbb\xbf \r\n<?xml",
            b"%PDF-1.7",
        ] {
            for (declared, _) in FILES {
                assert_eq!(inline_type(declared, bytes), None, "{declared}");
            }
        }
    }

    #[test]
    fn text_is_text() {
        let mut cut = "é".repeat(SNIFF);
        cut.insert(0, 'x');
        let cut = &cut.as_bytes()[..SNIFF];
        assert!(inline_type("text/plain", cut).is_some());
        assert!(inline_type("text/plain", b"").is_some());
        assert!(inline_type("text/plain", b"\x1b[1mbold\x1b[0m\t\r\n\x0c").is_some());
        for bytes in [
            b"a\0b".as_slice(),
            b"\xff\xfea\0",
            b"caf\xe9",
            b"\xc3",
            b"\x08",
        ] {
            assert_eq!(inline_type("text/plain", bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn short_files_are_nothing_but_text() {
        for (declared, bytes) in FILES {
            for length in 0..bytes.len().min(3) {
                let shown = inline_type(declared, &bytes[..length]).is_some();
                assert!(!shown || declared.starts_with("text/"), "{declared}");
            }
        }
    }
}
