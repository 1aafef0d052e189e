//! Values that are computed once a key, also when several threads ask at the same time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A cache of pure functions of their key. It holds the latest `capacity` keys.
#[derive(Debug)]
pub(crate) struct Memo<K, V> {
    capacity: usize,
    inner: Mutex<Inner<K, V>>,
}

#[derive(Debug)]
struct Inner<K, V> {
    clock: u64,
    /// When a key was last asked for, and its value once it is made.
    entries: BTreeMap<K, (u64, Cell<V>)>,
}

type Cell<V> = Arc<OnceLock<Arc<V>>>;

impl<K: Ord + Clone, V> Memo<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, inner: Mutex::new(Inner { clock: 0, entries: BTreeMap::new() }) }
    }

    /// The value of `key`; `make` runs at most once while the key stays, and others wait for it.
    pub(crate) fn get(&self, key: &K, make: impl FnOnce() -> V) -> Arc<V> {
        let cell = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.clock += 1;
            let now = inner.clock;
            if !inner.entries.contains_key(key)
                && inner.entries.len() >= self.capacity
                && let Some(oldest) =
                    inner.entries.iter().min_by_key(|(_, (at, _))| *at).map(|(k, _)| k.clone())
            {
                inner.entries.remove(&oldest);
            }
            let (at, cell) =
                inner.entries.entry(key.clone()).or_insert_with(|| (now, Arc::new(OnceLock::new())));
            *at = now;
            Arc::clone(cell)
        };
        Arc::clone(cell.get_or_init(|| Arc::new(make())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_once_and_the_oldest_key_leaves_first() {
        let memo = Memo::new(2);
        let made = std::cell::Cell::new(0);
        let get = |key: u32| {
            *memo.get(&key, || {
                made.set(made.get() + 1);
                key * 10
            })
        };
        assert_eq!((get(1), get(2), get(1), get(3), get(1)), (10, 20, 10, 30, 10));
        assert_eq!(made.get(), 3, "1 was used after 2, so 3 displaced 2");
        assert_eq!((get(2), made.get()), (20, 4));
    }
}
