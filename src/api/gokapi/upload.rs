//! `/api/files/add`: a form with one file, read once and in constant memory.

use super::error::Fault;
use super::files::{count, info};
use super::params;
use super::wire::{self, UploadResult};
use crate::api::route::Call;
use crate::api::{Api, ApiSettings};
use crate::http::multipart::{Multipart, MultipartError};
use crate::http::{BodyLength, Response};
use crate::model::{Clock, Timestamp};
use crate::service::{Count, Error, Lifetime, LinkWish, Received, Session};
use zeroize::Zeroizing;

/// The most that a form may have besides the file: boundaries, part headers, fields.
pub(super) const AROUND_FILE: u64 = 64 * 1024;
/// The longest form field.
pub(super) const FIELD: u64 = 4 * 1024;
const DAY: i64 = 86_400;

/// Takes a file in and answers with its link.
pub fn add(api: &Api, session: Session, call: Call<'_>) -> Result<Response, Fault> {
    let limit = api.settings.max_file_size;
    let declared = match call.body.length() {
        // Whatever the form has around the file, this is too much; nothing of it is read.
        BodyLength::Exact(length) if length.saturating_sub(AROUND_FILE) > limit => {
            return Err(Error::TooLarge { limit }.into());
        }
        // A part cannot say how long it is. Up to the limit the form's length is close enough to
        // find out early that a file does not fit.
        BodyLength::Exact(length) => Some(length.min(limit)),
        BodyLength::None | BodyLength::Chunked => None,
    };
    let content_type = call.head.headers.first("Content-Type").unwrap_or_default();
    let mut body = call.body;
    let mut form = Multipart::new(content_type, &mut body)?;
    let mut file: Option<(String, String, Received)> = None;
    let mut fields = Fields::default();
    while let Some(mut part) = form.next_part()? {
        let Some(name) = part.file_name().map(str::to_owned) else {
            let name = part.name().to_owned();
            let value = Zeroizing::new(part.read_text(FIELD)?);
            fields.set(&name, value)?;
            continue;
        };
        if part.name() != "file" {
            return Err(Fault::bad_body(
                "http: no such file: the file belongs into the form field \"file\"",
            ));
        }
        if file.is_some() {
            return Err(Fault::bad_body(
                "one file for each upload: the form has more than one",
            ));
        }
        // What is too much already is told before the file is taken in.
        let (count, lifetime) = fields.ends(&api.settings, &*api.clock);
        api.service.allows(Some(count), Some(lifetime))?;
        let content_type = part.content_type().unwrap_or_default().to_owned();
        let received = api.service.receive(&session, &mut part, declared)?;
        file = Some((name, content_type, received));
    }
    let Some((name, content_type, received)) = file else {
        return Err(Fault::bad_body("http: no such file"));
    };
    let wish = fields.wish(name, content_type, &api.settings, &*api.clock);
    let file = api.service.publish(&session, received, wish)?;
    Ok(wire::json(200, &UploadResult::ok(&info(api, &file))))
}

impl From<MultipartError> for Fault {
    fn from(error: MultipartError) -> Self {
        match error {
            MultipartError::Input(cause) => Error::Input(cause).into(),
            MultipartError::ContentType => {
                Self::bad_body("request Content-Type isn't multipart/form-data")
            }
            other => Self::bad_body(other.to_string()),
        }
    }
}

/// What the form says besides the file. Where a field comes twice, the first counts.
#[derive(Default)]
struct Fields {
    downloads: Option<Zeroizing<String>>,
    days: Option<Zeroizing<String>>,
    password: Option<Zeroizing<String>>,
    any_downloads: Option<Zeroizing<String>>,
    any_time: Option<Zeroizing<String>>,
}

impl Fields {
    /// Takes one field. Those that nobody knows are passed over.
    fn set(&mut self, name: &str, value: Zeroizing<String>) -> Result<(), Fault> {
        let field = match name {
            "allowedDownloads" => &mut self.downloads,
            "expiryDays" => &mut self.days,
            "password" => &mut self.password,
            "isUnlimitedDownload" => &mut self.any_downloads,
            "isUnlimitedTime" => &mut self.any_time,
            "isE2E" if params::flag(&value) == Some(true) => return Err(Fault::no_end_to_end()),
            _ => return Ok(()),
        };
        field.get_or_insert(value);
        Ok(())
    }

    /// What is wished for. As in Gokapi, what is no number counts as not given.
    fn wish(
        self,
        name: String,
        content_type: String,
        settings: &ApiSettings,
        clock: &dyn Clock,
    ) -> LinkWish {
        let (count, lifetime) = self.ends(settings, clock);
        LinkWish {
            name,
            content_type,
            count,
            lifetime,
            password: self.password.filter(|text| !text.is_empty()),
        }
    }

    /// How the link is to end, by what has been said so far.
    fn ends(&self, settings: &ApiSettings, clock: &dyn Clock) -> (Count, Lifetime) {
        let number = |field: &Option<Zeroizing<String>>, default: u32| {
            field
                .as_deref()
                .and_then(|text| params::number(text))
                .unwrap_or_else(|| i64::from(default))
        };
        let is_set = |field: &Option<Zeroizing<String>>| {
            field.as_deref().and_then(|text| params::flag(text)) == Some(true)
        };
        let count = if is_set(&self.any_downloads) {
            Count::Unlimited
        } else {
            count(number(&self.downloads, settings.default_downloads))
        };
        let lifetime = if is_set(&self.any_time) {
            Lifetime::Unlimited
        } else {
            lifetime(clock.now(), number(&self.days, settings.default_days))
        };
        (count, lifetime)
    }
}

/// A number of days from `now`, as Gokapi means it: 0 is for ever, and less is over already.
pub(super) fn lifetime(now: Timestamp, days: i64) -> Lifetime {
    match days {
        0 => Lifetime::Unlimited,
        days => Lifetime::Until(now.plus(days.saturating_mul(DAY))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Noon;
    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp(1_000_000)
        }
        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }
    }

    fn wish(given: &[(&str, &str)]) -> (Count, Lifetime, Option<String>) {
        let settings = ApiSettings {
            base_url: String::new(),
            default_downloads: 1,
            default_days: 14,
            max_file_size: 1,
            hotlink_protection: false,
            pages: crate::api::PageSettings::default(),
            secure_cookies: false,
        };
        let mut fields = Fields::default();
        for (name, value) in given {
            fields
                .set(name, Zeroizing::new((*value).to_owned()))
                .unwrap();
        }
        let wish = fields.wish(String::new(), String::new(), &settings, &Noon);
        (
            wish.count,
            wish.lifetime,
            wish.password.map(|p| p.to_string()),
        )
    }

    fn after_days(days: i64) -> Lifetime {
        Lifetime::Until(Timestamp(1_000_000 + days * DAY))
    }

    #[test]
    fn what_is_not_said_or_is_no_number_is_the_default() {
        let default = (Count::Limited(1), after_days(14), None);
        assert_eq!(wish(&[]), default);
        assert_eq!(
            wish(&[
                ("allowedDownloads", "many"),
                ("expiryDays", "1.5"),
                ("password", ""),
                ("isUnlimitedTime", "perhaps"),
                ("colour", "red"),
            ]),
            default
        );
    }

    #[test]
    fn zero_is_without_limit_and_less_is_over_at_once() {
        assert_eq!(
            wish(&[("allowedDownloads", "0"), ("expiryDays", "0")]),
            (Count::Unlimited, Lifetime::Unlimited, None)
        );
        assert_eq!(
            wish(&[("allowedDownloads", "-1"), ("expiryDays", "-1")]),
            (Count::Limited(0), after_days(-1), None)
        );
        assert_eq!(
            wish(&[
                ("allowedDownloads", "99999999999"),
                ("expiryDays", "9223372036854775807")
            ]),
            (
                Count::Limited(u32::MAX),
                Lifetime::Until(Timestamp(i64::MAX)),
                None
            )
        );
    }

    #[test]
    fn the_first_of_a_field_counts_and_flags_go_before_numbers() {
        assert_eq!(
            wish(&[
                ("allowedDownloads", "5"),
                ("allowedDownloads", "6"),
                ("password", "one"),
                ("password", "two"),
                ("isUnlimitedTime", "true"),
                ("expiryDays", "3"),
            ]),
            (
                Count::Limited(5),
                Lifetime::Unlimited,
                Some("one".to_owned())
            )
        );
    }

    #[test]
    fn nobody_gets_plain_storage_who_asked_for_end_to_end() {
        let mut fields = Fields::default();
        let set = fields.set("isE2E", Zeroizing::new("true".to_owned()));
        assert_eq!(set.map_err(|fault| fault.code), Err(17));
    }
}
