//! The embedded Kubernetes API: a revisioned store, watches and one set of handlers.
