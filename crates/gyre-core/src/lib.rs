//! Identifiers, digests, time, the project file, facts and gate expressions: the words that every other room speaks.
