//! The credentials of the first account, as a small TOML file for its owner.

use crate::model::Token;
use serde::Deserialize;
use zeroize::Zeroizing;

/// What opens the first account. No `Debug`: nothing in it may reach a log.
#[derive(Clone)]
pub struct Credentials {
    /// The name of the account.
    pub user: String,
    /// Its password.
    pub password: Zeroizing<String>,
    /// An API key; none before the account has been made.
    pub api_key: Option<Token>,
    /// What opens it when the password is forgotten; none before the account has been made.
    pub recovery_phrase: Option<Zeroizing<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mirror {
    user: String,
    password: String,
    api_key: Option<String>,
    recovery_phrase: Option<String>,
}

impl Credentials {
    /// The file.
    pub fn to_toml(&self) -> Zeroizing<String> {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let mut text = Zeroizing::new(String::from(
            "# What opens the first account of this Mayfly. Keep it like a key.\n",
        ));
        text.push_str(&format!("user = {}\n", quoted(&self.user)));
        text.push_str(&format!("password = {}\n", quoted(&self.password)));
        if let Some(key) = &self.api_key {
            text.push_str(&format!("api_key = {}\n", quoted(key.reveal())));
        }
        if let Some(phrase) = &self.recovery_phrase {
            text.push_str(&format!("recovery_phrase = {}\n", quoted(phrase)));
        }
        text
    }

    /// Reads [`Credentials::to_toml`] back; `None` when it is something else. What is wrong is not
    /// told in more words, because those would repeat the secrets.
    pub fn from_toml(text: &str) -> Option<Self> {
        let mirror: Mirror = toml::from_str(text).ok()?;
        let api_key = match mirror.api_key {
            Some(key) => Some(Token::parse(&key)?),
            None => None,
        };
        Some(Self {
            user: mirror.user,
            password: Zeroizing::new(mirror.password),
            api_key,
            recovery_phrase: mirror.recovery_phrase.map(Zeroizing::new),
        })
    }
}
