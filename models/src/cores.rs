//! Cores that nobody uses: a job that runs while others wait may take them, and what comes out does not depend on how many
//! it got.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// How many cores are idle; shared by everything that computes on one device.
#[derive(Clone, Debug)]
pub struct Cores {
    idle: Arc<AtomicIsize>,
}

/// Cores in use, or lent if they are fewer than none, until this is dropped.
#[derive(Debug)]
pub struct InUse {
    cores: Cores,
    count: isize,
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.cores.idle.fetch_add(self.count, Relaxed);
    }
}

impl Cores {
    /// So many idle cores; with none, whoever computes keeps to its own thread.
    pub fn new(idle: usize) -> Self {
        Self { idle: Arc::new(AtomicIsize::new(idle as isize)) }
    }

    /// None, whoever lends some: for a device that computes by itself.
    pub fn none() -> Self {
        Self { idle: Arc::new(AtomicIsize::new(isize::MIN / 2)) }
    }

    /// Says that this thread computes now.
    pub fn occupy(&self) -> InUse {
        self.idle.fetch_sub(1, Relaxed);
        InUse { cores: self.clone(), count: 1 }
    }

    /// Says that another process has nothing for one of its cores to do.
    pub fn lend(&self) -> InUse {
        self.idle.fetch_add(1, Relaxed);
        InUse { cores: self.clone(), count: -1 }
    }

    /// Takes up to `wanted` idle cores.
    fn borrow(&self, wanted: usize) -> InUse {
        let mut count = 0;
        let _ = self.idle.fetch_update(Relaxed, Relaxed, |idle| {
            count = idle.clamp(0, wanted as isize);
            (count > 0).then_some(idle - count)
        });
        InUse { cores: self.clone(), count }
    }

    /// What `a` and `b` return, one of them computed by an idle core if there is one.
    ///
    /// # Panics
    /// As `a` and `b` do.
    pub(crate) fn both<A: Send, B>(&self, a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B) -> (A, B) {
        let borrowed = self.borrow(1);
        if borrowed.count <= 0 {
            return (a(), b());
        }
        std::thread::scope(|scope| {
            let helping = scope.spawn(a);
            let own = b();
            (helping.join().unwrap_or_else(|panic| resume_unwind(panic)), own)
        })
    }

    /// `f` of every item, in the order of the items, computed by this thread and by as many idle cores as there are.
    ///
    /// # Panics
    /// As `f` does.
    pub(crate) fn map<T: Send, R: Send>(&self, items: Vec<T>, f: impl Fn(T) -> R + Sync) -> Vec<R> {
        let borrowed = self.borrow(items.len().saturating_sub(1));
        if borrowed.count <= 0 {
            return items.into_iter().map(f).collect();
        }
        let waiting = Mutex::new(items.into_iter().enumerate());
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || -> Vec<(usize, R)> { std::iter::from_fn(next).map(|(i, item)| (i, f(item))).collect() };
        let mut done = std::thread::scope(|scope| {
            let helping: Vec<_> = (0..borrowed.count).map(|_| scope.spawn(work)).collect();
            let mut done = work();
            for thread in helping {
                done.extend(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
            done
        });
        done.sort_unstable_by_key(|(i, _)| *i);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_items_and_cores_come_back() {
        for idle in [0, 1, 3, 100] {
            let cores = Cores::new(idle);
            let squares = cores.map((0..50_u64).collect(), |i| i * i);
            assert_eq!(squares, (0..50).map(|i| i * i).collect::<Vec<_>>());
            assert_eq!(cores.both(|| 1, || "two"), (1, "two"));
            assert_eq!(cores.idle.load(Relaxed), idle as isize);
        }
    }

    #[test]
    fn a_core_that_is_lent_is_there_until_it_is_taken_back() {
        let cores = Cores::new(1);
        let (own, lent) = (cores.occupy(), cores.lend());
        let borrowed = cores.borrow(5);
        assert_eq!(borrowed.count, 1);
        drop(lent);
        drop(borrowed);
        assert_eq!(cores.borrow(5).count, 0);
        drop(own);
        assert_eq!(cores.borrow(5).count, 1);

        let none = Cores::none();
        let _lent = none.lend();
        assert_eq!(none.borrow(5).count, 0);
    }

    #[test]
    fn a_thread_that_computes_leaves_one_core_fewer_to_borrow() {
        let cores = Cores::new(2);
        let (one, two, three) = (cores.occupy(), cores.occupy(), cores.occupy());
        assert_eq!(cores.borrow(5).count, 0);
        drop((one, two));
        let borrowed = cores.borrow(5);
        assert_eq!((borrowed.count, cores.borrow(5).count), (1, 0));
        drop((borrowed, three));
        assert_eq!(cores.borrow(5).count, 2);
    }
}
