//! A thin Kubernetes client: connection settings, raw requests, watch streams.
