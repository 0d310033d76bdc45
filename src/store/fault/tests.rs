//! A store that fails when it is told to, and otherwise keeps the contract.

use super::*;
use crate::store::{MemoryStore, contract};

fn faulty() -> (FaultStore, Faults) {
    FaultStore::new(Box::new(MemoryStore::new(None)))
}

#[test]
fn without_faults_it_keeps_the_contract() {
    contract::check(&|| Box::new(faulty().0));
    contract::check_assemblies(&|| Box::new(faulty().0), 300_000);
}

#[test]
fn each_step_of_an_assembly_fails_by_its_name() {
    let (store, faults) = faulty();
    let id = BlobId([1; 16]);
    let pieces = Pieces { first: 4, each: 4 };
    let once = |operation| faults.fail_after_only(operation, 0, Fault::Unavailable);
    once(Operation::Assemble);
    assert!(store.assemble(&id, 4, pieces).is_err());
    let begun = store.assemble(&id, 4, pieces).unwrap();
    once(Operation::BeginPiece);
    assert!(begun.piece(0).is_err());
    let mut piece = begun.piece(0).unwrap();
    faults.fail_after_only(Operation::WritePiece, 0, Fault::Short);
    assert!(matches!(piece.write(b"abcd"), Err(StoreError::Full { .. })));
    once(Operation::Reassemble);
    assert!(store.reassemble(&id, 4).is_err());
    let begun = store.reassemble(&id, 4).unwrap();
    let mut piece = begun.piece(0).unwrap();
    piece.write(b"abcd").unwrap();
    once(Operation::FinishPiece);
    assert!(piece.finish().is_err());
    once(Operation::Assemblies);
    assert!(store.assemblies(None, 1).is_err());
    once(Operation::Abandon);
    assert!(store.abandon(&id).is_err());
    once(Operation::CommitAssembly);
    assert!(begun.commit().is_err());
    begun.commit().unwrap();
    assert_eq!(store.open(&id).unwrap().size(), 4);
}

#[test]
fn only_the_chosen_operation_fails() {
    let (store, faults) = faulty();
    let id = BlobId([1; 16]);
    faults.fail_after(1, Fault::Full);
    let mut stage = store.stage(&id, None).unwrap();
    assert!(matches!(stage.write(b"abcd"), Err(StoreError::Full { .. })));
    stage.write(b"abcd").unwrap();
    assert_eq!(faults.operations(), 3);
    faults.fail_after_only(Operation::Commit, 0, Fault::DoneButUnavailable);
    stage.write(b"efgh").unwrap();
    assert!(matches!(stage.commit(), Err(StoreError::Unavailable(_))));
    let blob = store.open(&id).unwrap();
    assert_eq!(blob.size(), 8);
    let mut buffer = [0; 8];
    faults.fail_after_only(Operation::Read, 0, Fault::Short);
    assert_eq!(
        blob.read_exact_at(&mut buffer, 0).unwrap_err().kind(),
        io::ErrorKind::UnexpectedEof
    );
    assert_eq!(&buffer, b"abcd\0\0\0\0");
    blob.read_exact_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"abcdefgh");
}

#[test]
fn a_short_write_leaves_half_of_it() {
    let (store, faults) = faulty();
    let id = BlobId([2; 16]);
    let mut stage = store.stage(&id, None).unwrap();
    faults.fail_after(0, Fault::Short);
    assert!(matches!(stage.write(b"abcd"), Err(StoreError::Full { .. })));
    stage.commit().unwrap();
    assert_eq!(store.open(&id).unwrap().size(), 2);
}

#[test]
fn what_is_gone_stays_gone_until_it_is_healed() {
    let (store, faults) = faulty();
    faults.fail_after(0, Fault::Gone);
    assert!(store.is_empty().is_err());
    assert!(store.available().is_err());
    assert!(store.stage(&BlobId([3; 16]), None).is_err());
    faults.heal();
    assert!(store.is_empty().unwrap());
}
