//! What room is left where the store lies.
//!
//! Deliberately absent: what becomes of a log whose disk is full. SQLite refuses the append, and nothing is lost.

use std::io;
use std::path::Path;

/// The bytes of the disk under this directory that this process may still write: without what is set aside for root, and within a quota where the file system has one.
///
/// # Errors
/// When the directory is not there, or its disk does not say.
pub fn free_bytes(directory: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(directory)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Others write on this disk while the test runs.
    const MEANWHILE_BYTES_MAX: u64 = 1 << 30;

    #[test]
    fn it_says_what_the_system_s_own_tool_says() {
        let directory = tempfile::tempdir().unwrap();
        let told = Command::new("df").args(["-B1", "--output=avail"]).arg(directory.path()).output().unwrap();
        let told: u64 = String::from_utf8(told.stdout).unwrap().lines().last().unwrap().trim().parse().unwrap();
        let free = free_bytes(directory.path()).unwrap();
        assert!(free.abs_diff(told) < MEANWHILE_BYTES_MAX, "{free}, and df says {told}");
    }

    #[test]
    fn a_directory_that_is_not_there_has_no_room_to_speak_of() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(free_bytes(&directory.path().join("nothing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
