//! A data directory with very many links, made once and kept among the build's temporary files.
//!
//! The links are published by the program's own service with the account of a real demo, into the
//! real database and a store that keeps nothing: a million files would only measure the file system.

use crate::support::{MIB, Server, copy_tree, files_below, opener};
use mayfly::metadata::{Metadata, RedbMetadata};
use mayfly::model::{BlobId, Permissions, Secret, SystemClock, Timekeeper};
use mayfly::service::{Count, Encryption, Lifetime, LinkWish, Parts, Policy, Service};
use mayfly::store::{Assembly, Piece, Pieces, Stage, Store, StoreError, StoredBlob, WaitingFiles};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Threads that publish: their commits share a sync.
const WRITERS: usize = 64;

/// A data directory of a demo with `links` links. Copy it ([`Server::on_copy_of`]) before use.
pub fn with_links(links: u64) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("links-{links}"));
    let ready = home.join("ready");
    let data = home.join("data");
    let stamp = stamp();
    if std::fs::read_to_string(&ready).is_ok_and(|s| s == stamp) {
        return data;
    }
    let _ = std::fs::remove_dir_all(&home);
    std::fs::create_dir_all(&data).unwrap();
    let mut server = Server::demo();
    server.stop(Duration::from_secs(30));
    copy_tree(&server.dir, &data);
    let began = Instant::now();
    fill(&data, &server.key, links);
    eprintln!("published {links} links in {:.1?}", began.elapsed());
    std::fs::write(ready, stamp).unwrap();
    data
}

/// Another build may have another format.
fn stamp() -> String {
    let program = crate::support::program().pop().unwrap();
    let program = std::fs::metadata(program).unwrap();
    format!("{:?} {}", program.modified().unwrap(), program.len())
}

fn fill(dir: &Path, key: &str, links: u64) {
    let metadata = RedbMetadata::open(
        &opener::database(dir),
        Arc::new(|why: &str| panic!("the database failed: {why}")),
    )
    .unwrap();
    let service = Service::new(
        Parts {
            metadata: Arc::new(metadata) as Arc<dyn Metadata>,
            store: Arc::new(Nowhere),
            waiting: WaitingFiles::open(&std::env::temp_dir(), 0).unwrap(),
            clock: Arc::new(Timekeeper::unquestioned(Arc::new(SystemClock::new()))),
            server_key: Secret::new([7; 32]),
            master_key: None,
            on_fatal: Arc::new(|why: &str| panic!("the service failed: {why}")),
        },
        Policy {
            encryption: Encryption::Link,
            max_file_size: MIB,
            max_downloads: None,
            max_days: None,
            dedup: false,
            lease: Duration::from_secs(600),
            unlock: Duration::from_secs(600),
            password_cost: (8, 1),
        },
    );
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let session = service
        .authenticate(Some(key), Permissions::ALL, local)
        .unwrap_or_else(|e| panic!("the demo's key: {e}"));
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= links {
                        return;
                    }
                    let content = n.to_le_bytes();
                    let received = service.receive(&session, &mut &content[..], Some(8));
                    let wish = LinkWish {
                        name: format!("file-{n}.bin"),
                        content_type: "application/octet-stream".to_owned(),
                        count: Count::Limited(3),
                        lifetime: Lifetime::Unlimited,
                        password: None,
                    };
                    let received = received.unwrap_or_else(|e| panic!("{e}"));
                    if let Err(e) = service.publish(&session, received, wish) {
                        panic!("{e}");
                    }
                }
            });
        }
    });
}

/// Bytes of the database file.
#[allow(dead_code, reason = "not every test program asks")]
pub fn database_size(dir: &Path) -> u64 {
    files_below(dir)
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "redb"))
        .map(|p| std::fs::metadata(p).unwrap().len())
        .sum()
}

/// A store that takes everything and keeps nothing.
struct Nowhere;

struct Gone;

impl Stage for Gone {
    fn write(&mut self, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Assembly for Gone {
    fn piece(&self, _: u64) -> Result<Box<dyn Piece>, StoreError> {
        Ok(Box::new(Gone))
    }

    fn commit(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Piece for Gone {
    fn write(&mut self, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Store for Nowhere {
    fn stage(&self, _: &BlobId, _: Option<u64>) -> Result<Box<dyn Stage>, StoreError> {
        Ok(Box::new(Gone))
    }

    fn open(&self, _: &BlobId) -> Result<Box<dyn StoredBlob>, StoreError> {
        Err(StoreError::NotFound)
    }

    fn delete(&self, _: &BlobId) -> Result<(), StoreError> {
        Ok(())
    }

    fn list(&self, _: Option<&BlobId>, _: usize) -> Result<Vec<BlobId>, StoreError> {
        Ok(Vec::new())
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn sweep_staged(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn available(&self) -> Result<u64, StoreError> {
        Ok(u64::MAX)
    }

    fn assemble(&self, _: &BlobId, _: u64, _: Pieces) -> Result<Arc<dyn Assembly>, StoreError> {
        Ok(Arc::new(Gone))
    }

    fn reassemble(&self, _: &BlobId, _: u64) -> Result<Arc<dyn Assembly>, StoreError> {
        Ok(Arc::new(Gone))
    }

    fn abandon(&self, _: &BlobId) -> Result<(), StoreError> {
        Ok(())
    }

    fn assemblies(&self, _: Option<&BlobId>, _: usize) -> Result<Vec<BlobId>, StoreError> {
        Ok(Vec::new())
    }
}
