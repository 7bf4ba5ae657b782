//! Sealing and opening personal data. The key of a subject is in the key store and nowhere else; destroying it erases the subject, in every copy of the log.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use domain::ids::{CommandId, OperatorId, UserId};
use domain::sealed::{LookupHash, Sealed};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

const NONCE_BYTES: usize = 24;

/// Encrypts a field for its subject. The subject's id is authenticated, so that a sealed field cannot be moved to another subject.
#[must_use]
pub fn seal(key: &[u8; 32], subject: UserId, nonce: [u8; 32], plain: &str) -> Option<Sealed> {
    let cipher = XChaCha20Poly1305::new(key.into());
    let nonce: [u8; NONCE_BYTES] = nonce[..NONCE_BYTES].try_into().ok()?;
    let payload = Payload { msg: plain.as_bytes(), aad: subject.0.as_bytes() };
    let ciphertext = cipher.encrypt(&XNonce::from(nonce), payload).ok()?;
    Some(Sealed { sealed: hex_of(&[&nonce[..], &ciphertext[..]].concat()) })
}

/// Decrypts a field; none when the key is another's, or the field was tampered with.
#[must_use]
pub fn open(key: &[u8; 32], subject: UserId, sealed: &Sealed) -> Option<String> {
    let bytes = bytes_of(&sealed.sealed)?;
    let (nonce, ciphertext) = bytes.split_at_checked(NONCE_BYTES)?;
    let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
    let payload = Payload { msg: ciphertext, aad: subject.0.as_bytes() };
    let plain = XChaCha20Poly1305::new(key.into()).decrypt(&XNonce::from(nonce), payload).ok()?;
    String::from_utf8(plain).ok()
}

/// The nonce of one field in one command. It depends on the plain text only through the command, and no two commands share an id, so that no two different texts
/// are ever sealed under the same nonce.
#[must_use]
pub fn nonce(key: &[u8; 32], command: CommandId, field: &str) -> [u8; 32] {
    hmac(key, &[command.0.as_bytes(), field.as_bytes()])
}

/// The keyed hash by which a value is found without being shown, within one operator: another operator's user with the same value has another hash, so that
/// neither a refusal nor a copy of the log tells that the two are one person. (ADR 0014; the operator's id has a fixed length, so that the parts cannot be confused.)
#[must_use]
pub fn lookup_hash(key: &[u8; 32], operator_id: OperatorId, value: &str) -> LookupHash {
    LookupHash(hex_of(&hmac(key, &[operator_id.0.as_bytes(), value.as_bytes()])))
}

/// HMAC-SHA256 (RFC 2104) of the parts, one after the other.
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // A key shorter than the hash's block of 64 bytes is filled up with zeros; so says the RFC.
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let mut mac = <Hmac<Sha256>>::new(&block.into());
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    (hex.len().is_multiple_of(2) && hex.is_ascii())
        .then(|| (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_for_its_subject_and_key_alone() {
        let subject = UserId(uuid::Uuid::from_u128(7));
        let sealed = seal(&[1; 32], subject, [2; 32], "13800138000").unwrap();
        assert_eq!(open(&[1; 32], subject, &sealed).as_deref(), Some("13800138000"));
        assert_eq!(open(&[9; 32], subject, &sealed), None);
        assert_eq!(open(&[1; 32], UserId(uuid::Uuid::from_u128(8)), &sealed), None);
        assert!(!sealed.sealed.contains("13800138000"));
    }

    #[test]
    fn one_number_has_another_hash_at_each_operator_and_under_each_key() {
        let operator = |number| OperatorId(uuid::Uuid::from_u128(number));
        let hash = lookup_hash(&[1; 32], operator(1), "13800138000");
        assert_eq!(lookup_hash(&[1; 32], operator(1), "13800138000"), hash);
        assert_ne!(lookup_hash(&[1; 32], operator(2), "13800138000"), hash);
        assert_ne!(lookup_hash(&[9; 32], operator(1), "13800138000"), hash);
    }

    #[test]
    fn a_damaged_field_does_not_open() {
        let subject = UserId(uuid::Uuid::from_u128(7));
        for sealed in ["", "zz", "0", "00ff", "\u{1F600}"] {
            assert_eq!(open(&[1; 32], subject, &Sealed { sealed: sealed.to_owned() }), None);
        }
    }
}
