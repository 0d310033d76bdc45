//! How uploads in chunks end: by their publication, given up, or with their account.
//!
//! A session ends in one step, however many chunks it has: its row and its places in the indexes go,
//! and the rows of its chunks follow in steps. Those have the name of the blob in their keys, not the
//! hash of the session: the client may begin another one under the same name at once, which must not
//! find what is left of the first.

use super::keys::{account_key, due_key, owned_key, tail};
use super::records::Mark;
use super::schema::{BUILDING, CHUNKS, Change, EDGES, ENDED, IDLE, SESSIONS, UPLOADING};
use super::{MetadataError, RedbMetadata};
use crate::model::{AccountId, BlobId, ChunkSession, Lookup};

type Result<T> = std::result::Result<T, MetadataError>;

/// Rows of ended sessions that go in one step: bounds memory, and how long other changes wait.
const STEP: usize = 1_024;
/// What an edge counts for among them: it may fill several pages.
const EDGE: usize = 16;
impl RedbMetadata {
    /// Removes what ended uploads in chunks left, in steps. They have ended, whatever becomes of this: what
    /// stays is in nobody's way, and goes when the next one begins or ends.
    pub(super) fn clear_ended(&self) {
        loop {
            let more = match self.read(|view| ENDED.count(view)) {
                Ok(0) => return,
                Ok(_) => self.writer.run(clear),
                Err(error) => Err(error),
            };
            match more {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    log::warn!("rows of ended uploads in chunks stay for now: {error}");
                    return;
                }
            }
        }
    }
}

/// Ends a session. What cannot go with it in this step goes with [`clear`].
pub(super) fn end(to: &Change<'_>, session: &ChunkSession) -> Result<()> {
    retire(to, session)?;
    let mut rows = STEP;
    if !clear_one(to, &session.blob, &mut rows)? {
        ENDED.put(to, &session.blob.0, &Mark)?;
    }
    Ok(())
}

/// Drops the row of a session and its places in the indexes.
fn retire(to: &Change<'_>, session: &ChunkSession) -> Result<()> {
    IDLE.delete(to, &due_key(session.touched, &session.lookup))?;
    UPLOADING.delete(to, &owned_key(session.owner, &session.lookup))?;
    BUILDING.delete(to, &session.blob.0)?;
    SESSIONS.delete(to, &session.lookup.0)
}

/// Ends up to `limit` sessions of an account: what they have goes with [`clear`]. False when there are
/// more.
pub(super) fn end_those_of(to: &Change<'_>, owner: AccountId, limit: usize) -> Result<bool> {
    let keys = UPLOADING.keys_under(to, &account_key(owner), limit.saturating_add(1))?;
    let mut sessions = Vec::new();
    for key in keys.iter().take(limit) {
        sessions.push(SESSIONS.need(to, &tail::<32>(UPLOADING.name, key)?)?);
    }
    for session in &sessions {
        retire(to, session)?;
        ENDED.put(to, &session.blob.0, &Mark)?;
    }
    Ok(keys.len() <= limit)
}

pub(super) fn drop_session(to: &Change<'_>, lookup: &Lookup) -> Result<Option<BlobId>> {
    let Some(session) = SESSIONS.get(to, &lookup.0)? else {
        return Ok(None);
    };
    end(to, &session)?;
    Ok(Some(session.blob))
}

/// One step of removing what ended sessions left. False when nothing is left.
pub(super) fn clear(to: &Change<'_>) -> Result<bool> {
    let mut rows = STEP;
    while rows > EDGE {
        let ended = ENDED.keys_under(to, &[], 1)?;
        let Some(key) = ended.first() else {
            return Ok(false);
        };
        let blob = BlobId(tail(ENDED.name, key)?);
        if !clear_one(to, &blob, &mut rows)? {
            return Ok(true);
        }
        ENDED.delete(to, key)?;
        rows -= 1;
    }
    Ok(true)
}

/// Removes what the session of a blob had, as long as `rows` are not used up. False when there may be
/// more.
fn clear_one(to: &Change<'_>, blob: &BlobId, rows: &mut usize) -> Result<bool> {
    let chunks = CHUNKS.keys_under(to, &blob.0, *rows)?;
    for key in &chunks {
        CHUNKS.delete(to, key)?;
    }
    *rows -= chunks.len();
    let most = *rows / EDGE;
    let edges = EDGES.keys_under(to, &blob.0, most)?;
    for key in &edges {
        EDGES.delete(to, key)?;
    }
    *rows -= edges.len() * EDGE;
    Ok(edges.len() < most)
}
