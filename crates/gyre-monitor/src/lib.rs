//! Windows, profiles, labels.
