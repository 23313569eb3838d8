//! The user's journey against a real API server. Filled in with the operator.
