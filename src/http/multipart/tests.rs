//! The form parser: what it accepts, what it refuses, and that the way the bytes arrive changes
//! nothing.

mod refusals;
mod splits;

use super::*;
use crate::http::{Body, BodyLength};
use std::collections::VecDeque;

const TYPE: &str = "multipart/form-data; boundary=b0";

/// Hands out `bytes` in reads of the given sizes, cycled; then `end`.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    sizes: VecDeque<usize>,
    end: Option<io::ErrorKind>,
}

impl Pieces {
    fn new(bytes: &[u8], sizes: &[usize]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            at: 0,
            sizes: sizes.iter().copied().collect(),
            end: None,
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes.pop_front().unwrap_or(usize::MAX);
        if size == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if size < usize::MAX {
            self.sizes.push_back(size);
        }
        let n = size.min(out.len()).min(self.bytes.len() - self.at);
        if let (0, Some(kind)) = (n, self.end) {
            return Err(kind.into());
        }
        out[..n].copy_from_slice(&self.bytes[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// A part, read whole.
#[derive(Clone, PartialEq, Debug)]
struct Whole {
    name: String,
    file_name: Option<String>,
    content_type: Option<String>,
    data: Vec<u8>,
}

/// Reads a whole form with reads of `room` bytes.
fn read_all(
    content_type: &str,
    input: &mut dyn Read,
    room: usize,
) -> Result<Vec<Whole>, MultipartError> {
    let mut form = Multipart::new(content_type, input)?;
    let mut wholes = Vec::new();
    let mut out = vec![0; room];
    while let Some(mut part) = form.next_part()? {
        let mut data = Vec::new();
        loop {
            let n = part.read(&mut out).map_err(MultipartError::Input)?;
            if n == 0 {
                break;
            }
            data.extend_from_slice(&out[..n]);
        }
        wholes.push(Whole {
            name: part.name().to_owned(),
            file_name: part.file_name().map(str::to_owned),
            content_type: part.content_type().map(str::to_owned),
            data,
        });
    }
    assert!(form.next_part()?.is_none(), "the end stays the end");
    Ok(wholes)
}

fn parse(body: &[u8]) -> Result<Vec<Whole>, String> {
    read_all(TYPE, &mut Pieces::new(body, &[]), 8192).map_err(|e| e.to_string())
}

/// The only part of a body with this header block.
fn part(header: &str) -> Result<Whole, String> {
    let body = format!("--b0\r\n{header}\r\n\r\ndata\r\n--b0--\r\n");
    let mut wholes = parse(body.as_bytes())?;
    assert_eq!(wholes.len(), 1);
    let whole = wholes.remove(0);
    assert_eq!(whole.data, b"data");
    Ok(whole)
}

fn form_data(parameters: &str) -> Result<Whole, String> {
    part(&format!("Content-Disposition: form-data; {parameters}"))
}

#[test]
fn a_form_as_curl_sends_it() {
    let body = b"--b0\r\nContent-Disposition: form-data; name=\"allowedDownloads\"\r\n\r\n1\r\n\
        --b0\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
        Content-Type: text/plain\r\n\r\nline 1\r\nline 2\r\n\r\n\
        --b0\r\nContent-Disposition: form-data; name=\"after\"\r\n\r\n\r\n--b0--\r\n";
    let field = |name: &str, data: &[u8]| Whole {
        name: name.to_owned(),
        file_name: None,
        content_type: None,
        data: data.to_vec(),
    };
    let file = Whole {
        file_name: Some("a.txt".to_owned()),
        content_type: Some("text/plain".to_owned()),
        ..field("file", b"line 1\r\nline 2\r\n")
    };
    assert_eq!(
        parse(body).unwrap(),
        [field("allowedDownloads", b"1"), file, field("after", b"")]
    );
}

#[test]
fn names_in_every_spelling_of_the_clients() {
    let cases = [
        ("name=file; filename=a.txt", "file", Some("a.txt")),
        ("name=\"f\"; filename=\"\"", "f", Some("")),
        (
            "name=\"f\"; filename=\"a \\\"b\\\" \\\\c\"",
            "f",
            Some("a \"b\" \\c"),
        ),
        ("name=\"f\"; filename=\"a %22b%22\"", "f", Some("a \"b\"")),
        ("name=\"f\"; filename=\"100%.txt\"", "f", Some("100%.txt")),
        ("name=\"f\"; filename=\"a%0D%0Ab\"", "f", Some("a\r\nb")),
        (
            "name=\"f\"; filename=\"C:\\dir\\a.txt\"",
            "f",
            Some("C:\\dir\\a.txt"),
        ),
        ("name=\"f\"; filename=\"a;b=c.txt\"", "f", Some("a;b=c.txt")),
        ("name=\"ü\"; filename=\"日本.txt\"", "ü", Some("日本.txt")),
        (
            "filename=\"x\"; name=\"f\"; filename*=UTF-8''%e2%82%ac",
            "f",
            Some("€"),
        ),
        (
            "name=\"f\"; filename*=UTF-8'de'a%20b; filename=\"x\"",
            "f",
            Some("a b"),
        ),
        ("name=\"f\"; filename*=iso-8859-1''%a3", "f", Some("£")),
        (
            "name=\"f\"; filename=\"x\"; filename*=UTF-8''%ff",
            "f",
            Some("x"),
        ),
        (
            "name=\"f\"; filename=\"x\"; filename*=koi8-r''%ff",
            "f",
            Some("x"),
        ),
        ("NAME=\"f\"; FileName=\"x\"", "f", Some("x")),
        ("name=\"\"", "", None),
    ];
    for (parameters, name, file_name) in cases {
        let whole = form_data(parameters).unwrap();
        assert_eq!(
            (whole.name.as_str(), whole.file_name.as_deref()),
            (name, file_name)
        );
    }
    let latin = b"--b0\r\nContent-Disposition: form-data; name=\"\xe9\"\r\n\r\n\r\n--b0--";
    assert_eq!(parse(latin).unwrap()[0].name, "\u{fffd}");
}

#[test]
fn boundaries_follow_the_grammar() {
    let longest = "x".repeat(70);
    let odd = "a'()+_,-./:=?z";
    for (value, boundary) in [
        ("multipart/form-data; boundary=b0".to_owned(), "b0"),
        (
            "Multipart/Form-Data;boundary=\"b0\"; charset=utf-8".to_owned(),
            "b0",
        ),
        (
            "multipart/form-data; charset=utf-8; Boundary=b0".to_owned(),
            "b0",
        ),
        (
            format!("multipart/form-data; boundary={longest}"),
            longest.as_str(),
        ),
        (format!("multipart/form-data; boundary=\"{odd}\""), odd),
        (format!("multipart/form-data; boundary={odd}"), odd),
        ("multipart/form-data; boundary=\"a b\"".to_owned(), "a b"),
        ("multipart/form-data; boundary=--".to_owned(), "--"),
    ] {
        let body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--{boundary}--"
        );
        let wholes = read_all(&value, &mut body.as_bytes(), 100).unwrap();
        assert_eq!(wholes[0].data, b"x", "{value}");
    }
    for value in [
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\"b0",
        "multipart/form-data; boundary=\"b0 \"",
        "multipart/form-data; boundary=b\u{e9}",
        "multipart/form-data; boundary=b@",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/mixed; boundary=b0",
        "text/plain; boundary=b0",
        &format!("multipart/form-data; boundary={}", "x".repeat(71)),
    ] {
        let result = read_all(value, &mut io::empty(), 100);
        assert!(
            matches!(result, Err(MultipartError::ContentType)),
            "{value}"
        );
    }
}

#[test]
fn only_a_whole_delimiter_at_a_line_start_ends_a_part() {
    let data: &[u8] = b"--b0--\n--b0\r--b0\r\r\n-b0\r\n--b\r\n --b0\r\n\r\n--B0\r\n--b";
    let body = [
        b"preamble --b0\r\n--b0  \t\r\nContent-Disposition: form-data; name=a\r\n\r\nx".as_slice(),
        data,
        b"\r\n--b0-- \t\r\nepilogue\r\n--b0\r\n",
    ]
    .concat();
    let wholes = parse(&body).unwrap();
    assert_eq!(wholes.len(), 1);
    assert_eq!(wholes[0].data, [b"x", data].concat());
}

#[test]
fn a_part_may_have_no_body_at_all() {
    let header = "Content-Disposition: form-data; name=a\r\n";
    for (body, data) in [
        (format!("--b0\r\n{header}\r\n--b0--"), ""),
        (format!("--b0\r\n{header}\r\n\r\n--b0--"), ""),
        (format!("--b0\r\n{header}\r\n\r\n\r\n--b0--"), "\r\n"),
        (format!("--b0\r\n{header}\r\n--b\r\n--b0--"), "--b"),
    ] {
        let wholes = parse(body.as_bytes()).unwrap();
        assert_eq!(wholes[0].data, data.as_bytes(), "{body}");
    }
    assert_eq!(parse(b"--b0--").unwrap(), []);
    assert_eq!(parse(b"\r\n--b0--\r\n").unwrap(), []);
}

#[test]
fn other_header_fields_are_read_or_passed_over() {
    let disposition = "content-disposition:form-data;name=a";
    let whole = part(&format!(
        "X-A: 1\r\n{disposition}\r\nCONTENT-TYPE:  a/b; c=d \r\nX-A: 2"
    ));
    assert_eq!(whole.unwrap().content_type.as_deref(), Some("a/b; c=d"));
    for encoding in ["7bit", "8BIT", "binary"] {
        assert!(
            part(&format!(
                "{disposition}\r\nContent-Transfer-Encoding: {encoding}"
            ))
            .is_ok()
        );
    }
    let folded = part("Content-Disposition: form-data;\r\n name=\"f\";\r\n\tfilename=\"x\"");
    assert_eq!(folded.unwrap().file_name.as_deref(), Some("x"));
}

#[test]
fn unread_parts_are_skipped() {
    let mut body = b"junk".to_vec();
    for size in [0, 1, 5_000, 300_000] {
        body.extend_from_slice(
            format!("\r\n--b0\r\nContent-Disposition: form-data; name={size}\r\n\r\n").as_bytes(),
        );
        body.extend(vec![b'\r'; size]);
    }
    body.extend_from_slice(b"\r\n--b0--");
    for read in [0, 1, 100, 5_000] {
        let mut input = body.as_slice();
        let mut form = Multipart::new(TYPE, &mut input).unwrap();
        let mut names = Vec::new();
        while let Some(mut part) = form.next_part().unwrap() {
            let _ = part.read(&mut vec![0; read]).unwrap();
            names.push(part.name().to_owned());
        }
        assert_eq!(names, ["0", "1", "5000", "300000"]);
    }
}

#[test]
fn small_fields_are_read_up_to_their_limit() {
    let body = [
        b"--b0\r\nContent-Disposition: form-data; name=a\r\n\r\n".to_vec(),
        "é".repeat(1_000).into_bytes(),
        b"\r\n--b0--".to_vec(),
    ]
    .concat();
    let read = |limit| {
        let mut input = body.as_slice();
        let mut form = Multipart::new(TYPE, &mut input).unwrap();
        form.next_part().unwrap().unwrap().read_text(limit)
    };
    assert_eq!(read(2_000).unwrap(), "é".repeat(1_000));
    let refused = read(1_999).unwrap_err();
    assert!(matches!(
        refused,
        MultipartError::TooLarge { limit: 1_999, .. }
    ));
}

/// Notes where each read was to go.
struct Watched<'a>(&'a [u8], Vec<usize>);

impl Read for Watched<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.1.push(out.as_ptr().addr());
        self.0.read(out)
    }
}

#[test]
fn a_large_file_goes_straight_into_the_readers_buffer() {
    let data: Vec<u8> = (0..5_000_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let body = [
        b"--b0\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n".as_slice(),
        &data,
        b"\r\n--b0--\r\n",
    ]
    .concat();
    let mut input = Watched(&body, Vec::new());
    let mut out = vec![0; 128 * 1024];
    let (mut got, mut reads) = (Vec::new(), 0);
    let mut form = Multipart::new(TYPE, &mut input).unwrap();
    let mut part = form.next_part().unwrap().unwrap();
    loop {
        let n = part.read(&mut out).unwrap();
        if n == 0 {
            break;
        }
        got.extend_from_slice(&out[..n]);
        reads += 1;
    }
    assert!(got == data);
    assert!(form.next_part().unwrap().is_none());
    drop(form);
    let place = out.as_ptr_range();
    let place = place.start.addr()..place.end.addr();
    let straight = input.1.iter().filter(|at| place.contains(at)).count();
    assert!(
        straight >= data.len() / WINDOW,
        "{straight} reads without a copy"
    );
    assert!(reads <= data.len() / WINDOW + 3, "{reads} reads");
}

#[test]
fn the_body_of_a_request_is_an_input() {
    struct Whole<'a>(&'a [u8]);
    impl Read for Whole<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.0.read(out)
        }
    }
    impl Body for Whole<'_> {
        fn length(&self) -> BodyLength {
            BodyLength::Chunked
        }
    }
    let body: &mut dyn Body = &mut Whole(b"--b0--");
    let mut form = Multipart::new(TYPE, body).unwrap();
    assert!(form.next_part().unwrap().is_none());
}
