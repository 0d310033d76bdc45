//! Bodies that are malformed, cut short or too large, and inputs that fail.

use super::*;

#[test]
fn malformed_parts_are_refused() {
    let good = "Content-Disposition: form-data; name=a";
    for header in [
        "X: 1",
        "Content-Disposition: form-data",
        "Content-Disposition: form-data; filename=a",
        "Content-Disposition: attachment; name=a",
        "Content-Disposition: form-data; name=\"a",
        "Content-Disposition: form-data; name=a; name=b",
        &format!("{good}\r\n{good}"),
        &format!("{good}\r\nContent-Type: a/b\r\nContent-Type: a/b"),
        &format!("{good}\r\nContent-Transfer-Encoding: base64"),
        &format!("{good}\r\nno colon"),
        &format!("{good}\r\n: no name"),
        &format!("{good}\r\nX y: 1"),
        &format!("{good}\r\nX: a\nb"),
        &format!("{good}\r\nX: a\rb"),
        &format!("{good}\r\nX: a\0b"),
        &format!(" {good}"),
    ] {
        let refused = part(header).unwrap_err();
        assert!(
            refused.starts_with("malformed form: "),
            "{header}: {refused}"
        );
    }
    let header = "Content-Disposition: form-data; name=a\r\n\r\n";
    for body in [
        format!("--b0 x\r\n{header}\r\n--b0--"),
        format!("--b0x\r\n{header}\r\n--b0--"),
        format!("--b0\r\n{header}\r\n--b0--x"),
        format!("--b0\r\n{header}\r\n--b0--\n"),
        format!("--b0\r\n{header}\r\n--b0---"),
    ] {
        let refused = parse(body.as_bytes()).unwrap_err();
        assert!(refused.starts_with("malformed form: "), "{body}: {refused}");
    }
}

#[test]
fn an_error_of_the_form_is_not_forgotten() {
    let mut body = b"--b0\r\nX\r\n\r\n\r\n--b0--".as_slice();
    let mut form = Multipart::new(TYPE, &mut body).unwrap();
    assert!(form.next_part().is_err());
    assert!(form.next_part().is_err());
}

#[test]
fn every_cut_is_an_error() {
    let body = b"--b0\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n\
        --b0\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\ndata\r\n--b0--";
    assert_eq!(parse(body).unwrap().len(), 2);
    for length in 0..body.len() {
        for room in [1, 8192] {
            let cut = &body[..length];
            let error = read_all(TYPE, &mut &*cut, room).unwrap_err();
            let unfinished = match &error {
                MultipartError::Unfinished => true,
                MultipartError::Input(e) => e.kind() == io::ErrorKind::InvalidData,
                _ => false,
            };
            assert!(unfinished, "{length}: {error:?}");
        }
    }
}

#[test]
fn errors_of_the_input_come_through_unchanged_wherever_they_happen() {
    let body = b"--b0\r\nContent-Disposition: form-data; name=a\r\n\r\ndata\r\n--b0--\r\n";
    for length in 0..=body.len() {
        for room in [1, 8192] {
            let mut input = Pieces::new(&body[..length], &[]);
            input.end = Some(io::ErrorKind::TimedOut);
            match read_all(TYPE, &mut input, room) {
                Err(MultipartError::Input(e)) => assert_eq!(e.kind(), io::ErrorKind::TimedOut),
                other => panic!("{length}: {other:?}"),
            }
        }
    }
}

#[test]
fn an_input_that_fails_after_the_last_boundary_never_becomes_a_whole_form() {
    let mut input = Pieces::new(b"--b0--", &[]);
    input.end = Some(io::ErrorKind::UnexpectedEof);
    let mut form = Multipart::new(TYPE, &mut input).unwrap();
    assert!(matches!(form.next_part(), Err(MultipartError::Input(_))));
    assert!(form.next_part().is_err());
}

/// What a body is refused for, when it is for a limit.
fn limit(body: &[u8]) -> Option<(&'static str, u64)> {
    match read_all(TYPE, &mut Pieces::new(body, &[]), 8192) {
        Err(MultipartError::TooLarge { what, limit }) => Some((what, limit)),
        Err(e) => panic!("{e}"),
        Ok(_) => None,
    }
}

#[test]
fn headers_have_limits() {
    let header = |size: usize| {
        let start = "\r\nContent-Disposition: form-data; name=a\r\nX: ";
        let fill = "x".repeat(size - start.len());
        format!("--b0{start}{fill}\r\n\r\n\r\n--b0--")
    };
    assert_eq!(limit(header(HEAD_LIMIT).as_bytes()), None);
    let refused = Some(("bytes of header in a part", 8_192));
    assert_eq!(limit(header(HEAD_LIMIT + 1).as_bytes()), refused);
    assert_eq!(limit(header(1_000_000).as_bytes()), refused);
    let endless = format!("--b0{}", " ".repeat(1_000_000));
    assert_eq!(limit(endless.as_bytes()), refused);

    let fields = |n: usize| {
        let more = "X: 1\r\n".repeat(n - 1);
        format!("--b0\r\nContent-Disposition: form-data; name=a\r\n{more}\r\n\r\n--b0--")
    };
    assert_eq!(limit(fields(32).as_bytes()), None);
    assert_eq!(
        limit(fields(33).as_bytes()),
        Some(("header fields in a part", 32))
    );
}

#[test]
fn a_form_has_at_most_sixty_four_parts() {
    let parts =
        |n| "--b0\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n".repeat(n) + "--b0--";
    assert_eq!(limit(parts(64).as_bytes()), None);
    assert_eq!(limit(parts(65).as_bytes()), Some(("parts", 64)));
}

#[test]
fn junk_around_the_form_has_limits() {
    let junk = |before: usize, after: usize| {
        let (before, after) = ("x".repeat(before), "x".repeat(after));
        format!("{before}\r\n--b0--\r\n{after}")
    };
    assert_eq!(limit(junk(60_000, 60_000).as_bytes()), None);
    let before = Some(("bytes before the first boundary", 65_536));
    assert_eq!(limit(junk(70_000, 0).as_bytes()), before);
    let after = Some(("bytes after the last boundary", 65_536));
    assert_eq!(limit(junk(0, 70_000).as_bytes()), after);
    let padding = format!("--b0--{}", " ".repeat(70_000));
    assert_eq!(limit(padding.as_bytes()), after);
}
