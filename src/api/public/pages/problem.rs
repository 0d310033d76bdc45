//! What is wrong with the files that the owner gave for the pages, and what to do about it.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The file or folder.
    pub file: PathBuf,
    /// The line, from 1, where there is one.
    pub line: Option<usize>,
    /// What it is, and the remedy.
    pub what: String,
    /// Whether what is built in is used instead. Otherwise the file is used as it is.
    pub refused: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// A problem somewhere in a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The line, from 1.
    pub line: usize,
    /// What it is, and the remedy.
    pub what: String,
    /// Whether the text is of no use with it.
    pub is_error: bool,
}

impl Finding {
    /// One that makes the text useless.
    pub fn error(line: usize, what: impl Into<String>) -> Self {
        let what = what.into();
        let is_error = true;
        Self {
            line,
            what,
            is_error,
        }
    }

    /// One that leaves it usable.
    pub fn warning(line: usize, what: impl Into<String>) -> Self {
        let what = what.into();
        let is_error = false;
        Self {
            line,
            what,
            is_error,
        }
    }

    /// As a problem of that file.
    pub fn of(self, file: PathBuf) -> Problem {
        Problem {
            file,
            line: Some(self.line),
            what: self.what,
            refused: self.is_error,
        }
    }
}
