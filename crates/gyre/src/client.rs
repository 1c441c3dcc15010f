//! Talking to a running server: JSON over HTTP.
