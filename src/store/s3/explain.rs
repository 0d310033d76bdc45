//! What a failed request means to a person: one or two sentences, with the setting or the right to change.

use super::S3Settings;
use super::diagnose::{Mend, Trouble, Wish};
use super::error::{Kind, S3Error};

impl Wish {
    /// What the key may not do, and what the right to it is called.
    fn right(self) -> (&'static str, &'static str) {
        match self {
            Self::List => ("list the bucket", "s3:ListBucket"),
            Self::Put => ("store objects", "s3:PutObject"),
            Self::Get => ("read objects", "s3:GetObject"),
            Self::Multipart => ("upload objects in parts", "s3:PutObject"),
            Self::Abort => ("abort uploads", "s3:AbortMultipartUpload"),
            Self::Delete => ("delete objects", "s3:DeleteObject"),
        }
    }
}

/// Explains `error`, with which `wish` ended.
pub(super) fn trouble(settings: &S3Settings, error: &S3Error, wish: Wish) -> Trouble {
    let mut mend = None;
    let bucket = &settings.bucket;
    let sentence = match error.kind() {
        Kind::Denied => {
            let (what, right) = wish.right();
            let place = match wish {
                Wish::List => format!("the bucket {bucket}"),
                _ => format!("{bucket}/{}*", settings.prefix),
            };
            format!("the access key may not {what}: give it the right {right} on {place}")
        }
        Kind::NoBucket => format!(
            "there is no bucket {bucket}: make it, or correct bucket in [s3]"
        ),
        Kind::WrongRegion {
            expected: Some(region),
        } => {
            mend = Some(Mend::Region(region.clone()));
            match endpoint_in(&settings.endpoint, region) {
                Some(endpoint) => format!(
                    "the bucket is in another region: set region = \"{region}\" and endpoint = \"{endpoint}\" in [s3]"
                ),
                None => format!("the region is another one: set region = \"{region}\" in [s3]"),
            }
        }
        Kind::BadKey if error.has_ended() => {
            mend = Some(Mend::Token);
            "the session token has ended: write a new one with its key into the files of [s3]".to_owned()
        }
        Kind::BadKey if error.wants_token() || lacks_token(settings) => {
            mend = Some(Mend::Token);
            "the access key is a temporary one, and works with its own session token alone: write that into the file that token_file in [s3] names".to_owned()
        }
        Kind::BadKey => {
            "the server does not know the access key: correct the key id; it may have been deleted, or belong to another provider".to_owned()
        }
        Kind::BadSignature => {
            "the secret does not belong to the key id: write it again, whole and without a space".to_owned()
        }
        Kind::Skewed { by } => format!(
            "the clock of this machine is {} that of the server, which refuses that: set it (timedatectl set-ntp true)",
            apart(by.saturating_neg())
        ),
        Kind::Tls => {
            let (sentence, helps) = tls(settings, error);
            mend = helps.then_some(Mend::CaFile);
            sentence
        }
        Kind::Unreachable => format!(
            "{} cannot be reached ({error}): look whether the server runs, whether endpoint is right, and whether name service, network and firewall let it through",
            settings.endpoint
        ),
        Kind::TimedOut => format!(
            "{} does not answer in time: look whether the server or the network is overloaded, or a firewall swallows requests",
            settings.endpoint
        ),
        Kind::Broken => format!(
            "{} does not answer like an S3 server ({error}): look at endpoint, its port, and http:// or https://",
            settings.endpoint
        ),
        _ => {
            let remedy = error.remedy();
            format!("{error}: {}", remedy.trim_end_matches('.'))
        }
    };
    Trouble {
        sentence,
        mend,
        may_pass: error.may_pass(),
    }
}

/// The key may neither list nor store.
pub(super) fn no_right(settings: &S3Settings) -> Trouble {
    Trouble {
        sentence: format!(
            "the access key may do nothing with the bucket {}: correct key id and bucket, or give the key the rights s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload",
            settings.bucket
        ),
        mend: None,
        may_pass: false,
    }
}

/// Whether this is the id of a key that works with a session token alone: Amazon's tell by how they begin.
pub fn is_temporary_key(key_id: &str) -> bool {
    key_id.starts_with("ASIA")
}

/// Whether a temporary key is there without its token. Amazon answers then as if there were no such key.
fn lacks_token(settings: &S3Settings) -> bool {
    let of = &settings.credentials;
    of.token.is_none() && is_temporary_key(&of.key_id)
}

/// Why TLS failed, and whether a file with a certificate would help.
fn tls(settings: &S3Settings, error: &S3Error) -> (String, bool) {
    let endpoint = &settings.endpoint;
    let text = format!("{error} {:?}", error);
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["UnknownIssuer", "CaUsedAsEndEntity", "BadSignature"]) {
        let remedy = match settings.ca_file {
            None => "name a file with the certificate of its authority as ca_file in [s3]",
            Some(_) => {
                "ca_file in [s3] is not that of the authority that signed it: put the right certificate there"
            }
        };
        (
            format!("the certificate of {endpoint} is not trusted: {remedy}"),
            true,
        )
    } else if has(&["NotValidForName"]) {
        let style = match settings.path_style {
            true => "write the name that the certificate is for as endpoint in [s3]",
            false => {
                "set path_style = true in [s3], or get a certificate that covers the names of buckets"
            }
        };
        (
            format!("the certificate of {endpoint} is for another name: {style}"),
            false,
        )
    } else if has(&["Expired", "NotValidYet"]) {
        (
            format!(
                "the certificate of {endpoint} is not valid at this time: renew it, or set the clock of this machine if that is wrong"
            ),
            false,
        )
    } else if has(&["InvalidContentType", "InvalidMessage"]) {
        (
            format!(
                "{endpoint} does not speak TLS: correct the port, or write http:// if it is a server of the local network"
            ),
            false,
        )
    } else {
        let remedy = error.remedy();
        (
            format!("{error}: {}", remedy.trim_end_matches('.')),
            settings.ca_file.is_none(),
        )
    }
}

/// The endpoint of another region, where that follows from the name: Amazon's.
pub fn endpoint_in(endpoint: &str, region: &str) -> Option<String> {
    let host = endpoint.strip_prefix("https://s3.")?;
    let (old, end) = match host.strip_suffix(".cn") {
        Some(rest) => (rest.strip_suffix("amazonaws.com")?, "amazonaws.com.cn"),
        None => (host.strip_suffix("amazonaws.com")?, "amazonaws.com"),
    };
    let simple = match old.strip_suffix('.') {
        Some(region) => !region.contains('.'),
        None => old.is_empty(),
    };
    let next = format!("https://s3.{region}.{end}");
    (simple && next != endpoint).then_some(next)
}

/// How far a clock that is `ahead` seconds ahead is from the other one: "7 minutes behind".
pub(super) fn apart(ahead: i64) -> String {
    let seconds = ahead.unsigned_abs();
    let (number, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    format!("{number} {unit}{plural} {side}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amazons_endpoints_follow_the_region_and_others_stay() {
        let of = |endpoint| endpoint_in(endpoint, "eu-west-1");
        let there = Some("https://s3.eu-west-1.amazonaws.com".to_owned());
        assert_eq!(of("https://s3.amazonaws.com"), there);
        assert_eq!(of("https://s3.us-east-1.amazonaws.com"), there);
        assert_eq!(of("https://s3.eu-west-1.amazonaws.com"), None);
        assert_eq!(
            endpoint_in("https://s3.cn-north-1.amazonaws.com.cn", "cn-northwest-1"),
            Some("https://s3.cn-northwest-1.amazonaws.com.cn".to_owned())
        );
        assert_eq!(of("https://s3.garage.lan"), None);
        assert_eq!(of("https://s3.evil-amazonaws.com"), None);
    }

    #[test]
    fn differences_of_clocks_are_said_in_words() {
        assert_eq!(apart(-1), "1 second behind");
        assert_eq!(apart(119), "119 seconds ahead of");
        assert_eq!(apart(-420), "7 minutes behind");
        assert_eq!(apart(7200), "2 hours ahead of");
        assert_eq!(apart(i64::MIN), "106751991167300 days behind");
    }
}
