//! bosun
