//! `/api/files/downloadzip`: several files as one archive, streamed.

use super::chunks::file_name;
use super::error::Fault;
use super::files::no_presigned;
use super::given::Given;
use crate::api::Api;
use crate::api::public::download::{Towards, saved};
use crate::api::route::Call;
use crate::http::disposition::Disposition;
use crate::http::{Method, Response, Stream};
use crate::model::clean_name;
use crate::service::{Session, ZIP_FILES};

/// What the archive is called when nobody says, as in Gokapi.
const NAME: &str = "Gokapi";
/// The longest form: as many ids as an archive takes, each with its comma, and some more, so that whoever names
/// too many is told so.
const FORM: u64 = 64 * ZIP_FILES as u64;

/// The files, without their passwords, in the order of their ids. Downloads count on demand only.
pub fn download(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let head = call.head;
    let given = Given::read(call, FORM)?;
    let counts = given.flag("increaseCounter")?;
    if given.flag("presignUrl")? {
        return Err(no_presigned());
    }
    let name = match given.text("filename")?.filter(|name| !name.is_empty()) {
        Some(name) => archive_name(&file_name(&name)?),
        None => archive_name(NAME),
    };
    let ids = given.required("ids")?;
    let ids: Vec<_> = ids
        .split(',')
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .collect();
    if ids.is_empty() {
        return Err(Fault::missing("ids"));
    }
    let not_found = |error| Fault::from(error).not_found_as("file not found");
    let zip = api.service.open_zip(&session, &ids).map_err(not_found)?;
    let length = Some(zip.length());
    let response = saved(200)
        .with("Content-Type", "application/zip")
        .with(
            "Content-Disposition",
            Disposition::Attachment.with_name(&name),
        )
        .with("Accept-Ranges", "none");
    if head.method == Method::Head {
        let send = Box::new(|_: &mut dyn crate::http::Sink| Ok(()));
        return Ok(response.stream(Stream { length, send }));
    }
    let download = api.service.zip(zip, counts, head.peer).map_err(not_found)?;
    Ok(response.stream(Stream {
        length,
        send: Box::new(move |sink| download.send(&mut Towards(sink))),
    }))
}

/// The name that the archive is saved under: with one `.zip` at its end, whether or not it had it.
fn archive_name(name: &str) -> String {
    const END: &str = ".zip";
    let start = name.len().saturating_sub(END.len());
    let stem = match name.get(start..) {
        Some(end) if end.eq_ignore_ascii_case(END) => &name[..start],
        _ => name,
    };
    let stem = clean_name(stem);
    // What is cut off here was too long for any file system.
    let most = (0..=stem.len().min(255 - END.len())).rev();
    let end = most.into_iter().find(|at| stem.is_char_boundary(*at));
    format!("{}{END}", &stem[..end.unwrap_or_default()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_one_ending_and_a_name_that_can_be_saved() {
        for (given, wanted) in [
            ("Gokapi", "Gokapi.zip"),
            ("photos.zip", "photos.zip"),
            ("photos.ZIP", "photos.zip"),
            ("a/../b", "b.zip"),
            ("üb", "üb.zip"),
            (".zip", "unnamed.zip"),
            ("", "unnamed.zip"),
            ("a\r\nb", "ab.zip"),
        ] {
            assert_eq!(archive_name(given), wanted, "{given:?}");
        }
        assert_eq!(archive_name(&"é".repeat(300)).len(), 254);
    }
}
