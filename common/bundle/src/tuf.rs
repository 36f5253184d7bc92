//! TUF.
