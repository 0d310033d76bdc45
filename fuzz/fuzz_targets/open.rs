//! Opens arbitrary bytes as a sealed blob: never a panic, and never a plaintext that was not
//! sealed. The input is what an attacker would put in place of a blob; what opens must seal back
//! to exactly these bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly::model::Secret;
use mayfly::pipeline::seal::{Cipher, HEADER, Header, open_all, plaintext_len, seal_all, stored_len};

fuzz_target!(|bytes: &[u8]| {
    let key = Secret::new([0x42; 32]);
    if let Some(size) = plaintext_len(bytes.len() as u64) {
        assert_eq!(stored_len(size), bytes.len() as u64);
    }
    if let Ok(plaintext) = open_all(bytes, &key) {
        let header = bytes.first_chunk::<HEADER>().expect("it has opened");
        let header = Header::parse(header).expect("it has opened");
        let sealed = seal_all(&plaintext, &key, &header).expect("it was sealed before");
        assert!(sealed == bytes, "two blobs for one plaintext");
    }

    // The same bytes as plaintext: what seals opens, and one changed byte does not.
    let Some((plaintext, choice)) = bytes.split_last_chunk::<4>() else {
        return;
    };
    let choice = u32::from_be_bytes(*choice);
    let cipher = if choice & 1 == 0 {
        Cipher::Aes256Gcm
    } else {
        Cipher::ChaCha20Poly1305
    };
    let header = Header {
        cipher,
        prefix: [1; 7],
        salt: [2; 16],
    };
    let mut blob = seal_all(plaintext, &key, &header).expect("it is short");
    let opened = open_all(&blob, &key).expect("it was sealed with this key");
    assert!(*opened == plaintext);
    let at = choice as usize % blob.len();
    blob[at] ^= 1 << (choice >> 29);
    assert!(open_all(&blob, &key).is_err());
});
