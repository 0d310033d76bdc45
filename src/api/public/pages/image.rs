//! Pictures of the owner: which kind they are, by their bytes, and how large, so that a page keeps
//! the right room free before they arrive.

/// What the pages need to know of a picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Picture {
    /// Its type.
    pub content_type: &'static str,
    /// Width and height in its own pixels, both at least 1.
    pub size: (u32, u32),
}

/// Looks at a picture: PNG, JPEG, WebP, ICO or SVG.
pub fn look(bytes: &[u8]) -> Option<Picture> {
    let known: [(&'static str, Option<(u32, u32)>); 5] = [
        ("image/png", png(bytes)),
        ("image/jpeg", jpeg(bytes)),
        ("image/webp", webp(bytes)),
        ("image/x-icon", ico(bytes)),
        ("image/svg+xml", svg(bytes)),
    ];
    known.into_iter().find_map(|(content_type, size)| {
        let size = size.filter(|(width, height)| *width > 0 && *height > 0)?;
        Some(Picture { content_type, size })
    })
}

/// Width and height when drawn `height` pixels high and at most `width` wide.
pub fn fitted((w, h): (u32, u32), width: u32, height: u32) -> (u32, u32) {
    let by_height = u64::from(w) * u64::from(height) / u64::from(h.max(1));
    match u32::try_from(by_height) {
        Ok(fits) if fits <= width => (fits.max(1), height),
        _ => {
            let by_width = u64::from(h) * u64::from(width) / u64::from(w.max(1));
            (width, u32::try_from(by_width).unwrap_or(height).max(1))
        }
    }
}

fn big(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(four))
}

fn big16(bytes: &[u8], at: usize) -> Option<u32> {
    let two = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_be_bytes(two).into())
}

fn little16(bytes: &[u8], at: usize) -> Option<u32> {
    let two = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_le_bytes(two).into())
}

fn png(bytes: &[u8]) -> Option<(u32, u32)> {
    let head = bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.get(12..16) == Some(b"IHDR");
    head.then(|| Some((big(bytes, 16)?, big(bytes, 20)?)))?
}

/// Walks over the segments to the one that starts a frame (ITU-T T.81, annex B).
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    if !bytes.starts_with(b"\xff\xd8\xff") {
        return None;
    }
    let mut at = 2;
    loop {
        let [0xff, marker] = *bytes.get(at..at + 2)? else {
            return None;
        };
        match marker {
            0xc4 | 0xc8 | 0xcc => {}
            0xc0..=0xcf => return Some((big16(bytes, at + 7)?, big16(bytes, at + 5)?)),
            // Filling, and markers without a segment.
            0xff => {
                at += 1;
                continue;
            }
            0x01 | 0xd0..=0xd8 => {
                at += 2;
                continue;
            }
            _ => {}
        }
        at += 2 + usize::try_from(big16(bytes, at + 2)?).ok()?;
    }
}

/// RFC 9649, section 2: lossy, lossless, and with more than one part.
fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    if !bytes.starts_with(b"RIFF") || bytes.get(8..12) != Some(b"WEBP") {
        return None;
    }
    match bytes.get(12..16)? {
        b"VP8 " => Some((little16(bytes, 26)? & 0x3fff, little16(bytes, 28)? & 0x3fff)),
        b"VP8L" => {
            let bits = u32::from_le_bytes(bytes.get(21..25)?.try_into().ok()?);
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8X" => {
            let three = |at| Some(little16(bytes, at)? + (u32::from(*bytes.get(at + 2)?) << 16));
            Some((three(24)? + 1, three(27)? + 1))
        }
        _ => None,
    }
}

fn ico(bytes: &[u8]) -> Option<(u32, u32)> {
    let any = |n: u8| if n == 0 { 256 } else { u32::from(n) };
    let head = bytes.starts_with(b"\0\0\x01\0") && little16(bytes, 4)? > 0;
    head.then(|| Some((any(*bytes.get(6)?), any(*bytes.get(7)?))))?
}

/// The root element's `viewBox`, or its width and height, or a square.
fn svg(bytes: &[u8]) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_start();
    if !text.starts_with('<') {
        return None;
    }
    let root = &text[text.find("<svg")?..];
    let root = &root[..root.find('>')?];
    let number = |text: &str| {
        let text = text.trim().trim_end_matches("px");
        let n: f64 = text.parse().ok()?;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the value is within the bounds of the type"
        )]
        (1.0..=1e6).contains(&n).then(|| n.round() as u32)
    };
    let from_box = attribute(root, "viewBox").and_then(|value| {
        let mut numbers = value.split([' ', ',']).filter(|n| !n.is_empty()).skip(2);
        Some((number(numbers.next()?)?, number(numbers.next()?)?))
    });
    let from_size = || {
        Some((
            number(attribute(root, "width")?)?,
            number(attribute(root, "height")?)?,
        ))
    };
    Some(from_box.or_else(from_size).unwrap_or((1, 1)))
}

/// The value of an attribute of an element, as it is written.
fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = element;
    loop {
        let at = rest.find(name)?;
        let before = rest[..at].chars().next_back();
        rest = &rest[at + name.len()..];
        let value = rest.trim_start().strip_prefix('=').map(str::trim_start);
        if let Some(value) = value
            && before.is_some_and(char::is_whitespace)
        {
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            return value[1..].split(quote).next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(bytes: &[u8]) -> Option<(&'static str, (u32, u32))> {
        look(bytes).map(|picture| (picture.content_type, picture.size))
    }

    #[test]
    fn each_kind_is_known_by_its_bytes() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\0\x80\x08\x06";
        let jpeg = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xff\xc2\0\x11\x08\0\x20\0\x40\x03";
        let lossy = b"RIFF\x24\0\0\0WEBPVP8 \x18\0\0\0\x30\x01\0\x9d\x01\x2a\x50\0\x28\0";
        let lossless = b"RIFF\x24\0\0\0WEBPVP8L\x18\0\0\0\x2f\x4f\xc0\x09\0";
        let extended = b"RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x4f\0\0\x27\0\0";
        let ico = b"\0\0\x01\0\x01\0\x10\0\0\0\x01\0";
        assert_eq!(seen(png), Some(("image/png", (256, 128))));
        assert_eq!(seen(jpeg), Some(("image/jpeg", (64, 32))));
        assert_eq!(seen(lossy), Some(("image/webp", (80, 40))));
        assert_eq!(seen(lossless), Some(("image/webp", (80, 40))));
        assert_eq!(seen(extended), Some(("image/webp", (80, 40))));
        assert_eq!(seen(ico), Some(("image/x-icon", (16, 256))));
        for cut in [
            &png[..20],
            &jpeg[..25],
            &lossy[..27],
            &lossless[..20],
            &ico[..6],
        ] {
            assert_eq!(seen(cut), None);
        }
    }

    #[test]
    fn drawings_have_the_size_that_they_say() {
        for (text, size) in [
            ("<svg viewBox=\"0 0 300 100\"/>", (300, 100)),
            (
                "<?xml version='1.0'?>\n<!-- x --><svg\n viewBox = '0,0,30,10' width='5' height='5'>",
                (30, 10),
            ),
            (
                "<svg stroke-width=\"9\" width=\"30px\" height='15.4'>",
                (30, 15),
            ),
            ("<svg width=\"100%\" height=\"1e99\">", (1, 1)),
            ("\u{feff} <svg>", (1, 1)),
        ] {
            assert_eq!(
                seen(text.as_bytes()),
                Some(("image/svg+xml", size)),
                "{text}"
            );
        }
        for text in ["", "<html>", "svg", "<svg", "GIF89a", "body { color: red }"] {
            assert_eq!(seen(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn pictures_keep_their_shape() {
        assert_eq!(fitted((300, 100), 240, 40), (120, 40));
        assert_eq!(fitted((3000, 100), 240, 40), (240, 8));
        assert_eq!(fitted((1, 1_000_000), 240, 40), (1, 40));
        assert_eq!(fitted((u32::MAX, 1), 240, 40), (240, 1));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for head in [&b""[..], b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8X", b"<svg "] {
                look(&[head, &bytes].concat());
            }
        }
    }
}
