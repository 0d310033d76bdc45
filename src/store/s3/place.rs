//! Where a bucket is: one that settings lead to, or none.

use super::error::{Kind, S3Error};
use super::settings::S3Settings;
use ureq::http;

/// Scheme and host of the bucket, and what the paths in it start with.
pub(super) fn place(settings: &S3Settings) -> Result<(&'static str, String, String), S3Error> {
    let refused = |what| S3Error::new(Kind::Refused, what);
    let (scheme, host) = match settings.endpoint.split_once("://") {
        Some(("https", host)) => ("https", host),
        Some(("http", host)) => ("http", host),
        _ => return Err(refused("the endpoint does not start with https://")),
    };
    // Dots as segments of a path would be resolved on the way, and the signature would not fit.
    if settings.prefix.split('/').any(|s| matches!(s, "." | "..")) {
        return Err(refused("the prefix has a segment of dots"));
    }
    let (host, base) = if settings.path_style {
        (host.to_owned(), format!("/{}", settings.bucket))
    } else {
        (format!("{}.{host}", settings.bucket), String::new())
    };
    let authority = host.parse::<http::uri::Authority>();
    if !authority.is_ok_and(|a| !a.as_str().contains('@')) {
        return Err(refused("the endpoint is not a host with or without a port"));
    }
    Ok((scheme, host, base))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::s3::tests::stage::settings;

    #[test]
    fn a_bucket_is_in_the_path_or_in_the_host_name() {
        let mut settings = settings("https://s3.example:9000".to_owned());
        let in_path = place(&settings).unwrap();
        assert_eq!(
            in_path,
            ("https", "s3.example:9000".into(), "/bucket".into())
        );
        settings.path_style = false;
        let in_name = place(&settings).unwrap();
        assert_eq!(
            in_name,
            ("https", "bucket.s3.example:9000".into(), String::new())
        );
    }
}
