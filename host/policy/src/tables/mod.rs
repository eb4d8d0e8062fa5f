//! Address tables: named sets of prefixes that policies match against.
//!
//! A lookup takes no lock: it loads an immutable longest-prefix structure. A change copies the
//! structure, changes the copy and puts it in place; changes exclude each other.

mod entry;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arc_swap::ArcSwap;
use prefix_trie::PrefixMap;

pub use entry::{Entry, EntryError};

use crate::names::is_name;

/// How large tables may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableLimits {
    /// The most tables.
    pub tables: usize,
    /// The most entries in all tables together.
    pub entries: usize,
}

impl Default for TableLimits {
    /// Returns pf's limits: 1000 tables, 200,000 entries.
    fn default() -> Self {
        Self { tables: 1000, entries: 200_000 }
    }
}

/// Why a table could not be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// There is no such table.
    #[error("there is no table `{0}`")]
    Unknown(String),
    /// The name is empty, too long or has odd characters.
    #[error("`{0}` cannot name a table: use up to 64 letters, digits and _ - . : /")]
    Name(String),
    /// There are too many tables.
    #[error("there are already {0} tables, the limit")]
    Tables(usize),
    /// There would be too many entries.
    #[error("the tables would hold {wanted} entries, the limit is {limit}")]
    Entries {
        /// Entries after the change.
        wanted: usize,
        /// The limit.
        limit: usize,
    },
}

/// What a replacement changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableChange {
    /// Entries that are new.
    pub added: usize,
    /// Entries that are gone.
    pub deleted: usize,
}

/// The immutable longest-prefix structure of one table; the value tells whether it is negated.
#[derive(Debug, Clone, Default)]
struct Prefixes {
    v4: PrefixMap<(u32, u8), bool>,
    v6: PrefixMap<(u128, u8), bool>,
}

impl Prefixes {
    fn insert(&mut self, entry: &Entry) -> Option<bool> {
        match entry.address() {
            IpAddr::V4(v4) => {
                self.v4.insert((v4.to_bits(), entry.prefix_len()), entry.is_negated())
            }
            IpAddr::V6(v6) => {
                self.v6.insert((v6.to_bits(), entry.prefix_len()), entry.is_negated())
            }
        }
    }

    fn negated(&self, entry: &Entry) -> Option<bool> {
        match entry.address() {
            IpAddr::V4(v4) => self.v4.get(&(v4.to_bits(), entry.prefix_len())).copied(),
            IpAddr::V6(v6) => self.v6.get(&(v6.to_bits(), entry.prefix_len())).copied(),
        }
    }

    fn remove(&mut self, entry: &Entry) -> bool {
        if self.negated(entry) != Some(entry.is_negated()) {
            return false;
        }
        match entry.address() {
            IpAddr::V4(v4) => self.v4.remove(&(v4.to_bits(), entry.prefix_len())).is_some(),
            IpAddr::V6(v6) => self.v6.remove(&(v6.to_bits(), entry.prefix_len())).is_some(),
        }
    }

    fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    #[inline]
    fn contains(&self, address: &[u8; 16]) -> bool {
        let bits = u128::from_be_bytes(*address);
        let found = if bits >> 32 == 0xffff {
            let low = u32::try_from(bits & 0xffff_ffff).expect("invariant: masked to 32 bits");
            self.v4.get_lpm(&(low, 32)).map(|(_, negated)| negated)
        } else {
            self.v6.get_lpm(&(bits, 128)).map(|(_, negated)| negated)
        };
        found.is_some_and(|negated| !negated)
    }

    fn entries(&self) -> Vec<Entry> {
        let v4 = self.v4.iter().map(|((bits, len), negated)| {
            Entry::new(Ipv4Addr::from_bits(bits).into(), len, *negated)
        });
        let v6 = self.v6.iter().map(|((bits, len), negated)| {
            Entry::new(Ipv6Addr::from_bits(bits).into(), len, *negated)
        });
        v4.chain(v6).flatten().collect()
    }
}

/// One address table.
#[derive(Debug, Default)]
pub struct Table {
    prefixes: ArcSwap<Prefixes>,
}

impl Table {
    /// Tells whether the address (IPv4 as `::ffff:a.b.c.d`) is in the table: whether the longest
    /// prefix that covers it is not negated.
    #[inline]
    pub fn contains(&self, address: &[u8; 16]) -> bool {
        self.prefixes.load().contains(address)
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.prefixes.load().len()
    }

    /// Tells whether the table has no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all entries, IPv4 first, in the order of their addresses.
    pub fn entries(&self) -> Vec<Entry> {
        self.prefixes.load().entries()
    }
}

/// All address tables of a gateway.
#[derive(Debug)]
pub struct Tables {
    limits: TableLimits,
    tables: RwLock<BTreeMap<String, Arc<Table>>>,
    /// Held by whoever changes a table; the number of entries in all tables.
    entries: Mutex<usize>,
}

impl Default for Tables {
    fn default() -> Self {
        Self::new(TableLimits::default())
    }
}

impl Tables {
    /// Creates a set without tables.
    pub fn new(limits: TableLimits) -> Self {
        Self { limits, tables: RwLock::default(), entries: Mutex::new(0) }
    }

    /// Returns the table of this name, made empty if it is new.
    ///
    /// # Errors
    /// The name is not one, or there are too many tables.
    pub fn create(&self, name: &str) -> Result<Arc<Table>, TableError> {
        if !is_name(name) {
            return Err(TableError::Name(name.chars().take(80).collect()));
        }
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = tables.get(name) {
            return Ok(Arc::clone(table));
        }
        if tables.len() >= self.limits.tables {
            return Err(TableError::Tables(self.limits.tables));
        }
        let table = Arc::<Table>::default();
        tables.insert(name.to_owned(), Arc::clone(&table));
        Ok(table)
    }

    /// Empties a table and forgets its name; policies that still hold it see it empty.
    ///
    /// # Errors
    /// There is no such table.
    pub fn remove(&self, name: &str) -> Result<(), TableError> {
        self.change(name, |prefixes| *prefixes = Prefixes::default())?;
        self.tables.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }

    /// Returns the table of this name.
    pub fn table(&self, name: &str) -> Option<Arc<Table>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Returns the names of all tables with their numbers of entries, sorted by name.
    pub fn list(&self) -> Vec<(String, usize)> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.iter().map(|(name, table)| (name.clone(), table.len())).collect()
    }

    /// Adds entries to a table and returns how many were new or changed their negation.
    ///
    /// # Errors
    /// There is no such table, or there would be too many entries; then nothing is changed.
    pub fn add(&self, name: &str, entries: &[Entry]) -> Result<usize, TableError> {
        self.change(name, |prefixes| {
            entries.iter().filter(|e| prefixes.insert(e) != Some(e.is_negated())).count()
        })
    }

    /// Deletes entries from a table and returns how many there were.
    ///
    /// # Errors
    /// There is no such table.
    pub fn delete(&self, name: &str, entries: &[Entry]) -> Result<usize, TableError> {
        self.change(name, |prefixes| entries.iter().filter(|e| prefixes.remove(e)).count())
    }

    /// Replaces all entries of a table at once.
    ///
    /// # Errors
    /// There is no such table, or there would be too many entries; then nothing is changed.
    pub fn replace(&self, name: &str, entries: &[Entry]) -> Result<TableChange, TableError> {
        self.change(name, |prefixes| {
            let old: BTreeSet<Entry> = prefixes.entries().into_iter().collect();
            *prefixes = Prefixes::default();
            for entry in entries {
                prefixes.insert(entry);
            }
            let new: BTreeSet<Entry> = prefixes.entries().into_iter().collect();
            TableChange {
                added: new.difference(&old).count(),
                deleted: old.difference(&new).count(),
            }
        })
    }

    /// Returns all entries of a table.
    ///
    /// # Errors
    /// There is no such table.
    pub fn show(&self, name: &str) -> Result<Vec<Entry>, TableError> {
        self.table(name)
            .map(|table| table.entries())
            .ok_or_else(|| TableError::Unknown(name.chars().take(80).collect()))
    }

    fn change<R>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Prefixes) -> R,
    ) -> Result<R, TableError> {
        let mut total = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(table) = self.table(name) else {
            return Err(TableError::Unknown(name.chars().take(80).collect()));
        };
        let mut prefixes = Prefixes::clone(&table.prefixes.load());
        let before = prefixes.len();
        let result = change(&mut prefixes);
        let wanted = *total - before + prefixes.len();
        if wanted > self.limits.entries && prefixes.len() > before {
            return Err(TableError::Entries { wanted, limit: self.limits.entries });
        }
        *total = wanted;
        table.prefixes.store(Arc::new(prefixes));
        Ok(result)
    }
}

#[cfg(test)]
mod tests;
