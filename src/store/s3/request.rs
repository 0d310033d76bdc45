//! What is asked of a bucket.

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "named after the methods that they stand for")]
pub enum Method {
    Get,
    Head,
    Put,
    Post,
    Delete,
}

impl Method {
    /// As it is sent.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// A request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// The object's name with its prefix; empty for the bucket itself.
    pub key: &'a str,
    /// Query, not encoded.
    pub query: &'a [(&'a str, &'a str)],
    /// More headers, names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
}
