//! `/api/files/...` but for uploads: list, inspect, download, change, delete, restore, copy, replace.

use super::error::Fault;
use super::given::{FORM, Given};
use super::params::Params;
use super::upload::lifetime;
use super::wire::{self, FileInfo, UploadResult};
use crate::api::Api;
use crate::api::public::download;
use crate::api::route::Call;
use crate::http::{Head, Response, Sink, Stream};
use crate::model::{AccountId, Timestamp};
use crate::service::{
    Changes, CopyWish, Count, Error, FileView, Handover, Lifetime, PasswordChange, Session,
};
use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Files fetched at a time for a listing: bounds its memory, whatever its length.
const PAGE: usize = 32;

/// Every file of the account, written as it is read. `[]` when there is none, where Gokapi has
/// `null`: both are a list without elements to its clients, and scripts can loop over this one.
pub fn list(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    // Checked only: there are no file requests whose files could be shown.
    Params(&call.head.headers).flag("showFileRequests")?;
    // The first page is fetched before the answer begins, so that a failure still has a status.
    let (mut files, mut next) = api.service.files(&session, None, PAGE)?;
    let service = Arc::clone(&api.service);
    let settings = Arc::clone(&api.settings);
    let send = move |sink: &mut dyn Sink| {
        let mut text = b"[".to_vec();
        loop {
            for file in files.drain(..) {
                let info = FileInfo::new(&file, &settings.base_url, !settings.hotlink_protection);
                text.extend_from_slice(&wire::bytes(&info));
                sink.write_all(&text)?;
                text.clear();
                text.push(b',');
            }
            let Some(cursor) = next else { break };
            // A client that stands still holds no page.
            sink.ready()?;
            (files, next) = service
                .files(&session, Some(&cursor), PAGE)
                .map_err(io::Error::other)?;
        }
        // Of an empty list, nothing has gone out yet.
        sink.write_all(text.strip_suffix(b",").unwrap_or(&text))?;
        sink.write_all(b"]")
    };
    Ok(wire::answer(200).stream(Stream {
        length: None,
        send: Box::new(send),
    }))
}

/// One file.
pub fn one(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let file = api.service.file(&session, call.id)?;
    Ok(wire::json(200, &info(api, &file)))
}

/// The bytes of a file, without its password. It counts as a download on demand only.
pub fn download(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let params = Params(&call.head.headers);
    let counts = params.flag("increaseCounter")?;
    if params.flag("presignUrl")? {
        return Err(no_presigned());
    }
    api.service
        .open_own(&session, call.id, counts)
        .and_then(|file| download::own(api, call.head, file, call.id))
        .map_err(|error| Fault::from(error).not_found_as("file not found"))
}

/// There are no addresses that work once without a key.
pub(super) fn no_presigned() -> Fault {
    Fault::not_offered(
        "presignUrl is not available on this server: download with the API key, or share the link of the file",
    )
}

/// Deletes a file.
pub fn delete(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let given = Given::read(call, FORM)?;
    let id = given.required("id")?;
    // A delay below zero is none.
    let delay = u64::try_from(given.number("delay")?.unwrap_or(0)).unwrap_or(0);
    api.service
        .delete(&session, &id, delay)
        .map_err(|error| Fault::from(error).not_found_as("Invalid file ID provided."))?;
    Ok(wire::answer(200))
}

/// Takes a delayed deletion back.
pub fn restore(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let id = Params(&call.head.headers).required("id")?;
    let file = api.service.restore(&session, id).map_err(|error| {
        Fault::from(error)
            .not_found_as("Invalid file ID provided or file has already been deleted.")
    })?;
    Ok(wire::json(200, &UploadResult::ok(&info(api, &file))))
}

/// Changes limits and password. As in Gokapi, a call that says nothing of the password removes it;
/// `originalPassword` keeps it.
pub fn modify(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let params = Params(&call.head.headers);
    let id = params.required("id")?;
    let password = if params.flag("originalPassword")? {
        PasswordChange::Keep
    } else {
        match params.text("password")? {
            None | Some("") => PasswordChange::Remove,
            Some(password) => PasswordChange::Set(Zeroizing::new(password.to_owned())),
        }
    };
    let changes = Changes {
        count: params.number("allowedDownloads")?.map(count),
        lifetime: params.number("expiryTimestamp")?.map(|at| match at {
            0 => Lifetime::Unlimited,
            at => Lifetime::Until(Timestamp(at)),
        }),
        password,
    };
    let file = api
        .service
        .modify(&session, id, changes)
        .map_err(|error: Error| Fault::from(error).not_found_as("Invalid file ID provided."))?;
    Ok(wire::json(200, &info(api, &file)))
}

/// Whether [`modify`] would have to stretch a password.
pub fn sets_password(head: &Head) -> bool {
    head.headers.all("password").any(|value| !value.is_empty())
}

/// Makes another link to the same bytes. What is not said is as the file has it, its password included; an empty
/// password is none, and an empty name leaves the name.
pub fn duplicate(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let given = Given::read(call, FORM)?;
    let id = given.required("id")?;
    let password = match (given.flag("originalPassword")?, given.text("password")?) {
        (true, _) | (false, None) => PasswordChange::Keep,
        (false, Some(password)) if password.is_empty() => PasswordChange::Remove,
        (false, Some(password)) => PasswordChange::Set(Zeroizing::new(password.into_owned())),
    };
    let wish = CopyWish {
        name: given
            .text("filename")?
            .filter(|name| !name.is_empty())
            .map(Cow::into_owned),
        count: given.number("allowedDownloads")?.map(count),
        lifetime: given
            .number("expiryDays")?
            .map(|days| lifetime(api.clock.now(), days)),
        password,
    };
    let file = api
        .service
        .copy(&session, &id, &wish)
        .map_err(|error| Fault::from(error).not_found_as("Invalid id provided."))?;
    Ok(wire::json(200, &info(api, &file)))
}

/// Gives a link the bytes, name and type of another file.
pub fn replace(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let given = Given::read(call, FORM)?;
    let id = given.required("id")?;
    let donor = given.required("idNewContent")?;
    let remove = given.flag("deleteNewFile")?;
    let file = api
        .service
        .replace(&session, &id, &donor, remove)
        .map_err(|error| Fault::from(error).not_found_as("Invalid id provided."))?;
    Ok(wire::json(200, &info(api, &file)))
}

/// Gives a file to another account.
pub fn change_owner(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let given = Given::read(call, FORM)?;
    let id = given.required("id")?;
    let owner = given.number("newOwner")?;
    let owner = owner.ok_or_else(|| Fault::missing("newOwner"))?;
    // No account has a number below zero: there is none of that number.
    let owner = AccountId(u64::try_from(owner).unwrap_or(u64::MAX));
    let handover = api
        .service
        .change_owner(&session, &id, owner)
        .map_err(|error| Fault::from(error).not_found_as("Invalid file ID provided."))?;
    match handover {
        Handover::Done(file) => Ok(wire::json(200, &info(api, &file))),
        Handover::NotAdmin => Err(Fault::admin_only()),
        Handover::NoSuchAccount => Err(Fault::no_such_user()),
    }
}

/// A number of downloads, as Gokapi means it: 0 is any number, and less is none.
pub fn count(wished: i64) -> Count {
    match wished {
        0 => Count::Unlimited,
        ..0 => Count::Limited(0),
        _ => Count::Limited(u32::try_from(wished).unwrap_or(u32::MAX)),
    }
}

/// The wire form of a file.
pub fn info<'a>(api: &Api, file: &'a FileView) -> FileInfo<'a> {
    FileInfo::new(
        file,
        &api.settings.base_url,
        !api.settings.hotlink_protection,
    )
}
