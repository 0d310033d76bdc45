//! `mayfly key`: API keys.

use super::arguments::{KeyCommand, Permission};
use super::exit::Failure;
use super::print::{harmless, json, note, say, table, time};
use super::reach::{Reach, unexpected};
use super::secrets;
use crate::admin::{Answer, Hidden, KeyRow, Proof, Request};
use crate::model::Permissions;
use serde_json::json;
use std::path::Path;

pub(super) fn run(command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Create {
            user,
            name,
            permissions,
            password_file,
            which,
        } => {
            let reach = Reach::find(&which)?;
            let proof = proof_of(&reach, &user, password_file.as_deref(), false)?;
            let bits = permissions.iter().fold(0, |bits, Permission(p)| bits | p.0);
            let request = Request::CreateKey {
                user: user.clone(),
                proof,
                name,
                permissions: Permissions(bits).0,
            };
            let Answer::NewKey {
                api_key,
                id,
                permissions,
            } = reach.ask(&request)?
            else {
                return Err(unexpected());
            };
            if which.json {
                return json(&json!({
                    "user": user, "id": id, "apiKey": api_key.0.as_str(), "permissions": permissions,
                }));
            }
            say(&format!("{}\n", api_key.0.as_str())).map_err(|failure| {
                failure.but_done(&format!(
                    "The key is there and lost: mayfly key revoke {id}"
                ))
            })?;
            note(&format!(
                "This key of {} may {}. Keep it: it is not shown again. Its id is {id}",
                harmless(&user),
                permissions.join(", ")
            ));
            Ok(())
        }
        KeyCommand::List { user, which } => {
            let reach = Reach::find(&which)?;
            let users = match user {
                Some(user) => vec![user],
                None => {
                    let users = super::users::all(&reach)?.into_iter();
                    users.map(|user| user.name).collect()
                }
            };
            let mut rows = Vec::new();
            for user in &users {
                rows.extend(keys_of(&reach, user)?);
            }
            if which.json {
                return json(&json!(rows));
            }
            let cells: Vec<_> = rows
                .iter()
                .map(|key| {
                    [
                        key.id.clone(),
                        harmless(&key.user),
                        harmless(&key.name),
                        time(key.created),
                        key.permissions.join(","),
                    ]
                })
                .collect();
            table(["ID", "USER", "NAME", "CREATED", "PERMISSIONS"], &cells)
        }
        KeyCommand::Revoke { id, which } => {
            let reach = Reach::find(&which)?;
            match reach.ask(&Request::RevokeKey { id })? {
                Answer::Done if which.json => json(&json!({ "result": "OK" })),
                Answer::Done => {
                    note("Revoked: the next call with it is refused");
                    Ok(())
                }
                _ => Err(unexpected()),
            }
        }
    }
}

/// What opens the account: the server by itself if it can, else what its owner is asked for.
pub(super) fn proof_of(
    reach: &Reach,
    user: &str,
    file: Option<&Path>,
    recover: bool,
) -> Result<Proof, Failure> {
    let request = Request::Opens {
        user: user.to_owned(),
    };
    let Answer::Opens(by_itself) = reach.ask(&request)? else {
        return Err(unexpected());
    };
    if recover {
        let secret = secrets::ask("Recovery phrase or API key: ", file)?;
        return Ok(Proof::Recovery(Hidden(secret)));
    }
    if by_itself && file.is_none() {
        return Ok(Proof::Master);
    }
    let prompt = format!("Present password of {}: ", harmless(user));
    secrets::ask(&prompt, file).map(|secret| Proof::Password(Hidden(secret)))
}

fn keys_of(reach: &Reach, user: &str) -> Result<Vec<KeyRow>, Failure> {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let request = Request::ListKeys {
            user: user.to_owned(),
            after,
        };
        let Answer::Keys { keys, next } = reach.ask(&request)? else {
            return Err(unexpected());
        };
        rows.extend(keys);
        if next.is_none() {
            return Ok(rows);
        }
        after = next;
    }
}
