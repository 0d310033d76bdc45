//! What the path of the bytes runs between when nothing but the path is to be measured: a stage that
//! keeps nothing, one that keeps all in memory, and a blob of what was kept.

use mayfly::store::{Stage, StoreError, StoredBlob};
use std::fs::File;
use std::hint::black_box;
use std::io;
use std::sync::{Arc, Mutex};

pub struct Nowhere;

impl Stage for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        black_box(bytes);
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

#[derive(Clone, Default)]
pub struct Kept(pub Arc<Mutex<Vec<u8>>>);

impl Stage for Kept {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

pub struct Blob(pub Arc<Vec<u8>>);

impl StoredBlob for Blob {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let from = self.0.get(at..at + buffer.len());
        buffer.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn file(&self) -> Option<&File> {
        None
    }
}
