//! The DaemonSet controller: watches, the engine, and the writer.
