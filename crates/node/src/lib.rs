//! Node agents: simulated nodes that behave as kubelets do.
