//! Probes.

use everynode_model::Value;
use serde::Deserialize;

/// How a container is asked whether it is well.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Probe {
    /// A command in the container: well when it exits with 0.
    pub exec: Option<ExecAction>,
    /// A request: well when it is answered with 200 to 399.
    pub http_get: Option<HttpAction>,
    /// A connection.
    pub tcp_socket: Option<TcpAction>,
    /// The health service of gRPC.
    pub grpc: Option<GrpcAction>,
    /// Before the first, in seconds from the container's start.
    pub initial_delay_seconds: i64,
    /// For each, in seconds.
    pub timeout_seconds: i64,
    /// Between two, in seconds.
    pub period_seconds: i64,
    /// So many in a row make it well.
    pub success_threshold: i64,
    /// So many in a row make it unwell.
    pub failure_threshold: i64,
    /// How long the container may take to end when a probe has it killed, in seconds.
    pub termination_grace_period_seconds: Option<i64>,
}

impl Default for Probe {
    fn default() -> Probe {
        Probe {
            exec: None,
            http_get: None,
            tcp_socket: None,
            grpc: None,
            initial_delay_seconds: 0,
            timeout_seconds: 1,
            period_seconds: 10,
            success_threshold: 1,
            failure_threshold: 3,
            termination_grace_period_seconds: None,
        }
    }
}

/// A command in the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ExecAction {
    /// The program and its arguments; no shell reads them.
    pub command: Vec<String>,
}

/// A request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpAction {
    /// The path, with its query.
    pub path: String,
    /// The port, or its name.
    pub port: PortName,
    /// Instead of the pod's address.
    pub host: String,
    /// `HTTP` or `HTTPS`; certificates are not verified.
    pub scheme: String,
    /// Headers.
    pub http_headers: Vec<HttpHeader>,
}

/// A header.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HttpHeader {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// A connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TcpAction {
    /// The port, or its name.
    pub port: PortName,
    /// Instead of the pod's address.
    pub host: String,
}

/// A call of `grpc.health.v1.Health/Check`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GrpcAction {
    /// The port.
    pub port: u16,
    /// The service that is asked about.
    pub service: Option<String>,
}

/// A port, by number or by the name that the container gives it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub enum PortName {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

impl From<Value> for PortName {
    fn from(value: Value) -> PortName {
        match value {
            Value::String(name) => PortName::Name(name),
            other => PortName::Number(other.as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0)),
        }
    }
}

impl Default for PortName {
    fn default() -> PortName {
        PortName::Number(0)
    }
}

impl PortName {
    /// The number, where the container has a port of the name.
    pub fn resolve(&self, ports: &[super::ContainerPort]) -> Option<u16> {
        let number = match self {
            PortName::Number(number) => *number,
            PortName::Name(name) => match ports.iter().find(|port| port.name == *name) {
                Some(port) => port.container_port,
                None => name.parse().ok()?,
            },
        };
        (number != 0).then_some(number)
    }
}
