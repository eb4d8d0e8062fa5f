//! Bounded interning of tags and labels into small ids that fit a request and a state.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The longest name of anything that a policy can resolve, in bytes.
pub const NAME_LEN_MAX: usize = 64;

/// Tells whether a name may be used for a table, counter, meter, tag or label: 1 to
/// [`NAME_LEN_MAX`] ASCII letters, digits and `_ - . : /`.
pub fn is_name(name: &str) -> bool {
    (1..=NAME_LEN_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:/".contains(&b))
}

/// Names with ids from 1 on; an id, once given, keeps its name for as long as the process lives.
#[derive(Debug)]
pub struct Names {
    limit: u16,
    len: AtomicU16,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ids: HashMap<Arc<str>, u16>,
    names: Vec<Arc<str>>,
}

impl Names {
    /// Creates an empty set of names that takes at most `limit` of them.
    pub fn new(limit: u16) -> Self {
        Self { limit, len: AtomicU16::new(0), inner: RwLock::default() }
    }

    /// Returns the name's id, which is new if the name is.
    ///
    /// `None` if there is no room for another name or the name is not one ([`is_name`]).
    pub fn intern(&self, name: &str) -> Option<u16> {
        if !is_name(name) {
            return None;
        }
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = inner.ids.get(name) {
            return Some(*id);
        }
        let id = u16::try_from(inner.names.len() + 1).ok().filter(|id| *id <= self.limit)?;
        let name: Arc<str> = name.into();
        inner.names.push(Arc::clone(&name));
        inner.ids.insert(name, id);
        self.len.store(id, Ordering::Release);
        Some(id)
    }

    /// Returns the id of a name that was interned before.
    pub fn id(&self, name: &str) -> Option<u16> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).ids.get(name).copied()
    }

    /// Returns the name with this id; `None` for 0 and for ids never given.
    pub fn name(&self, id: u16) -> Option<Arc<str>> {
        let index = usize::from(id).checked_sub(1)?;
        self.inner.read().unwrap_or_else(PoisonError::into_inner).names.get(index).cloned()
    }

    /// Returns how many names there are, without a lock.
    pub fn len(&self) -> u16 {
        self.len.load(Ordering::Acquire)
    }

    /// Tells whether there is no name yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells whether this id stands for nothing (0) or for a name, without a lock.
    pub fn is_known(&self, id: u16) -> bool {
        id <= self.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_id_and_the_limit_holds() {
        let names = Names::new(2);
        assert_eq!(names.intern("a"), Some(1));
        assert_eq!(names.intern("b"), Some(2));
        assert_eq!(names.intern("c"), None);
        assert_eq!(names.intern("a"), Some(1));
        assert_eq!(names.name(2).as_deref(), Some("b"));
        assert_eq!((names.name(0), names.name(3)), (None, None));
        assert!(names.is_known(0) && names.is_known(2) && !names.is_known(3));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let names = Names::new(9);
        let long = "x".repeat(NAME_LEN_MAX + 1);
        for bad in ["", "a b", "ä", "a\n", &long] {
            assert_eq!(names.intern(bad), None, "{bad:?}");
        }
        assert_eq!(names.intern(&"x".repeat(NAME_LEN_MAX)), Some(1));
    }
}
