//! `/api/user/...`: accounts, as those see them who look after accounts.
//!
//! Unlike in Gokapi, nobody who is no admin changes an admin or makes one, and nobody gets hold of a password
//! that opens more than they may do themselves. A user owns what only the user can open, so two calls may be
//! refused where Gokapi does what they ask (code 19, with the remedy): `resetPassword` with a password made up
//! here, once the user has files, keys or uploads under way; and `delete` without `deleteFiles`, when there
//! are files to be moved. With `encryption = "server"` both work. That a user should choose another password is
//! kept and shown (`resetPassword`), and `mayfly user passwd` ends it; no call insists on it.

use super::error::{Fault, code};
use super::given::{FORM, Given};
use super::keys::{Modifier, named};
use super::wire::accounts::{ListedUser, NewPassword, User};
use super::{listing, wire};
use crate::api::Api;
use crate::api::route::Call;
use crate::http::Response;
use crate::model::{AccountId, Role, UserPermissions};
use crate::service::{Error, Service, Session, UserRefusal, UserView};
use std::sync::Arc;

/// Accounts fetched at a time for a listing: bounds its memory.
const PAGE: usize = 64;

/// Gokapi's words for what an account may do.
const PERMISSIONS: [(&str, UserPermissions); 9] = [
    ("PERM_REPLACE", UserPermissions::REPLACE),
    ("PERM_LIST", UserPermissions::LIST),
    ("PERM_EDIT", UserPermissions::EDIT),
    ("PERM_REPLACE_OTHER", UserPermissions::REPLACE_OTHER),
    ("PERM_DELETE", UserPermissions::DELETE),
    ("PERM_LOGS", UserPermissions::LOGS),
    ("PERM_API", UserPermissions::API),
    ("PERM_USERS", UserPermissions::USERS),
    ("PERM_GUEST_UPLOAD", UserPermissions::GUEST_UPLOAD),
];

/// Makes an account without a password.
pub fn create(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let given = Given::read(call, FORM)?;
    let name = given.required("username")?;
    let user = api.service.create_user(&session, &name)?;
    Ok(wire::json(200, &User::new(&user)))
}

/// Gives a permission to an account, or takes one.
pub fn modify(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let given = Given::read(call, FORM)?;
    let id = user(&given)?;
    let permission = given.required("userpermission")?;
    let modifier = given.required("permissionModifier")?;
    let permission = named(&PERMISSIONS, &permission)?;
    match Modifier::parse(&modifier)? {
        Modifier::Grant => api.service.grant_to_user(&session, id, permission)?,
        Modifier::Revoke => api.service.revoke_from_user(&session, id, permission)?,
    }
    Ok(wire::answer(200))
}

/// Makes an admin of a user, or a user of an admin.
pub fn change_rank(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let given = Given::read(call, FORM)?;
    let id = user(&given)?;
    let rank = given.required("newRank")?;
    let rank = [("ADMIN", Role::Admin), ("USER", Role::User)]
        .into_iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(&rank))
        .map(|(_, rank)| rank)
        .ok_or_else(|| Fault::new(400, code::CANNOT_PARSE, "invalid rank"))?;
    api.service.change_rank(&session, id, rank)?;
    Ok(wire::answer(200))
}

/// Asks a user to choose another password, and makes one up on demand.
pub fn reset_password(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let given = Given::read(call, FORM)?;
    let id = user(&given)?;
    if given.flag("generateNewPassword")? {
        let password = api.service.reset_password(&session, id)?;
        return Ok(wire::json(200, &NewPassword::ok(password.reveal())));
    }
    api.service.expire_password(&session, id)?;
    Ok(wire::json(200, &NewPassword::ok("")))
}

/// Removes an account. Its files go with it (`deleteFiles`), or to who asks.
pub fn delete(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let given = Given::read(call, FORM)?;
    let id = user(&given)?;
    let with_files = given.flag("deleteFiles")?;
    api.service.delete_user(&session, id, with_files)?;
    Ok(wire::answer(200))
}

/// Every account.
pub fn list(api: &Api, _: Session, _: Call<'_>) -> Result<Response, Fault> {
    let first = page(&api.service, None)?;
    let service = Arc::clone(&api.service);
    let next = move |after| page(&service, Some(after));
    Ok(listing::list(first, next, ListedUser::new))
}

fn page(
    service: &Service,
    after: Option<AccountId>,
) -> Result<listing::Page<UserView, AccountId>, Error> {
    let users = service.users(after, PAGE)?;
    let next = users.last().filter(|_| users.len() == PAGE);
    let next = next.map(|last| last.id);
    Ok((users, next))
}

/// One account, by its number.
pub fn one(api: &Api, _: Session, call: Call<'_>) -> Result<Response, Fault> {
    let id = call
        .id
        .parse()
        .map_err(|_| Fault::from(UserRefusal::Gone))?;
    let user = api.service.user(AccountId(id))?;
    Ok(wire::json(200, &ListedUser::new(&user)))
}

/// Which account is meant.
fn user(given: &Given<'_>) -> Result<AccountId, Fault> {
    let number = given.number("userid")?;
    let number = number.ok_or_else(|| Fault::missing("userid"))?;
    let id = u64::try_from(number).map_err(|_| Fault::from(UserRefusal::Gone))?;
    Ok(AccountId(id))
}

impl From<UserRefusal> for Fault {
    fn from(refusal: UserRefusal) -> Self {
        let not_to_be_edited = |text: &str| Self::new(400, code::NOT_TO_BE_EDITED, text);
        match refusal {
            UserRefusal::Service(error) => error.into(),
            UserRefusal::Taken => Self::new(409, code::EXISTS, "User already exists."),
            UserRefusal::BadName(_) => {
                Self::new(400, code::NO_PERMISSION, "Invalid username provided.")
            }
            UserRefusal::Gone => Self::new(404, code::NOT_FOUND, "Invalid user id provided."),
            UserRefusal::SuperAdmin => not_to_be_edited("Cannot modify super admin"),
            UserRefusal::Yourself => not_to_be_edited("Cannot modify yourself"),
            UserRefusal::Outranks => {
                not_to_be_edited("Cannot modify or make a user with more rights than your own")
            }
            UserRefusal::NotHeld => Self::new(
                400,
                code::NO_PERMISSION,
                "Cannot grant rights the user does not have",
            ),
            UserRefusal::Sealed(why) => not_to_be_edited(&why),
        }
    }
}
