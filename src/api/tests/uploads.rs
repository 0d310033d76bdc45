//! Uploads: what the form may be, what it may not, and what is left behind.

use super::*;
use crate::model::Token;

const ADD: &str = "/api/files/add";
const KIND: &str = "multipart/form-data; boundary=XX";

fn nothing_is_there(world: &World) {
    assert_eq!(world.keyed(get("/api/files/list")).text(), "[]");
}

/// One part that is a file.
fn part(field: &str, name: &str, bytes: &str) -> String {
    format!(
        "--XX\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\nContent-Type: text/plain\r\n\r\n{bytes}\r\n"
    )
}

#[test]
fn fields_may_come_before_or_after_the_file() {
    let world = World::new();
    let fields = form_fields(&[("allowedDownloads", "3"), ("expiryDays", "2")]);
    let file = part("file", "a.txt", "abc");
    for body in [
        format!("{fields}{file}--XX--\r\n"),
        format!("{file}{fields}--XX--\r\n"),
        format!("preamble\r\n{file}{fields}--XX--"),
    ] {
        let answer = world.keyed(ask(Method::Post, ADD).body(KIND, body.as_bytes()));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let info = &answer.json()["FileInfo"];
        assert_eq!(info["DownloadsRemaining"], 3);
        assert_eq!(info["ExpireAt"], START + 2 * 86_400);
        assert_eq!(info["SizeBytes"], 3);
    }
}

#[test]
fn an_upload_may_come_in_chunks_of_unknown_length() {
    let world = World::new();
    let mut upload = form("a.txt", "text/plain", b"abc", &[]);
    upload.length = BodyLength::Chunked;
    assert_eq!(world.keyed(upload).status, 200);
}

#[test]
fn defaults_are_those_of_the_settings() {
    let world = World::with(|settings| {
        settings.default_downloads = 0;
        settings.default_days = 0;
    });
    let info = world.upload("a.txt", "text/plain", b"abc", &[("allowedDownloads", "x")]);
    assert_eq!(info["UnlimitedDownloads"], true);
    assert_eq!(info["UnlimitedTime"], true);
    assert_eq!(info["expiry"], 0);
}

#[test]
fn an_upload_that_is_over_at_once_cannot_be_downloaded() {
    let world = World::new();
    for field in ["allowedDownloads", "expiryDays"] {
        let id = world.text(b"abc", &[(field, "-1")]);
        assert_eq!(
            world.ask(get(&format!("/d?id={id}"))).status,
            404,
            "{field}"
        );
        let file = format!("/downloadFile?id={id}");
        assert_eq!(world.ask(get(&file)).status, 404, "{field}");
    }
    nothing_is_there(&world);
}

#[test]
fn broken_forms_leave_nothing_behind() {
    let world = World::new();
    let file = part("file", "a.txt", "abc");
    for (kind, body, text) in [
        (
            "application/octet-stream",
            format!("{file}--XX--\r\n"),
            "request Content-Type isn't multipart/form-data",
        ),
        (
            "multipart/form-data",
            format!("{file}--XX--\r\n"),
            "request Content-Type isn't multipart/form-data",
        ),
        (KIND, "--XX--\r\n".to_owned(), "http: no such file"),
        (
            KIND,
            format!("{}--XX--\r\n", form_fields(&[("file", "abc")])),
            "http: no such file",
        ),
        (
            KIND,
            format!("{}--XX--\r\n", part("upload", "a.txt", "abc")),
            "http: no such file",
        ),
        (
            KIND,
            format!("{file}{file}--XX--\r\n"),
            "one file for each upload",
        ),
        (KIND, file.clone(), "the form ends before its last boundary"),
        (
            KIND,
            format!(
                "{file}{}--XX--\r\n",
                form_fields(&[("password", &"x".repeat(5000))])
            ),
            "bytes in a field",
        ),
        (
            KIND,
            format!("{file}{}--XX--\r\n", form_fields(&[("isE2E", "true")])),
            "end-to-end",
        ),
    ] {
        let answer = world.keyed(ask(Method::Post, ADD).body(kind, body.as_bytes()));
        let (status, _, told) = answer.failure();
        assert_eq!(status, 400, "{body}");
        assert!(told.contains(text), "{told:?} for {body}");
        nothing_is_there(&world);
    }
}

#[test]
fn a_body_that_breaks_off_leaves_nothing_behind() {
    struct Cut(Cursor<Vec<u8>>, io::ErrorKind);
    impl Read for Cut {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            match self.0.read(out)? {
                0 => Err(self.1.into()),
                n => Ok(n),
            }
        }
    }
    impl Body for Cut {
        fn length(&self) -> BodyLength {
            BodyLength::Exact(1_000_000)
        }
    }
    let world = World::new();
    let whole = form("a.txt", "text/plain", &[b'x'; 5000], &[]).header("apikey", &world.key);
    for (at, kind, status) in [
        (10, io::ErrorKind::UnexpectedEof, 400),
        (3000, io::ErrorKind::UnexpectedEof, 400),
        (3000, io::ErrorKind::TimedOut, 408),
        (whole.body.len(), io::ErrorKind::UnexpectedEof, 400),
    ] {
        let mut body = Cut(Cursor::new(whole.body[..at].to_vec()), kind);
        let response = world.api.handle(Request {
            head: &whole.head,
            body: &mut body,
        });
        assert_eq!(response.status, status, "cut at {at}");
        nothing_is_there(&world);
    }
}

#[test]
fn nothing_of_a_body_is_read_before_the_key_is_known_to_be_good() {
    let world = World::new();
    let answer = world.ask(form("a.txt", "text/plain", b"abc", &[]));
    assert_eq!(answer.failure().0, 401);
    assert!(!answer.read);
}

#[test]
fn a_length_over_the_limit_is_refused_unread_and_a_real_one_in_the_middle() {
    let world = World::new();
    let mut huge = form("a.txt", "text/plain", b"abc", &[]);
    huge.length = BodyLength::Exact(100_000_000_000_000_000);
    let answer = world.keyed(huge);
    assert_eq!(answer.failure().0, 413);
    assert!(!answer.read);

    let limit = 1024 * 1024;
    let exact = world.keyed(form("a.txt", "text/plain", &vec![1; limit], &[]));
    assert_eq!(exact.status, 200, "the form around the file does not count");
    for length in [None, Some(BodyLength::Chunked)] {
        let mut over = form("a.txt", "text/plain", &vec![1; limit + 1], &[]);
        over.length = length.unwrap_or(over.length);
        let (status, code, text) = world.keyed(over).failure();
        assert_eq!((status, code), (413, 9));
        assert!(text.contains("1048576"), "{text}");
    }
}

#[test]
fn names_come_back_as_they_were_but_for_paths() {
    let world = World::new();
    for (sent, name) in [
        ("üni é \"name\".png", "üni é \"name\".png"),
        ("<script>alert(1)</script>", "script>"),
        ("../../etc/passwd", "passwd"),
        ("日本語.txt", "日本語.txt"),
        ("a b+c%20d.txt", "a b+c%20d.txt"),
    ] {
        let info = world.upload(sent, "text/plain", b"abc", &[]);
        assert_eq!(info["Name"], name);
        assert_eq!(info["ContentType"], "text/plain");
    }
}

#[test]
fn an_odd_type_becomes_the_plainest() {
    let world = World::new();
    for (sent, kind) in [
        ("text/html", "text/html"),
        ("nonsense", "application/octet-stream"),
        ("a/b<script>", "application/octet-stream"),
    ] {
        let info = world.upload("a", sent, b"abc", &[]);
        assert_eq!(info["ContentType"], kind);
    }
}

#[test]
fn a_file_that_does_not_fit_is_refused_with_what_is_left() {
    let world = World::on(MemoryStore::new(Some(100_000)), |_| ());
    let big = || form("a.txt", "text/plain", &[1; 200_000], &[]);
    let mut chunked = big();
    chunked.length = BodyLength::Chunked;
    for upload in [big(), chunked] {
        let (status, code, text) = world.keyed(upload).failure();
        assert_eq!((status, code), (507, 13));
        assert!(text.contains("not enough space on the server"), "{text}");
        nothing_is_there(&world);
    }
    assert_eq!(world.text(b"small", &[]).len(), Token::LINK);
}
