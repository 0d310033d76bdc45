//! The dialogue: at most eight questions, each with a proposal that Enter takes, and a last look at all
//! answers at which each can be changed.

use super::answers::{Answers, listen_for};
use super::{Host, Prompt, Stop, password};
use crate::config::Settings;
use std::path::Path;
use toml::Value;

/// What can be asked for.
#[derive(Clone, Copy)]
enum Question {
    Password,
    Storage,
    Access,
    Address,
    Listen,
    Days,
    Downloads,
    Encryption,
    Delivery,
}

/// Those that everybody is asked, in this order. The rest follows from them and can be changed.
const ALWAYS: &[Question] = &[
    Question::Password,
    Question::Storage,
    Question::Address,
    Question::Days,
    Question::Downloads,
    Question::Encryption,
    Question::Delivery,
];

/// What can be changed at the end, in the order of the list.
const CHANGEABLE: &[Question] = &[
    Question::Password,
    Question::Storage,
    Question::Access,
    Question::Address,
    Question::Listen,
    Question::Days,
    Question::Downloads,
    Question::Encryption,
    Question::Delivery,
];

/// The ways to keep files, with an honest sentence each.
const ENCRYPTIONS: &[(&str, &str)] = &[
    (
        "link",
        "sealed; opens by link, password, key or phrase, by nothing else",
    ),
    (
        "server",
        "sealed; a master key, which you guard, opens accounts too",
    ),
    (
        "none",
        "not sealed: who has the disk, or a copy, reads everything",
    ),
];

/// Asks until everything is answered and agreed to.
///
/// # Errors
/// [`Stop`] when the person ends it or the terminal fails.
pub fn ask(prompt: &mut dyn Prompt, host: &dyn Host, config: &Path) -> Result<Answers, Stop> {
    prompt.say(&format!(
        "Mayfly setup: a few questions. Enter takes what stands in [ ].\n\
         Ctrl-C ends it at any time, and nothing is written before the end.\n\
         Settings will be in {}\n",
        config.display()
    ))?;
    let mut dialogue = Dialogue {
        prompt,
        host,
        answers: Answers::new(config),
    };
    for question in ALWAYS {
        dialogue.ask(*question)?;
    }
    loop {
        match dialogue.last_look()? {
            Look::Agreed => return Ok(dialogue.answers),
            Look::Change(question) => {
                dialogue.ask(question)?;
                // What was answered may have made it a question, or none any more.
                use Question::{Access, Encryption, Storage};
                if matches!(question, Storage | Access | Encryption) {
                    dialogue.ask(Question::Delivery)?;
                }
            }
        }
    }
}

enum Look {
    Agreed,
    Change(Question),
}

pub(super) struct Dialogue<'a> {
    pub(super) prompt: &'a mut dyn Prompt,
    pub(super) host: &'a dyn Host,
    pub(super) answers: Answers,
}

impl Dialogue<'_> {
    fn ask(&mut self, question: Question) -> Result<(), Stop> {
        if !self.is_asked(question) {
            self.answers.values.remove("s3.downloads");
            return Ok(());
        }
        self.prompt.say("")?;
        match question {
            Question::Password => self.password(),
            Question::Storage => self.storage(),
            Question::Access => match self.bucket()? {
                true => Ok(()),
                false => self.storage(),
            },
            Question::Address => self.address(),
            Question::Listen => self.listen(),
            Question::Days => self.number(
                "default_days",
                "Days until a file vanishes whose uploader does not say (0: never)",
            ),
            Question::Downloads => self.number(
                "default_downloads",
                "Downloads of a file whose uploader does not say (0: any number)",
            ),
            Question::Encryption => self.encryption(),
            Question::Delivery => self.delivery(),
        }
    }

    /// Whether the answer to a question would change anything.
    fn is_asked(&self, question: Question) -> bool {
        let is_plain = || self.answers.text("encryption").as_deref() == Some("none");
        match question {
            Question::Delivery => self.answers.is_bucket() && is_plain(),
            Question::Access => !self.answers.shown_access().is_empty(),
            _ => true,
        }
    }

    fn password(&mut self) -> Result<(), Stop> {
        self.prompt.say(
            "The account \"admin\" may do everything, and its password opens what it\n\
             uploads. Three or four unrelated words are best. It is not shown.",
        )?;
        loop {
            let first = self.prompt.hidden("Password of the account admin")?;
            if let Err(remedy) = password::check(&first) {
                self.refuse(&remedy)?;
                continue;
            }
            let (weak, hint) = password::hint(&first);
            let advice = if weak {
                ". It can be changed at the end"
            } else {
                ""
            };
            self.prompt
                .say(&format!("  The password is {hint}{advice}."))?;
            let second = self.prompt.hidden("The same again")?;
            if *first == *second {
                self.answers.password = first;
                return Ok(());
            }
            self.refuse("the two are not the same: type the password again, twice")?;
        }
    }

    fn storage(&mut self) -> Result<(), Stop> {
        let default = match self.answers.is_bucket() {
            true => "s3".to_owned(),
            false => self.answers.data_dir().display().to_string(),
        };
        loop {
            let question = "Directory for files and database (s3: files in a bucket)";
            let text = self.prompt.line(question, &default)?;
            if text.eq_ignore_ascii_case("s3") {
                if self.bucket()? {
                    let default = self.answers.data_dir().display().to_string();
                    loop {
                        let text = self.prompt.line("Directory for the database", &default)?;
                        if self.directory(text)? {
                            return Ok(());
                        }
                    }
                }
            } else if self.directory(text)? {
                self.answers.forget_bucket();
                return Ok(());
            }
        }
    }

    /// Takes the data directory, if data can be kept there.
    fn directory(&mut self, text: String) -> Result<bool, Stop> {
        let before = self.answers.clone();
        let set = self.answers.set("data_dir", Value::String(text));
        match set.and_then(|()| self.host.storage(&self.answers.data_dir())) {
            Ok(remark) => {
                self.prompt.say(&format!("  {remark}"))?;
                Ok(true)
            }
            Err(remedy) => {
                self.answers = before;
                self.refuse(&remedy)?;
                Ok(false)
            }
        }
    }

    fn address(&mut self) -> Result<(), Stop> {
        let proposals = self.host.addresses();
        let mut text = String::from(
            "Links begin with the address that visitors use: type it, or a number. With\n\
             https, or without a port, it is that of a reverse proxy on this machine.",
        );
        for (n, proposal) in proposals.iter().enumerate() {
            text.push_str(&format!("\n  {}  {proposal}", n + 1));
        }
        self.prompt.say(&text)?;
        let default = self.answers.text("public_url");
        let default = default.or_else(|| proposals.first().cloned());
        loop {
            let text = self
                .prompt
                .line("Address", default.as_deref().unwrap_or(""))?;
            let chosen = text.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
            let url = chosen
                .and_then(|n| proposals.get(n).cloned())
                .unwrap_or(text);
            let before = self.answers.clone();
            if let Err(remedy) = self.answers.set("public_url", Value::String(url.clone())) {
                self.refuse(&remedy)?;
                continue;
            }
            let listen = listen_for(&url);
            let set = self
                .answers
                .set("listen", Value::String(listen.to_string()));
            match set.and_then(|()| self.host.can_listen(listen)) {
                Ok(()) => return Ok(()),
                Err(remedy) => {
                    self.answers = before;
                    self.refuse(&remedy)?;
                }
            }
        }
    }

    fn listen(&mut self) -> Result<(), Stop> {
        self.prompt.say(
            "127.0.0.1 is this machine alone, 0.0.0.0 everybody who can reach it, [::] the same\n\
             with IPv6.",
        )?;
        let default = self.answers.text("listen").unwrap_or_default();
        loop {
            let text = self
                .prompt
                .line("Address and port to listen on", &default)?;
            let before = self.answers.clone();
            let set = self.answers.set("listen", Value::String(text));
            let listens = set.and_then(|()| match self.answers.settings() {
                Ok(settings) => self.host.can_listen(settings.listen),
                Err(_) => Ok(()),
            });
            match listens {
                Ok(()) => return Ok(()),
                Err(remedy) => {
                    self.answers = before;
                    self.refuse(&remedy)?;
                }
            }
        }
    }

    fn number(&mut self, key: &'static str, question: &str) -> Result<(), Stop> {
        let default = self.answers.text(key).unwrap_or_else(|| {
            let defaults = Settings::in_directory(self.answers.data_dir());
            match key {
                "default_days" => defaults.default_days.to_string(),
                _ => defaults.default_downloads.to_string(),
            }
        });
        loop {
            let text = self.prompt.line(question, &default)?;
            let value = text.parse().map_or(Value::String(text), Value::Integer);
            match self.answers.set(key, value) {
                Ok(()) => return Ok(()),
                Err(remedy) => self.refuse(&remedy)?,
            }
        }
    }

    fn encryption(&mut self) -> Result<(), Stop> {
        let current = self.answers.text("encryption");
        let current = ENCRYPTIONS
            .iter()
            .position(|(word, _)| Some(*word) == current.as_deref());
        let items: Vec<String> = ENCRYPTIONS
            .iter()
            .map(|(word, sentence)| format!("{word:7} {sentence}"))
            .collect();
        loop {
            let question = "How files are kept on the disk";
            let chosen = self.prompt.choose(question, &items, current.unwrap_or(0))?;
            let word = ENCRYPTIONS.get(chosen).map_or("link", |(word, _)| word);
            match self
                .answers
                .set("encryption", Value::String(word.to_owned()))
            {
                Ok(()) => return Ok(()),
                Err(remedy) => self.refuse(&remedy)?,
            }
        }
    }

    fn last_look(&mut self) -> Result<Look, Stop> {
        self.prompt.say("")?;
        let mut items = vec!["Write the settings and make the account".to_owned()];
        let changeable: Vec<Question> = CHANGEABLE
            .iter()
            .filter(|question| self.is_asked(**question))
            .copied()
            .collect();
        items.extend(changeable.iter().map(|question| self.line_of(*question)));
        items.push("End without writing anything".to_owned());
        let question = "All answers: write them, or choose one to change it";
        match self.prompt.choose(question, &items, 0)? {
            0 => Ok(Look::Agreed),
            n => match changeable.get(n - 1) {
                Some(question) => Ok(Look::Change(*question)),
                None => Err(Stop::Ended),
            },
        }
    }

    fn line_of(&self, question: Question) -> String {
        let text = |key| self.answers.text(key).unwrap_or_default();
        let (name, value) = match question {
            Question::Password => {
                let (_, hint) = password::hint(&self.answers.password);
                let word = hint.split(':').next().unwrap_or(hint);
                ("Password of admin", format!("({word}, not shown)"))
            }
            Question::Storage if self.answers.is_bucket() => (
                "Directory, and bucket",
                format!("{} ({})", text("data_dir"), self.answers.shown_bucket()),
            ),
            Question::Access => ("Access to the bucket", self.answers.shown_access()),
            Question::Storage => ("Directory", text("data_dir")),
            Question::Address => ("Address of links", text("public_url")),
            Question::Listen => ("Listening on", text("listen")),
            Question::Days => ("Days by default", text("default_days")),
            Question::Downloads => ("Downloads by default", text("default_downloads")),
            Question::Encryption => ("Encryption", text("encryption")),
            Question::Delivery => ("Files of the bucket", text("s3.downloads")),
        };
        format!("{name:21} {value}")
    }

    pub(super) fn refuse(&mut self, remedy: &str) -> Result<(), Stop> {
        self.prompt.say(&format!("  Not taken: {remedy}."))
    }
}
