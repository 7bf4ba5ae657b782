//! One process writes. The lock is the operating system's, so that it dies with its holder, however that dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::Path;

use crate::database::make_for_owner;
use crate::error::OpenError;

/// Held as long as this process may write.
#[derive(Debug)]
pub(crate) struct WriterLock(#[allow(dead_code, reason = "dropping the file is what unlocks it")] File);

impl WriterLock {
    /// Takes the lock of the store in `directory`, or says who has it.
    pub(crate) fn take(directory: &Path) -> Result<WriterLock, OpenError> {
        let path = directory.join("writer.lock");
        let io = |source| OpenError::Io { path: path.clone(), source };
        make_for_owner(&path)?;
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0).map_err(io)?;
                write!(file, "{}", std::process::id()).map_err(io)?;
                Ok(WriterLock(file))
            }
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The holder may be between taking the lock and writing its number; the refusal stands all the same.
                let _ = file.read_to_string(&mut pid);
                let pid = if pid.is_empty() { "(starting)".to_owned() } else { pid };
                Err(OpenError::Locked { path: directory.to_owned(), pid })
            }
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }
}
