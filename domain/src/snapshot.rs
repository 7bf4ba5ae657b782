//! A state as bytes, for streams that grow for years. A snapshot is never the truth: it spares reading what the log says anyway. Where it lies, and when it is
//! believed, is for whoever loads aggregates.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Tells the code that folds an aggregate from any other: a number of its sources. Another text, also another comment, is another shape, and what was folded by
/// other code is folded again. The release counts too, because sources use each other.
#[must_use]
pub const fn shape_of(sources: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    hash = continued(hash, env!("CARGO_PKG_VERSION").as_bytes());
    let mut index = 0;
    while index < sources.len() {
        hash = continued(hash, sources[index]);
        index += 1;
    }
    hash
}

/// FNV-1a: no secret and no enemy, only a change that must be noticed.
const fn continued(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        index += 1;
    }
    // Where one source ends and the next begins counts.
    (hash ^ bytes.len() as u64).wrapping_mul(0x0000_0100_0000_01b3)
}

/// A state as bytes; none when it cannot be written, which is no loss.
#[must_use]
pub fn to_bytes<S: Serialize>(state: &S) -> Option<Vec<u8>> {
    rmp_serde::to_vec_named(state).ok()
}

/// The state again; none when the bytes are none.
#[must_use]
pub fn of_bytes<S: DeserializeOwned>(bytes: &[u8]) -> Option<S> {
    rmp_serde::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_of_a_source_is_another_shape() {
        let shape = shape_of(&[b"struct A;", b"fn evolve() {}"]);
        assert_eq!(shape, shape_of(&[b"struct A;", b"fn evolve() {}"]));
        assert_ne!(shape, shape_of(&[b"struct A;", b"fn evolve() { }"]));
        assert_ne!(shape, shape_of(&[b"struct A;f", b"n evolve() {}"]));
    }
}
