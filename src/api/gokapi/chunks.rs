//! `/api/chunk/...`: files that come in chunks, each of them a form of its own.
//!
//! Where a chunk belongs can stand anywhere in its form; Gokapi's command line says it after the file. Then the
//! chunk waits in a file without a name until it is known. Who says it before the file, in the query or in header
//! fields, has the chunk written once, to its place (`docs/decisions/0014-where-chunks-wait.md`).

use super::error::Fault;
use super::files::{count, info};
use super::params::{self, Params};
use super::upload::{AROUND_FILE, FIELD, lifetime};
use super::wire::{self, UploadResult};
use crate::api::Api;
use crate::api::route::Call;
use crate::http::form::Form;
use crate::http::multipart::Multipart;
use crate::http::{BodyLength, Head, Response};
use crate::service::{ChunkPlace, Error, Lifetime, LinkWish, Parked, Session};
use data_encoding::BASE64;
use zeroize::Zeroizing;

/// A request with fewer bytes than this must have the rest of the file.
const CHUNK_MIN: u64 = 5 * 1024 * 1024;
/// The shortest name of an upload.
const UUID_MIN: usize = 10;
/// More days than this are for ever, where a file comes in chunks.
const DAYS_MAX: i64 = 100_000;

/// Takes a chunk in.
pub fn add(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let limit = api.settings.max_file_size;
    let declared = match call.body.length() {
        BodyLength::Exact(length) if length.saturating_sub(AROUND_FILE) > limit => {
            return Err(Error::TooLarge { limit }.into());
        }
        BodyLength::Exact(length) => Some(length),
        BodyLength::None | BodyLength::Chunked => None,
    };
    let mut fields = Fields::of(call.head)?;
    let content_type = call.head.headers.first("Content-Type").unwrap_or_default();
    let mut body = call.body;
    let mut form = Multipart::new(content_type, &mut body)?;
    let mut chunk = None;
    while let Some(mut part) = form.next_part()? {
        if part.file_name().is_none() {
            let name = part.name().to_owned();
            fields.set(&name, &part.read_text(FIELD)?);
            continue;
        }
        if !matches!(part.name(), "file" | "uploadedfile") {
            return Err(Fault::not_offered("http: no such file"));
        }
        if chunk.is_some() {
            return Err(Fault::not_offered("one chunk for each request"));
        }
        // Whether it is long enough is told before it is taken in: so its length has to be known.
        chunk = Some(match declared.filter(|_| fields.are_complete()) {
            Some(length) => {
                let place = fields.place()?;
                place.check_length(length)?;
                let given = place.given();
                let expected = length.saturating_sub(AROUND_FILE)..=length;
                api.service
                    .receive_chunk(&session, &given, Some(&expected), &mut part)?;
                Chunk::Taken
            }
            None => Chunk::Waits(api.service.park_chunk(&session, &mut part)?),
        });
    }
    match chunk {
        None => return Err(Fault::not_offered("http: no such file")),
        Some(Chunk::Taken) => {}
        Some(Chunk::Waits(parked)) => {
            let place = fields.place()?;
            let length = parked.length();
            place.check_length(declared.unwrap_or(length))?;
            let given = place.given();
            let mut bytes = parked.reader();
            api.service
                .receive_chunk(&session, &given, Some(&(length..=length)), &mut bytes)?;
        }
    }
    Ok(wire::json(200, &wire::Done::OK))
}

/// What became of the file of a form.
enum Chunk {
    /// It is where it belongs.
    Taken,
    /// It is not known yet where it belongs.
    Waits(Parked),
}

/// What a request says about its chunk. What comes twice counts the first time.
#[derive(Default)]
struct Fields {
    uuid: Option<String>,
    size: Option<String>,
    offset: Option<String>,
}

/// The same, understood.
struct Place {
    uuid: String,
    size: u64,
    offset: u64,
}

impl Fields {
    /// What stands in the query and in header fields.
    fn of(head: &Head) -> Result<Self, Fault> {
        let mut fields = Self::default();
        let query = head.query.as_deref().unwrap_or_default();
        for (name, value) in Form::new(query).pairs() {
            fields.set(&name, &value);
        }
        let params = Params(&head.headers);
        for name in ["uuid", "filesize", "offset"] {
            if let Some(text) = params.text(name)? {
                fields.set(name, text);
            }
        }
        Ok(fields)
    }

    /// Takes one field. Those that nobody knows are passed over.
    fn set(&mut self, name: &str, value: &str) {
        let field = match name {
            "uuid" => &mut self.uuid,
            "filesize" => &mut self.size,
            "offset" => &mut self.offset,
            _ => return,
        };
        field.get_or_insert_with(|| value.to_owned());
    }

    fn are_complete(&self) -> bool {
        self.uuid.is_some() && self.size.is_some() && self.offset.is_some()
    }

    fn place(&self) -> Result<Place, Fault> {
        let uuid = self.uuid.as_deref().unwrap_or_default();
        if uuid.len() < UUID_MIN {
            return Err(Fault::not_offered(
                "invalid uuid submitted, needs to be at least 10 characters long",
            ));
        }
        Ok(Place {
            uuid: cleaned(uuid),
            size: length(self.size.as_deref())?,
            offset: length(self.offset.as_deref())?,
        })
    }
}

impl Place {
    /// Whether a request of so many bytes may be a chunk: small ones only at the end.
    fn check_length(&self, length: u64) -> Result<(), Fault> {
        match length < CHUNK_MIN && length < self.size.saturating_sub(self.offset) {
            true => Err(Fault::chunk_too_small()),
            false => Ok(()),
        }
    }

    fn given(&self) -> ChunkPlace<'_> {
        ChunkPlace {
            upload: &self.uuid,
            size: self.size,
            offset: self.offset,
        }
    }
}

/// The name of an upload with nothing but letters, digits and hyphens: all others become `_`.
fn cleaned(uuid: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
    uuid.chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .collect()
}

/// A number of bytes in a form, with Gokapi's words for what is none.
fn length(text: Option<&str>) -> Result<u64, Fault> {
    let text = text.unwrap_or_default();
    let Some(number) = params::number(text) else {
        return Err(Fault::not_offered(&format!(
            "strconv.ParseInt: parsing {text:?}: invalid syntax"
        )));
    };
    positive(number)
}

fn positive(number: i64) -> Result<u64, Fault> {
    u64::try_from(number).map_err(|_| Fault::not_offered("value cannot be negative"))
}

/// Makes a file of the chunks that came.
pub fn complete(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let params = Params(&call.head.headers);
    let uuid = cleaned(params.required("uuid")?);
    let name = file_name(params.required("filename")?)?;
    let size = params.number("filesize")?;
    let size = positive(size.ok_or_else(|| Fault::missing("filesize"))?)?;
    let downloads = params.number("allowedDownloads")?;
    let days = params.number("expiryDays")?;
    let quiet = params.flag("nonblocking")?;
    let real = params.number("realsize")?;
    if params.flag("isE2E")? {
        return Err(match real {
            None => Fault::no_real_size(),
            Some(_) => Fault::no_end_to_end(),
        });
    }
    let settings = &api.settings;
    let downloads = downloads.unwrap_or_else(|| i64::from(settings.default_downloads));
    let wish = LinkWish {
        name,
        content_type: params.text("contenttype")?.unwrap_or_default().to_owned(),
        count: count(downloads),
        lifetime: match days.unwrap_or_else(|| i64::from(settings.default_days)) {
            days if days > DAYS_MAX => Lifetime::Unlimited,
            days => lifetime(api.clock.now(), days),
        },
        password: params
            .text("password")?
            .filter(|text| !text.is_empty())
            .map(|text| Zeroizing::new(text.to_owned())),
    };
    let file = api.service.complete_chunks(&session, &uuid, size, &wish)?;
    Ok(match quiet {
        true => wire::json(200, &wire::Done::OK),
        false => wire::json(200, &UploadResult::ok(&info(api, &file))),
    })
}

/// The name of a file, which may be in Base64 behind `base64:`.
pub(super) fn file_name(text: &str) -> Result<String, Fault> {
    let Some(encoded) = text.strip_prefix("base64:") else {
        return Ok(text.to_owned());
    };
    let bytes = BASE64.decode(encoded.as_bytes()).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Fault::bad_value("filename"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(given: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        given
            .iter()
            .for_each(|(name, value)| fields.set(name, value));
        fields
    }

    fn fault(given: &[(&str, &str)]) -> (u16, u16, String) {
        let fault = fields(given).place().err().unwrap();
        (fault.status, fault.code, fault.text)
    }

    const UUID: (&str, &str) = ("uuid", "0123456789abcdef");

    #[test]
    fn a_place_is_understood_and_its_faults_have_the_words_of_gokapi() {
        let given = [UUID, ("filesize", "12582912"), ("offset", "6291456")];
        let place = fields(&given).place().ok().unwrap();
        assert_eq!((place.size, place.offset), (12_582_912, 6_291_456));
        let short = "invalid uuid submitted, needs to be at least 10 characters long";
        assert_eq!(fault(&[("uuid", "123456789")]), (400, 10, short.into()));
        assert_eq!(fault(&[]), (400, 10, short.into()));
        let none = "strconv.ParseInt: parsing \"\": invalid syntax";
        assert_eq!(fault(&[UUID]), (400, 10, none.into()));
        let text = "strconv.ParseInt: parsing \"1k\": invalid syntax";
        assert_eq!(fault(&[UUID, ("filesize", "1k")]), (400, 10, text.into()));
        let negative = "value cannot be negative";
        let given = [UUID, ("filesize", "1"), ("offset", "-1")];
        assert_eq!(fault(&given), (400, 10, negative.into()));
    }

    #[test]
    fn small_chunks_are_for_the_end_of_a_file() {
        let place = |size, offset| Place {
            uuid: String::new(),
            size,
            offset,
        };
        let ok = |length, size, offset| place(size, offset).check_length(length).is_ok();
        assert!(ok(CHUNK_MIN, 1 << 40, 0) && !ok(CHUNK_MIN - 1, 1 << 40, 0));
        assert!(ok(10, 100, 90) && ok(10, 100, 95) && !ok(10, 100, 89));
        assert!(ok(0, 0, 0) && ok(0, 5, 7));
    }

    #[test]
    fn the_name_of_an_upload_is_cleaned() {
        assert_eq!(cleaned("ab-12/..ü z"), "ab-12_____z");
    }

    #[test]
    fn a_file_name_may_be_in_base64() {
        let name = file_name("base64:w7xuaSDDqSAibmFtZSIucG5n").ok();
        assert_eq!(name.as_deref(), Some("üni é \"name\".png"));
        assert_eq!(file_name("plain.txt").ok().as_deref(), Some("plain.txt"));
        for bad in ["base64:!!!", "base64:/w=="] {
            assert_eq!(file_name(bad).err().map(|fault| fault.code), Some(4));
        }
    }
}
