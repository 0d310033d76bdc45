//! The published article about such servers: what its scripts send, and what they read.

use super::*;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::HashSet;
use std::fmt;

/// JSON in which no object has the same key twice.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JSON without keys that come twice")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(self)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut keys = HashSet::new();
        while let Some((key, Self)) = map.next_entry::<String, Self>()? {
            if !keys.insert(key.clone()) {
                return Err(serde::de::Error::custom(format!("{key} comes twice")));
            }
        }
        Ok(self)
    }
}

#[test]
fn its_upload_is_answered_as_it_says() {
    let world = World::new();
    let answer = world.keyed(form(
        "report.pdf",
        "application/pdf",
        &[b'x'; 251_658],
        &[
            ("allowedDownloads", "5"),
            ("expiryDays", "7"),
            ("password", "optional-password"),
        ],
    ));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    assert_eq!(json["result"], "OK");
    let file = &json["fileInfo"];
    let id = file["id"].as_str().unwrap();
    assert_eq!(file["name"], "report.pdf");
    assert_eq!(file["size"], "245.8 kB");
    assert_eq!(file["url"], format!("{BASE}/d?id={id}"));
    assert_eq!(file["hotlinkUrl"], format!("{BASE}/hotlink/{id}"));
    assert_eq!(file["remainingDownloads"], 5);
    assert_eq!(file["expiry"], START + 7 * 86_400);
    serde_json::from_slice::<Unambiguous>(&answer.body)
        .map_err(|e| panic!("{e}"))
        .ok();
}

#[test]
fn both_spellings_tell_the_same() {
    let world = World::new();
    let json = world.keyed(form("a.txt", "text/plain", b"abc", &[])).json();
    assert_eq!(json["Result"], json["result"]);
    assert_eq!(json["FileInfo"], json["fileInfo"]);
    let file = &json["FileInfo"];
    for (real, article) in [
        ("Id", "id"),
        ("Name", "name"),
        ("Size", "size"),
        ("UrlDownload", "url"),
        ("DownloadsRemaining", "remainingDownloads"),
        ("ExpireAt", "expiry"),
    ] {
        assert!(!file[real].is_null(), "{real}");
        assert_eq!(file[real], file[article], "{real}");
    }
    assert_eq!(json["IncludeFilename"], false);
}

#[test]
fn its_list_and_its_delete_work() {
    let world = World::new();
    let id = world.text(b"abc", &[]);
    let list = world.keyed(get("/api/files/list"));
    serde_json::from_slice::<Unambiguous>(&list.body)
        .map_err(|e| panic!("{e}"))
        .ok();
    assert_eq!(list.json()[0]["id"], id);
    let delete = ask(Method::Delete, &format!("/api/files/delete?id={id}"));
    assert_eq!(world.keyed(delete).status, 200);
    assert_eq!(world.keyed(get("/api/files/list")).text(), "[]");
    assert_eq!(world.ask(get(&format!("/d?id={id}"))).status, 404);
}

#[test]
fn its_hotlink_gives_the_file_and_can_be_forbidden() {
    for (protected, status) in [(false, 200), (true, 404)] {
        let world = World::with(|settings| settings.hotlink_protection = protected);
        let info = world.upload("a.txt", "text/plain", b"plain words", &[]);
        let target = format!("/hotlink/{}", id(&info));
        let answer = world.ask(get(&target));
        assert_eq!(answer.status, status);
        let told = info["hotlinkUrl"].as_str().unwrap();
        assert_eq!(
            told.strip_prefix(BASE).unwrap_or(told),
            if protected { "" } else { &target }
        );
        if !protected {
            assert_eq!(answer.text(), "plain words");
        }
    }
}

#[test]
fn what_it_calls_expired_is_a_file_that_cannot_be_found() {
    let world = World::new();
    let id = world.text(b"abc", &[("expiryDays", "1")]);
    world.wait(86_399);
    assert_eq!(world.ask(get(&format!("/d?id={id}"))).status, 200);
    world.wait(1);
    assert_eq!(world.ask(get(&format!("/d?id={id}"))).status, 404);
    assert_eq!(world.keyed(get("/api/files/list")).text(), "[]");
}
