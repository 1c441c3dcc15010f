//! SQL store with the journal, and the object store.
