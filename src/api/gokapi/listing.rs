//! Lists of any length: written as they are read, a page at a time.

use super::wire;
use crate::http::{Response, Sink, Stream};
use crate::service::Error;
use serde::Serialize;
use std::io;

/// A page, and where the next one begins, if there is one.
pub type Page<T, C> = (Vec<T>, Option<C>);

/// Answers with a list whose first page is there already, so that a failure up to here has its status.
pub fn list<T: Send + 'static, C: Send + 'static, W: Serialize + 'static>(
    first: Page<T, C>,
    next: impl Fn(C) -> Result<Page<T, C>, Error> + Send + 'static,
    wire: fn(&T) -> W,
) -> Response {
    let (mut items, mut cursor) = first;
    let send = move |sink: &mut dyn Sink| {
        let mut text = b"[".to_vec();
        loop {
            for item in items.drain(..) {
                text.extend_from_slice(&wire::bytes(&wire(&item)));
                sink.write_all(&text)?;
                text.clear();
                text.push(b',');
            }
            let Some(after) = cursor.take() else { break };
            // A client that stands still holds no page.
            sink.ready()?;
            (items, cursor) = next(after).map_err(io::Error::other)?;
        }
        // Of an empty list, nothing has gone out yet.
        sink.write_all(text.strip_suffix(b",").unwrap_or(&text))?;
        sink.write_all(b"]")
    };
    wire::answer(200).stream(Stream {
        length: None,
        send: Box::new(send),
    })
}
