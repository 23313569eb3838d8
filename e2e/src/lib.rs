//! End-to-end harness of aidp.
