//! The file under a store, to which nothing is written before the store was found good.
//!
//! Opening a redb file writes to it: repairs after a crash, marks that it is in use. A file that is refused has
//! to stay as it was found, so these writes are held back, shown to the one who made them, and done when
//! [`Disk::release`] says that the file is accepted.

use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// A file, or what a test has in its place, that can be written only once it is released. Clones are one disk.
#[derive(Debug)]
pub struct Disk<B> {
    below: Arc<B>,
    /// What is held back; none once the disk is released.
    held: Arc<Mutex<Option<Vec<Change>>>>,
}

/// A write that is held back.
#[derive(Debug)]
enum Change {
    Length(u64),
    Bytes(u64, Vec<u8>),
    Sync,
}

impl<B> Clone for Disk<B> {
    fn clone(&self) -> Disk<B> {
        Disk { below: self.below.clone(), held: self.held.clone() }
    }
}

impl<B: StorageBackend> Disk<B> {
    /// Holds all writes to `below` back.
    pub fn new(below: B) -> Disk<B> {
        Disk { below: Arc::new(below), held: Arc::new(Mutex::new(Some(Vec::new()))) }
    }

    /// Does what was held back, in its order, and holds nothing back from now on.
    pub fn release(&self) -> io::Result<()> {
        let mut held = self.held();
        for change in held.iter().flatten() {
            match change {
                Change::Length(length) => self.below.set_len(*length)?,
                Change::Bytes(offset, bytes) => self.below.write(*offset, bytes)?,
                Change::Sync => self.below.sync_data()?,
            }
        }
        *held = None;
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Option<Vec<Change>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a change back; false when that is over.
    fn hold(&self, change: impl FnOnce() -> Change) -> bool {
        let mut held = self.held();
        let Some(changes) = held.as_mut() else { return false };
        changes.push(change());
        true
    }
}

/// The length of a file of this length after the changes.
fn length_after(length: u64, changes: &[Change]) -> u64 {
    changes.iter().fold(length, |length, change| match change {
        Change::Length(new) => *new,
        Change::Bytes(at, bytes) => length.max(at + bytes.len() as u64),
        Change::Sync => length,
    })
}

/// Reads from a file as it is after the changes.
fn read_after(
    below: &impl StorageBackend,
    changes: &[Change],
    offset: u64,
    out: &mut [u8],
) -> io::Result<()> {
    let length = below.len()?;
    if offset + out.len() as u64 > length_after(length, changes) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let kept = within(offset, out, length);
    below.read(offset, &mut out[..kept])?;
    out[kept..].fill(0);
    for change in changes {
        match change {
            Change::Length(length) => {
                let kept = within(offset, out, *length);
                out[kept..].fill(0);
            }
            Change::Bytes(at, bytes) => overlay(offset, out, *at, bytes),
            Change::Sync => {}
        }
    }
    Ok(())
}

/// How much of `out`, which is read from `offset`, lies within a file of this length.
fn within(offset: u64, out: &[u8], length: u64) -> usize {
    length.saturating_sub(offset).min(out.len() as u64) as usize
}

/// Copies what `bytes` at `at` and `out` at `offset` have in common.
fn overlay(offset: u64, out: &mut [u8], at: u64, bytes: &[u8]) {
    let from = at.max(offset);
    let to = (at + bytes.len() as u64).min(offset + out.len() as u64);
    if from < to {
        let source = &bytes[(from - at) as usize..(to - at) as usize];
        out[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
    }
}

impl<B: StorageBackend> StorageBackend for Disk<B> {
    fn len(&self) -> io::Result<u64> {
        let below = self.below.len()?;
        Ok(self.held().as_deref().map_or(below, |changes| length_after(below, changes)))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if let Some(changes) = self.held().as_deref() {
            return read_after(&*self.below, changes, offset, out);
        }
        self.below.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        if self.hold(|| Change::Length(length)) { Ok(()) } else { self.below.set_len(length) }
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.hold(|| Change::Sync) { Ok(()) } else { self.below.sync_data() }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let held = self.hold(|| Change::Bytes(offset, data.to_vec()));
        if held { Ok(()) } else { self.below.write(offset, data) }
    }

    fn close(&self) -> io::Result<()> {
        self.below.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, redb::BackendError> {
        self.below.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), redb::BackendError> {
        self.below.unlock_range(start, end)
    }
}
