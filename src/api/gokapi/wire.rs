//! The JSON of the dialect: every object, with its keys in the order that Gokapi has.
//!
//! Two spellings are in use, that of Gokapi itself and an older one with lower-case keys. Answers
//! carry both: `jq` tells them apart, and a Go client, which does not, finds equal values.

pub mod accounts;

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

/// All is well, and there is no more to say. Gokapi's command line compares the text.
#[derive(Serialize)]
pub struct Done {
    result: &'static str,
}

impl Done {
    /// All is well.
    pub const OK: Self = Self { result: "OK" };
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
mod tests;
