//! What is wrong with settings, told so that it can be mended: where, what stands there, what to do.
//!
//! No problem shows a value that may be secret: unknown keys and broken lines are told without it.

use std::fmt;
use std::path::PathBuf;

/// Where a problem is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A line of the file; the first is 1.
    Line(usize),
    /// A variable of the environment.
    Variable(String),
    /// What follows from defaults, or is missing.
    Default,
}

/// One thing that is wrong with the settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The key, with its table; empty when no single one is meant.
    pub key: String,
    /// What stands there, as written; empty when nothing does, or when it may be secret.
    pub value: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Line(line) => write!(f, "line {line}: ")?,
            Place::Variable(_) => write!(f, "environment: ")?,
            Place::File | Place::Default => {}
        }
        let name = match &self.place {
            Place::Variable(name) => name,
            _ => &self.key,
        };
        if !name.is_empty() {
            write!(f, "{name}")?;
            if !self.value.is_empty() {
                write!(f, " = {}", self.value)?;
            }
            write!(f, ": ")?;
        }
        write!(f, "{}", self.remedy)
    }
}

/// Everything that is wrong with the settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems {
    /// The file; `None` when there is none.
    pub path: Option<PathBuf>,
    /// At least one, in the order of the file.
    pub list: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.list.len();
        let word = if count == 1 { "problem" } else { "problems" };
        match &self.path {
            Some(path) => write!(f, "{count} {word} in {}", path.display())?,
            None => write!(f, "{count} {word} in the settings")?,
        }
        for problem in &self.list {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
