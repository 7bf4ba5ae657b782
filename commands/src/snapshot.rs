//! Snapshots of aggregates whose streams grow for years: beside the log, never the truth. One that does not fit, for whatever reason, is not there: the stream is
//! folded from its beginning, and a new one is kept.
//!
//! What a handler asks of a stream's past besides the state is whether its own command has been done. A snapshot answers that with a fingerprint of every command
//! before it: one that is not among them has not been done, and one that is may have been, which reading the stream tells.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use domain::decider::Decider;
use domain::ids::CommandId;
use domain::log::{EventStore, Hash, Revision, StreamId};
use sha2::{Digest as _, Sha256};
use tracing::debug;

/// Where snapshots lie. All of it may be lost at any time.
#[async_trait]
pub trait Snapshots: Send + Sync + 'static {
    /// What was kept last for a stream.
    async fn find(&self, stream: &StreamId) -> Result<Option<Vec<u8>>, SnapshotError>;
    /// Keeps this for a stream, in place of what was there.
    async fn keep(&self, stream: &StreamId, bytes: Vec<u8>) -> Result<(), SnapshotError>;
}

/// Snapshots cannot be read or written at the moment. Nothing is lost by it but time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("snapshots are unavailable: {reason}")]
pub struct SnapshotError {
    /// What is the matter.
    pub reason: String,
}

/// Which commands have written to a stream, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Written {
    known: HashSet<CommandId>,
    /// Fingerprints of those up to the snapshot, in order.
    older: Vec<u32>,
    /// Those that look like an older one and are none: the stream has been read for them.
    strangers: HashSet<CommandId>,
}

impl Written {
    pub(crate) fn has(&self, command: CommandId) -> bool {
        self.known.contains(&command)
    }

    pub(crate) fn insert(&mut self, command: CommandId) {
        self.known.insert(command);
    }

    /// Whether only the stream itself can tell.
    fn is_unclear(&self, command: CommandId) -> bool {
        !self.known.contains(&command) && !self.strangers.contains(&command) && self.older.binary_search(&fingerprint(command)).is_ok()
    }

    fn fingerprints(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.older.iter().copied().chain(self.known.iter().copied().map(fingerprint)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Four bytes: of a million commands one in four thousand others looks like one of them.
fn fingerprint(command: CommandId) -> u32 {
    let id = command.0.as_u128();
    [id, id >> 32, id >> 64, id >> 96].into_iter().fold(0, |mixed, word| mixed ^ u32::try_from(word & 0xffff_ffff).unwrap_or(0))
}

/// An aggregate as it was after an event of its stream.
pub(crate) struct Snapshot<D> {
    pub(crate) state: D,
    pub(crate) revision: Revision,
    pub(crate) written: Written,
    hash: Hash,
}

/// Keeps snapshots and finds them.
pub(crate) struct Keeper {
    snapshots: Arc<dyn Snapshots>,
    /// A stream is worth one from so many events on.
    every: u64,
}

impl Keeper {
    pub(crate) fn new(snapshots: Arc<dyn Snapshots>, every: u64) -> Keeper {
        Keeper { snapshots, every }
    }

    /// The snapshot of this stream that this code has made of this log, if there is one.
    pub(crate) async fn find<D: Decider>(&self, log: &dyn EventStore, stream: &StreamId) -> Option<Snapshot<D>> {
        D::SHAPE?;
        let bytes = match self.snapshots.find(stream).await {
            Ok(bytes) => bytes?,
            Err(error) => {
                debug!(%stream, %error, "a snapshot was not read");
                return None;
            }
        };
        let snapshot = unpack::<D>(stream, &bytes)?;
        // The chain: an event with this hash has exactly this past.
        let last = log.read_stream(stream, snapshot.revision, 1).await.ok()?;
        last.first().is_some_and(|last| last.revision == snapshot.revision && last.hash == snapshot.hash).then_some(snapshot)
    }

    /// Keeps one when enough has been folded since the last: the more there is, the rarer, so that keeping never costs more than folding.
    pub(crate) async fn keep<D: Decider>(&self, stream: &StreamId, state: &D, written: &Written, last: (Revision, Hash), folded: u64) {
        let (revision, hash) = last;
        if folded < self.every + revision.0 / 32 {
            return;
        }
        let Some(bytes) = pack(stream, state, written, revision, hash) else { return };
        if let Err(error) = self.snapshots.keep(stream, bytes).await {
            debug!(%stream, %error, "a snapshot was not kept");
        }
    }
}

/// Finds out which of these commands are among those before the snapshot, by reading what lies before it.
pub(crate) async fn clear_up(
    log: &dyn EventStore,
    stream: &StreamId,
    until: Revision,
    written: &mut Written,
    commands: impl Iterator<Item = CommandId>,
    page: usize,
) -> Result<(), domain::log::StoreError> {
    let mut unclear: HashSet<CommandId> = commands.filter(|command| written.is_unclear(*command)).collect();
    let mut from = Revision(0);
    while !unclear.is_empty() && from <= until {
        let events = log.read_stream(stream, from, page).await?;
        let Some(last) = events.last() else { break };
        from = last.revision.next();
        for stored in events {
            if unclear.remove(&stored.metadata.command_id) {
                written.insert(stored.metadata.command_id);
            }
        }
    }
    written.strangers.extend(unclear);
    Ok(())
}

/// SHA-256 over the stream's name and all that follows; shape, revision, hash; the fingerprints behind their number; the state.
fn pack<D: Decider>(stream: &StreamId, state: &D, written: &Written, revision: Revision, hash: Hash) -> Option<Vec<u8>> {
    let (shape, state) = (D::SHAPE?, state.to_bytes()?);
    let older = written.fingerprints();
    let count = u32::try_from(older.len()).ok()?;
    let mut body = Vec::with_capacity(52 + older.len() * 4 + state.len());
    body.extend_from_slice(&shape.to_be_bytes());
    body.extend_from_slice(&revision.0.to_be_bytes());
    body.extend_from_slice(&hash.0);
    body.extend_from_slice(&count.to_be_bytes());
    older.iter().for_each(|fingerprint| body.extend_from_slice(&fingerprint.to_be_bytes()));
    body.extend_from_slice(&state);
    Some([sum(stream, &body).as_slice(), &body].concat())
}

fn unpack<D: Decider>(stream: &StreamId, bytes: &[u8]) -> Option<Snapshot<D>> {
    let (said, body) = bytes.split_first_chunk::<32>()?;
    if *said != sum(stream, body) {
        return None;
    }
    let (shape, body) = body.split_first_chunk::<8>()?;
    if Some(u64::from_be_bytes(*shape)) != D::SHAPE {
        return None;
    }
    let (revision, body) = body.split_first_chunk::<8>()?;
    let (hash, body) = body.split_first_chunk::<32>()?;
    let (count, body) = body.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
    let (older, state) = body.split_at_checked(count.checked_mul(4)?)?;
    let older = older.as_chunks::<4>().0.iter().map(|fingerprint| u32::from_be_bytes(*fingerprint)).collect();
    Some(Snapshot {
        state: D::of_bytes(state)?,
        revision: Revision(u64::from_be_bytes(*revision)),
        hash: Hash(*hash),
        written: Written { older, ..Written::default() },
    })
}

fn sum(stream: &StreamId, body: &[u8]) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update(stream.as_str().as_bytes());
    sha.update([0]);
    sha.update(body);
    sha.finalize().into()
}

#[cfg(test)]
mod tests {
    use domain::connector::Connector;

    use super::*;

    #[test]
    fn what_other_code_has_folded_is_not_believed() {
        let stream = StreamId::from("connector-1");
        let bytes = pack(&stream, &Connector::Absent, &Written::default(), Revision(7), Hash::START).unwrap();
        assert_eq!(unpack::<Connector>(&stream, &bytes).unwrap().revision, Revision(7));
        let mut body = bytes[32..].to_vec();
        body[0] ^= 1;
        let other = [sum(&stream, &body).as_slice(), &body].concat();
        assert!(unpack::<Connector>(&stream, &other).is_none());
    }
}
