//! Alignments remembered by content.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Aligner, Alignment};

/// Entries kept before the memory is emptied; an alignment of a short answer takes some hundred bytes.
/// Chosen.
const CAPACITY: usize = 1 << 16;

type Ids = Box<[u32]>;

/// An [`Aligner`] that computes each answer once. Alignments depend on the ids alone, so the memory changes
/// how long a look-up takes and nothing else; share one between threads by reference.
#[derive(Debug)]
pub struct CachedAligner {
    aligner: Aligner,
    seen: Mutex<BTreeMap<(Ids, Ids), Arc<Alignment>>>,
}

impl CachedAligner {
    /// Starts with an empty memory.
    pub fn new(aligner: Aligner) -> Self {
        Self { aligner, seen: Mutex::default() }
    }

    /// The aligner itself.
    pub fn aligner(&self) -> &Aligner {
        &self.aligner
    }

    /// As [`Aligner::map_token`].
    pub fn map_token(&self, teacher_id: u32) -> Option<u32> {
        self.aligner.map_token(teacher_id)
    }

    /// As [`Aligner::align`], computed at most once per answer while it stays in memory.
    pub fn align(&self, teacher_ids: &[u32], student_ids: &[u32]) -> Arc<Alignment> {
        let key = (Ids::from(teacher_ids), Ids::from(student_ids));
        if let Some(found) = self.seen().get(&key) {
            return Arc::clone(found);
        }
        // Computed without the lock: two threads may do it twice, with the same result.
        let alignment = Arc::new(self.aligner.align(teacher_ids, student_ids));
        let mut seen = self.seen();
        if seen.len() >= CAPACITY {
            seen.clear();
        }
        seen.insert(key, Arc::clone(&alignment));
        alignment
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, BTreeMap<(Ids, Ids), Arc<Alignment>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
