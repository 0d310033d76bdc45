//! The JSON of the dialect: every object, with its keys in the order that Gokapi has.
//!
//! Two spellings are in use, that of Gokapi itself and an older one with lower-case keys. Answers
//! carry both: `jq` tells them apart, and a Go client, which does not, finds equal values.

use crate::http::Response;
use crate::model::Timestamp;
use crate::service::FileView;
use serde::Serialize;

/// An answer of the API, with the fields that all have.
pub fn answer(status: u16) -> Response {
    Response::new(status)
        .with("Content-Type", "application/json; charset=UTF-8")
        .with("Cache-Control", "no-store")
        .with("X-Content-Type-Options", "nosniff")
        .with("Content-Security-Policy", "default-src 'none'; sandbox")
        .with("Referrer-Policy", "no-referrer")
}

/// An answer of the API with a JSON body.
pub fn json(status: u16, value: &impl Serialize) -> Response {
    let mut response = answer(status);
    response.payload = crate::http::Payload::Bytes(bytes(value));
    response
}

/// The JSON of a value.
pub fn bytes(value: &impl Serialize) -> Vec<u8> {
    #[allow(
        clippy::expect_used,
        reason = "fails for maps with odd keys and for I/O only; there is neither here"
    )]
    serde_json::to_vec(value).expect("structs of plain fields become JSON")
}

/// What every failure says.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Failure<'a> {
    result: &'static str,
    error_message: &'a str,
    error_code: u16,
}

impl<'a> Failure<'a> {
    /// A failure with this code and text.
    pub fn new(code: u16, text: &'a str) -> Self {
        Self {
            result: "error",
            error_message: text,
            error_code: code,
        }
    }
}

/// `GET /api/info/version`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Version {
    version: &'static str,
    version_int: u32,
}

impl Version {
    /// The version of Gokapi whose calls this dialect speaks; its command line asks for it.
    pub const SPOKEN: Self = Self {
        version: "2.2.5",
        version_int: 20205,
    };
}

/// `GET /api/info/config`. Sizes in MiB.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Config {
    /// Largest file.
    pub max_filesize: u64,
    /// Largest piece of an upload in pieces.
    pub max_chunksize: u64,
    /// Whether the command line must encrypt.
    pub end_to_end_encryption_enabled: bool,
}

/// `POST /api/auth/create`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NewKey<'a> {
    /// `OK`.
    pub result: &'static str,
    /// The key.
    pub id: &'a str,
    /// What names it without opening anything.
    pub public_id: &'a str,
}

/// The answer to an upload and to a restore.
#[derive(Serialize)]
pub struct UploadResult<'a> {
    #[serde(rename = "Result")]
    result: &'static str,
    #[serde(rename = "FileInfo")]
    file: &'a FileInfo<'a>,
    #[serde(rename = "IncludeFilename")]
    include_filename: bool,
    #[serde(rename = "result")]
    result_again: &'static str,
    #[serde(rename = "fileInfo")]
    file_again: &'a FileInfo<'a>,
}

impl<'a> UploadResult<'a> {
    /// Says that all is well with this file.
    pub fn ok(file: &'a FileInfo<'a>) -> Self {
        Self {
            result: "OK",
            file,
            include_filename: false,
            result_again: "OK",
            file_again: file,
        }
    }
}

/// One file: Gokapi's 24 fields, then the seven of the older spelling.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FileInfo<'a> {
    id: &'a str,
    name: &'a str,
    size: String,
    hotlink_id: String,
    content_type: &'a str,
    expire_at_string: String,
    url_download: String,
    url_hotlink: String,
    file_request_id: &'static str,
    upload_date: i64,
    expire_at: i64,
    size_bytes: u64,
    downloads_remaining: u32,
    download_count: u64,
    unlimited_downloads: bool,
    unlimited_time: bool,
    requires_client_side_decryption: bool,
    is_encrypted: bool,
    is_end_to_end_encrypted: bool,
    is_password_protected: bool,
    is_saved_on_local_storage: bool,
    is_pending_deletion: bool,
    is_file_request: bool,
    uploader_id: u64,
    #[serde(flatten)]
    older: OlderInfo<'a>,
}

/// The older spelling.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OlderInfo<'a> {
    id: &'a str,
    name: &'a str,
    size: String,
    url: String,
    hotlink_url: String,
    remaining_downloads: u32,
    /// 0 when the file does not end by time.
    expiry: i64,
}

impl<'a> FileInfo<'a> {
    /// The wire form of `file`. `base` is the address that clients reach the server by, without a
    /// slash at its end; `hotlinks` is whether files may be embedded elsewhere.
    pub fn new(file: &'a FileView, base: &str, hotlinks: bool) -> Self {
        let id = file.id.reveal();
        let size = size_text(file.size);
        let url = format!("{base}/d?id={id}");
        let hotlink_id = match &file.hotlink {
            Some(hotlink) if hotlinks => format!("{}{}", hotlink.reveal(), extension(&file.name)),
            _ => String::new(),
        };
        let url_hotlink = if file.has_password {
            String::new()
        } else if hotlink_id.is_empty() {
            format!("{base}/downloadFile?id={id}")
        } else {
            format!("{base}/h/{hotlink_id}")
        };
        let hotlink_url = if hotlinks {
            format!("{base}/hotlink/{id}")
        } else {
            String::new()
        };
        let remaining = file
            .allowance
            .remaining
            .saturating_add(file.allowance.leased);
        Self {
            id,
            name: &file.name,
            size: size.clone(),
            hotlink_id,
            content_type: &file.content_type,
            expire_at_string: time_text(file.expiry.at),
            url_download: url.clone(),
            url_hotlink,
            file_request_id: "",
            upload_date: file.created.0,
            expire_at: file.expiry.at.0,
            size_bytes: file.size,
            downloads_remaining: remaining,
            download_count: file.allowance.count,
            unlimited_downloads: file.allowance.unlimited,
            unlimited_time: file.expiry.unlimited,
            requires_client_side_decryption: false,
            is_encrypted: file.sealed,
            is_end_to_end_encrypted: false,
            is_password_protected: file.has_password,
            is_saved_on_local_storage: true,
            is_pending_deletion: file.pending_delete,
            is_file_request: false,
            uploader_id: file.owner.0,
            older: OlderInfo {
                id,
                name: &file.name,
                size,
                url,
                hotlink_url,
                remaining_downloads: remaining,
                expiry: if file.expiry.unlimited {
                    0
                } else {
                    file.expiry.at.0
                },
            },
        }
    }
}

/// The extension of a name with its dot, as it stands at the end of a hotlink; empty when it is
/// none that could stand in an address as it is.
fn extension(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((_, end))
            if (1..=5).contains(&end.len()) && end.bytes().all(|b| b.is_ascii_alphanumeric()) =>
        {
            format!(".{}", end.to_ascii_lowercase())
        }
        _ => String::new(),
    }
}

/// A size for people, as Gokapi writes it: steps of 1024, one decimal, `kB` and so on.
pub fn size_text(bytes: u64) -> String {
    const STEP: u64 = 1024;
    if bytes < STEP {
        return format!("{bytes} B");
    }
    let mut unit = STEP;
    let mut letters = "kMGTPE".chars();
    let mut letter = letters.next();
    while bytes / unit >= STEP {
        unit *= STEP;
        letter = letters.next();
    }
    #[allow(
        clippy::cast_precision_loss,
        reason = "one decimal is shown, far less than a double holds"
    )]
    let value = bytes as f64 / unit as f64;
    format!("{value:.1} {}B", letter.unwrap_or('E'))
}

/// A time for people: UTC, to the second. Times after the year 9999 stop there.
pub fn time_text(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_second(at.0).unwrap_or(if at.0 < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    });
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
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
}
