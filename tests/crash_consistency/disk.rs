//! A disk in memory that records what reaches it, fails on demand, and loses power.

use redb::StorageBackend;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const SECTOR: usize = 512;

/// What reached the backend.
#[derive(Clone, Debug)]
pub enum Event {
    Write(u64, Vec<u8>),
    Resize(u64),
    Sync,
}

/// A disk in memory.
#[derive(Debug, Default)]
pub struct Disk {
    pub bytes: Mutex<Vec<u8>>,
    pub events: Mutex<Vec<Event>>,
    /// The operation that fails, counted from 1; 0 when none shall.
    pub fuse: AtomicU64,
    /// Whether all operations after it fail as well.
    pub stays_broken: bool,
}

#[derive(Debug)]
pub struct Handle(pub Arc<Disk>);

impl Disk {
    pub fn holding(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self {
            bytes: Mutex::new(bytes),
            ..Self::default()
        })
    }

    fn burn(&self) -> io::Result<()> {
        let left = self.fuse.load(Ordering::SeqCst);
        if left == 1 {
            if !self.stays_broken {
                self.fuse.store(0, Ordering::SeqCst);
            }
            return Err(io::Error::other("injected"));
        }
        self.fuse.store(left.saturating_sub(1), Ordering::SeqCst);
        Ok(())
    }

    fn record(&self, event: Event) -> io::Result<()> {
        self.burn()?;
        apply(&mut self.bytes.lock().unwrap(), &event);
        self.events.lock().unwrap().push(event);
        Ok(())
    }

    pub fn moment(&self) -> usize {
        self.events.lock().unwrap().len()
    }
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

pub fn apply(bytes: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Write(offset, data) => {
            let end = at(*offset) + data.len();
            // A write that reached the disk brought the length along.
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[at(*offset)..end].copy_from_slice(data);
        }
        Event::Resize(length) => bytes.resize(at(*length), 0),
        Event::Sync => {}
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.0.bytes.lock().unwrap().len()).unwrap())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.burn()?;
        let bytes = self.0.bytes.lock().unwrap();
        let from = bytes
            .get(at(offset)..at(offset) + out.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.record(Event::Resize(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.record(Event::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.record(Event::Write(offset, data.to_vec()))
    }
}

/// A small generator: the same cuts in every run.
pub struct Dice(pub u64);

impl Dice {
    fn roll(&mut self) -> bool {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 63 == 1
    }
}

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// Nothing.
    Nothing,
    /// Everything.
    All,
    /// Each write whole or not at all.
    Writes,
    /// Each sector of each write whole or not at all.
    Sectors,
}

pub fn cut(durable: &[u8], pending: &[Event], how: Cut, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = durable.to_vec();
    for event in pending {
        match (how, event) {
            (Cut::Nothing, _) => {}
            (Cut::All, _) => apply(&mut bytes, event),
            (Cut::Sectors, Event::Write(offset, data)) => {
                for (i, sector) in data.chunks(SECTOR).enumerate() {
                    if dice.roll() {
                        let offset = offset + u64::try_from(i * SECTOR).unwrap();
                        apply(&mut bytes, &Event::Write(offset, sector.to_vec()));
                    }
                }
            }
            (Cut::Writes | Cut::Sectors, _) => {
                if dice.roll() {
                    apply(&mut bytes, event);
                }
            }
        }
    }
    bytes
}
