//! The JSON, letter by letter.

use super::*;
use crate::model::{AccountId, Allowance, Expiry, Token};

fn token(text: &str) -> Token {
    Token::parse(text).unwrap()
}

fn file() -> FileView {
    FileView {
        id: token("abc123def456"),
        name: "report.pdf".into(),
        content_type: "application/pdf".into(),
        size: 2_516_582,
        created: Timestamp(1_707_955_200),
        expiry: Expiry {
            at: Timestamp(1_708_560_000),
            unlimited: false,
        },
        allowance: Allowance {
            remaining: 3,
            leased: 2,
            unlimited: false,
            count: 4,
        },
        owner: AccountId(1),
        has_password: false,
        sealed: true,
        pending_delete: false,
        hotlink: None,
    }
}

const INFO: &str = r#"{"Id":"abc123def456","Name":"report.pdf","Size":"2.4 MB","HotlinkId":"","ContentType":"application/pdf","ExpireAtString":"2024-02-22 00:00:00","UrlDownload":"https://share.example/d?id=abc123def456","UrlHotlink":"https://share.example/downloadFile?id=abc123def456","FileRequestId":"","UploadDate":1707955200,"ExpireAt":1708560000,"SizeBytes":2516582,"DownloadsRemaining":5,"DownloadCount":4,"UnlimitedDownloads":false,"UnlimitedTime":false,"RequiresClientSideDecryption":false,"IsEncrypted":true,"IsEndToEndEncrypted":false,"IsPasswordProtected":false,"IsSavedOnLocalStorage":true,"IsPendingDeletion":false,"IsFileRequest":false,"UploaderId":1,"id":"abc123def456","name":"report.pdf","size":"2.4 MB","url":"https://share.example/d?id=abc123def456","hotlinkUrl":"https://share.example/hotlink/abc123def456","remainingDownloads":5,"expiry":1708560000}"#;

#[test]
fn a_file_has_its_keys_in_order_in_both_spellings() {
    let file = file();
    let info = FileInfo::new(&file, "https://share.example", true);
    assert_eq!(String::from_utf8(bytes(&info)).unwrap(), INFO);
}

#[test]
fn an_upload_is_answered_in_both_spellings() {
    let file = file();
    let info = FileInfo::new(&file, "https://share.example", true);
    assert_eq!(
        String::from_utf8(bytes(&UploadResult::ok(&info))).unwrap(),
        format!(
            r#"{{"Result":"OK","FileInfo":{INFO},"IncludeFilename":false,"result":"OK","fileInfo":{INFO}}}"#
        )
    );
}

#[test]
fn an_image_has_a_hotlink_with_its_extension() {
    let mut image = file();
    image.name = "Photo.PNG".into();
    image.hotlink = Some(token(&"h".repeat(40)));
    let info = FileInfo::new(&image, "http://h", true);
    assert_eq!(info.hotlink_id, format!("{}.png", "h".repeat(40)));
    assert_eq!(
        info.url_hotlink,
        format!("http://h/h/{}.png", "h".repeat(40))
    );
    let protected = FileInfo::new(&image, "http://h", false);
    assert_eq!(protected.hotlink_id, "");
    assert_eq!(
        protected.url_hotlink,
        "http://h/downloadFile?id=abc123def456"
    );
    assert_eq!(protected.older.hotlink_url, "");
}

#[test]
fn a_password_hides_the_direct_address() {
    let mut locked = file();
    locked.has_password = true;
    assert_eq!(FileInfo::new(&locked, "http://h", true).url_hotlink, "");
}

#[test]
fn odd_extensions_stay_out_of_addresses() {
    for name in [
        "noext",
        "dot.",
        "a.p n",
        "a.\"><b>",
        "a.longer1",
        "a.jpé",
        "..",
    ] {
        assert_eq!(extension(name), "", "{name}");
    }
    assert_eq!(extension("a.b.JPEG"), ".jpeg");
}

#[test]
fn sizes_read_as_in_gokapi() {
    for (bytes, text) in [
        (0, "0 B"),
        (12, "12 B"),
        (1023, "1023 B"),
        (1024, "1.0 kB"),
        (19_968, "19.5 kB"),
        (12_582_912, "12.0 MB"),
        (1_048_575, "1024.0 kB"),
        (5 << 30, "5.0 GB"),
        (3 << 40, "3.0 TB"),
        (1 << 50, "1.0 PB"),
        (u64::MAX, "16.0 EB"),
    ] {
        assert_eq!(size_text(bytes), text);
    }
}

#[test]
fn times_read_as_in_gokapi() {
    assert_eq!(time_text(Timestamp(1_796_458_178)), "2026-12-05 08:09:38");
    assert_eq!(time_text(Timestamp(0)), "1970-01-01 00:00:00");
    assert!(time_text(Timestamp(i64::MAX)).starts_with("9999-12-3"));
}

#[test]
fn the_small_answers_have_their_keys() {
    let text = |value: Vec<u8>| String::from_utf8(value).unwrap();
    assert_eq!(
        text(bytes(&Version::SPOKEN)),
        r#"{"Version":"2.2.5","VersionInt":20205}"#
    );
    assert_eq!(
        text(bytes(&Config {
            max_filesize: 102_400,
            max_chunksize: 45,
            end_to_end_encryption_enabled: false,
        })),
        r#"{"MaxFilesize":102400,"MaxChunksize":45,"EndToEndEncryptionEnabled":false}"#
    );
    assert_eq!(
        text(bytes(&NewKey {
            result: "OK",
            id: "k",
            public_id: "p"
        })),
        r#"{"Result":"OK","Id":"k","PublicId":"p"}"#
    );
}
