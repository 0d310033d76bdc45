//! The most that a link may be given: refused in words wherever a link is made or changed.

use super::*;

const DAY: i64 = 86_400;

fn refused(answer: &Answer, words: &str) {
    let (status, code, text) = answer.failure();
    assert_eq!((status, code), (400, 10), "{text}");
    assert!(text.contains(words), "{text}");
}

fn upload(world: &World, fields: &[(&str, &str)]) -> Answer {
    world.keyed(form("a.txt", "text/plain", b"abc", fields))
}

const DOWNLOADS: &str = "at most 3 for a link";
const DAYS: &str = "at most 20 days for a link";

#[test]
fn an_upload_may_ask_for_the_most_and_for_nothing() {
    let world = World::with_maxima(3, 20);
    assert_eq!(upload(&world, &[]).status, 200, "the defaults fit");
    let most = [("allowedDownloads", "3"), ("expiryDays", "20")];
    let info = upload(&world, &most).json();
    assert_eq!(info["FileInfo"]["DownloadsRemaining"], 3);
    assert_eq!(info["FileInfo"]["ExpireAt"], START + 20 * DAY);
    let over = [("allowedDownloads", "-1"), ("expiryDays", "-1")];
    assert_eq!(upload(&world, &over).status, 200, "less than nothing fits");
}

#[test]
fn an_upload_that_asks_for_more_or_for_no_end_is_refused_and_leaves_nothing() {
    let world = World::with_maxima(3, 20);
    for (field, value, words) in [
        ("allowedDownloads", "4", DOWNLOADS),
        ("allowedDownloads", "99999999999", DOWNLOADS),
        ("allowedDownloads", "0", DOWNLOADS),
        ("isUnlimitedDownload", "true", DOWNLOADS),
        ("expiryDays", "21", DAYS),
        ("expiryDays", "9223372036854775807", DAYS),
        ("expiryDays", "0", DAYS),
        ("isUnlimitedTime", "true", DAYS),
    ] {
        refused(&upload(&world, &[(field, value)]), words);
    }
    assert_eq!(world.keyed(get("/api/files/list")).text(), "[]");
}

#[test]
fn too_much_is_refused_before_the_file_is_read() {
    let world = World::with_maxima(3, 20);
    let fields = form_fields(&[("allowedDownloads", "4")]);
    let file = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    let body = fields + file + &"x".repeat(500_000) + "\r\n--XX--\r\n";
    let kind = "multipart/form-data; boundary=XX";
    let large = ask(Method::Post, "/api/files/add").body(kind, body.as_bytes());
    let ask = large.header("apikey", &world.key);
    let mut body = Feed {
        length: ask.length,
        bytes: Cursor::new(ask.body),
        read: false,
    };
    let response = world.api.handle(Request {
        head: &ask.head,
        body: &mut body,
    });
    assert_eq!(response.status, 400);
    let read = body.bytes.position();
    assert!(read < 400_000, "{read} bytes were read");
}

#[test]
fn a_change_may_go_to_the_most_and_no_further() {
    let world = World::with_maxima(3, 20);
    let id = world.text(b"abc", &[]);
    let modify = |name: &str, value: &str| {
        let ask = ask(Method::Put, "/api/files/modify")
            .header("id", &id)
            .header(name, value);
        world.keyed(ask)
    };
    refused(&modify("allowedDownloads", "4"), DOWNLOADS);
    refused(&modify("allowedDownloads", "0"), DOWNLOADS);
    refused(&modify("expiryTimestamp", "0"), DAYS);
    // The days count from the change on.
    world.wait(5 * DAY);
    let last = START + 25 * DAY;
    refused(&modify("expiryTimestamp", &(last + 3600).to_string()), DAYS);
    assert_eq!(modify("expiryTimestamp", &last.to_string()).status, 200);
    let info = modify("allowedDownloads", "3").json();
    assert_eq!(info["DownloadsRemaining"], 3);
    assert_eq!(info["ExpireAt"], last);
}

#[test]
fn a_clock_that_is_a_little_ahead_may_ask_for_the_most() {
    let world = World::with_maxima(3, 20);
    let id = world.text(b"abc", &[]);
    let at = START + 20 * DAY + 60;
    let ask = ask(Method::Put, "/api/files/modify")
        .header("id", &id)
        .header("expiryTimestamp", &at.to_string());
    assert_eq!(world.keyed(ask).json()["ExpireAt"], at);
}

#[test]
fn a_deletion_that_is_taken_back_gives_no_more_than_there_was() {
    let world = World::with_maxima(3, 20);
    let id = world.text(b"abc", &[("allowedDownloads", "2")]);
    let delete = ask(Method::Delete, "/api/files/delete")
        .header("id", &id)
        .header("delay", "100");
    assert_eq!(world.keyed(delete).status, 200);
    let restore = ask(Method::Post, "/api/files/restore").header("id", &id);
    let info = &world.keyed(restore).json()["FileInfo"];
    assert_eq!(info["DownloadsRemaining"], 2);
    assert_eq!(info["ExpireAt"], START + 14 * DAY);
}

#[test]
fn without_maxima_everything_may_be_asked_for() {
    let world = World::new();
    let fields = [("allowedDownloads", "0"), ("expiryDays", "0")];
    let info = upload(&world, &fields).json();
    assert_eq!(info["FileInfo"]["UnlimitedDownloads"], true);
    assert_eq!(info["FileInfo"]["UnlimitedTime"], true);
}
