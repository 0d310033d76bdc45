//! `mayfly user`: accounts.

use super::arguments::{NewPassword, UserCommand, Which};
use super::exit::{Failure, usage};
use super::keys::proof_of;
use super::print::{harmless, json, note, say, table, time};
use super::reach::{Reach, unexpected};
use super::secrets;
use crate::admin::{Answer, Hidden, Request, UserRow};
use crate::model::{Role, Token};
use crate::pipeline::seal::keys::random_token;
use serde_json::{Value, json};
use std::io::{self, IsTerminal};
use zeroize::Zeroizing;

pub(super) fn run(command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add {
            name,
            role,
            password,
            which,
        } => add(name, role, &password, &which),
        UserCommand::Passwd {
            name,
            recover,
            present_file,
            new_phrase,
            password,
            which,
        } => {
            let reach = Reach::find(&which)?;
            let proof = proof_of(&reach, &name, present_file.as_deref(), recover)?;
            let new = new_password(&name, &password)?;
            let request = Request::ChangePassword {
                user: name,
                proof,
                password: Hidden(new.clone()),
                new_phrase,
            };
            let Answer::NewPassword { recovery_phrase } = reach.ask(&request)? else {
                return Err(unexpected());
            };
            let generated = password.generate.then_some(&*new);
            let phrase = recovery_phrase.as_ref().map(|phrase| &*phrase.0);
            tell(
                &which,
                &[
                    ("password", "PASSWORD", generated),
                    ("recoveryPhrase", "RECOVERY_PHRASE", phrase),
                ],
            )
            .map_err(|failure| {
                failure.but_done("The password is changed; what is lost here comes anew with mayfly user passwd --new-phrase")
            })?;
            note("The new password counts from now on; files and API keys stay");
            Ok(())
        }
        UserCommand::List { which } => {
            let users = all(&Reach::find(&which)?)?;
            if which.json {
                return json(&json!(users));
            }
            let cells: Vec<_> = users
                .iter()
                .map(|user| {
                    let state = if user.disabled { "disabled" } else { "enabled" };
                    [
                        user.id.to_string(),
                        harmless(&user.name),
                        user.role.clone(),
                        state.to_owned(),
                        time(user.created),
                    ]
                })
                .collect();
            table(["ID", "NAME", "ROLE", "STATE", "CREATED"], &cells)
        }
        UserCommand::Role { name, role, which } => {
            let request = Request::SetRole {
                user: name,
                admin: role == Role::Admin,
            };
            done(&which, &request, "Done: it counts from the next call on")
        }
        UserCommand::Disable { name, which } => {
            let request = Request::SetDisabled {
                user: name,
                disabled: true,
            };
            let said = "Disabled: its password, keys and links are refused; nothing is deleted";
            done(&which, &request, said)
        }
        UserCommand::Enable { name, which } => {
            let request = Request::SetDisabled {
                user: name,
                disabled: false,
            };
            done(&which, &request, "Enabled")
        }
        UserCommand::Remove { name, yes, which } => remove(name, yes, &which),
    }
}

fn add(name: String, role: Role, password: &NewPassword, which: &Which) -> Result<(), Failure> {
    let reach = Reach::find(which)?;
    let secret = new_password(&name, password)?;
    let request = Request::AddUser {
        name: name.clone(),
        password: Hidden(secret.clone()),
        admin: role == Role::Admin,
    };
    let Answer::NewUser {
        api_key,
        recovery_phrase,
        ..
    } = reach.ask(&request)?
    else {
        return Err(unexpected());
    };
    tell(
        which,
        &[
            ("user", "USER", Some(&name)),
            (
                "password",
                "PASSWORD",
                password.generate.then_some(&*secret),
            ),
            ("apiKey", "API_KEY", Some(&*api_key.0)),
            (
                "recoveryPhrase",
                "RECOVERY_PHRASE",
                Some(&*recovery_phrase.0),
            ),
        ],
    )
    .map_err(|failure| {
        failure.but_done("The account is there, and its key and phrase are lost: mayfly user remove, and add it again")
    })?;
    note(
        "Keep them: they are not shown again. The recovery phrase opens the account when its password is forgotten (mayfly user passwd --recover)",
    );
    Ok(())
}

/// Every account.
pub(super) fn all(reach: &Reach) -> Result<Vec<UserRow>, Failure> {
    let mut users: Vec<UserRow> = Vec::new();
    loop {
        let after = users.last().map(|user| user.id);
        let Answer::Users(page) = reach.ask(&Request::ListUsers { after })? else {
            return Err(unexpected());
        };
        if page.is_empty() {
            return Ok(users);
        }
        users.extend(page);
    }
}

fn remove(name: String, yes: bool, which: &Which) -> Result<(), Failure> {
    if !yes {
        if !io::stdin().is_terminal() {
            return Err(usage(
                "its files and links go with it: add --yes when that is meant",
            ));
        }
        note(&format!(
            "The account {0} goes, with its keys, files and links. Type its name if that is meant:",
            harmless(&name)
        ));
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line);
        if read.is_err() || line.trim() != name {
            return Err(usage("that is another name: nothing was removed"));
        }
    }
    let reach = Reach::find(which)?;
    let request = Request::RemoveUser { user: name };
    loop {
        match reach.ask(&request)? {
            Answer::More => {}
            Answer::Done if which.json => return json(&json!({ "result": "OK" })),
            Answer::Done => {
                note("Removed, with its keys, files and links");
                return Ok(());
            }
            _ => return Err(unexpected()),
        }
    }
}

fn done(which: &Which, request: &Request, said: &str) -> Result<(), Failure> {
    match Reach::find(which)?.ask(request)? {
        Answer::Done if which.json => json(&json!({ "result": "OK" })),
        Answer::Done => {
            note(said);
            Ok(())
        }
        _ => Err(unexpected()),
    }
}

fn new_password(user: &str, wish: &NewPassword) -> Result<Zeroizing<String>, Failure> {
    if wish.generate {
        let token = random_token(Token::PASSWORD);
        return Ok(Zeroizing::new(token.reveal().to_owned()));
    }
    let prompt = format!("New password of {}: ", harmless(user));
    secrets::ask_new(&prompt, wish.password_file.as_deref())
}

/// Prints what was made: as JSON, or one `KEY=VALUE` a line.
fn tell(which: &Which, values: &[(&str, &str, Option<&String>)]) -> Result<(), Failure> {
    let there = values
        .iter()
        .filter_map(|(a, b, value)| Some((*a, *b, (*value)?)));
    if which.json {
        let map = there.map(|(key, _, value)| (key.to_owned(), json!(value)));
        return json(&Value::Object(map.collect()));
    }
    let mut text = Zeroizing::new(String::new());
    for (_, key, value) in there {
        text.push_str(&format!("{key}={}\n", harmless(value)));
    }
    say(&text)
}
