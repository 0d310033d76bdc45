//! Parameters of calls that take them from wherever scripts put them: in header fields, as Gokapi wants them, in
//! the query, or in a form, encoded or in parts. A header field goes before the query, and the query before the form.

use super::error::Fault;
use super::params::{self, Params};
use crate::api::route::Call;
use crate::http::Head;
use crate::http::form::{Form, read_limited};
use crate::http::multipart::Multipart;
use std::borrow::Cow;

/// The longest form of a call with a few parameters, in bytes.
pub const FORM: u64 = 4 * 1024;

/// The most parts of a form: no call has more parameters.
const PARTS: usize = 16;

/// The parameters of one call.
pub struct Given<'a> {
    head: &'a Head,
    form: Vec<u8>,
    parts: Vec<(String, String)>,
}

impl<'a> Given<'a> {
    /// Reads the form, if there is one, of at most `limit` bytes; so many in each of its parts, if it has any.
    ///
    /// # Errors
    /// [`Fault`] when it is longer, breaks off, or has a file.
    pub fn read(call: Call<'a>, limit: u64) -> Result<Self, Fault> {
        let mut given = Self {
            head: call.head,
            form: Vec::new(),
            parts: Vec::new(),
        };
        let mut body = call.body;
        if is_form(call.head) {
            let form = read_limited(body, limit);
            given.form = form.map_err(|e| Fault::bad_body(e.to_string()))?;
        } else if is_any_form(call.head) {
            let declared = call.head.headers.first("Content-Type").unwrap_or_default();
            let mut form = Multipart::new(declared, &mut body)?;
            while let Some(mut part) = form.next_part()? {
                if part.file_name().is_some() || given.parts.len() >= PARTS {
                    return Err(Fault::bad_body("this call takes a few fields and no file"));
                }
                let name = part.name().to_owned();
                given.parts.push((name, part.read_text(limit)?));
            }
        }
        Ok(given)
    }

    /// What was given under this name, in the order in which it counts.
    fn all(&self, name: &str) -> Result<impl Iterator<Item = Cow<'_, str>>, Fault> {
        let query = self.head.query.as_deref().unwrap_or_default();
        let header = Params(&self.head.headers).text(name)?.map(Cow::Borrowed);
        let part = self.parts.iter().find(|(given, _)| given == name);
        let others = [
            Form::new(query).first(name),
            Form::new(&self.form).first(name),
            part.map(|(_, text)| Cow::Borrowed(text.as_str())),
        ];
        Ok(header.into_iter().chain(others.into_iter().flatten()))
    }

    /// A text, `None` when absent; empty is present.
    ///
    /// # Errors
    /// [`Fault`] when it is not UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<Cow<'_, str>>, Fault> {
        Ok(self.all(name)?.next())
    }

    /// A text that may be neither absent nor empty.
    ///
    /// # Errors
    /// [`Fault`] when it is, or is not UTF-8.
    pub fn required(&self, name: &str) -> Result<Cow<'_, str>, Fault> {
        self.filled(name)?.ok_or_else(|| Fault::missing(name))
    }

    /// A whole number; empty is absent.
    ///
    /// # Errors
    /// [`Fault`] when it is none.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Fault> {
        self.parsed(name, params::number)
    }

    /// A truth value; `false` when absent or empty.
    ///
    /// # Errors
    /// [`Fault`] when it is none.
    pub fn flag(&self, name: &str) -> Result<bool, Fault> {
        Ok(self.parsed(name, params::flag)?.unwrap_or(false))
    }

    fn filled(&self, name: &str) -> Result<Option<Cow<'_, str>>, Fault> {
        Ok(self.all(name)?.find(|text| !text.is_empty()))
    }

    fn parsed<T>(&self, name: &str, parse: fn(&str) -> Option<T>) -> Result<Option<T>, Fault> {
        let text = self.filled(name)?;
        text.map(|text| parse(&text).ok_or_else(|| Fault::bad_value(name)))
            .transpose()
    }
}

/// Whether the body is an encoded form.
pub fn is_form(head: &Head) -> bool {
    content_type(head).eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Whether the body is a form, encoded or in parts.
fn is_any_form(head: &Head) -> bool {
    is_form(head) || content_type(head).eq_ignore_ascii_case("multipart/form-data")
}

/// The type of the body, without its parameters.
fn content_type(head: &Head) -> &str {
    let declared = head.headers.first("Content-Type").unwrap_or_default();
    declared.split(';').next().unwrap_or_default().trim()
}

/// Whether a call with these parameters may have to stretch a password: what a form has is not known before
/// it is read.
pub fn may_set_password(head: &Head) -> bool {
    let query = head.query.as_deref().unwrap_or_default();
    is_any_form(head)
        || head.headers.all("password").any(|value| !value.is_empty())
        || Form::new(query)
            .first("password")
            .is_some_and(|value| !value.is_empty())
}
