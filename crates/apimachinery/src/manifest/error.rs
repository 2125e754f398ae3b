//! What is wrong with YAML.

/// Why a text is no YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("yaml: line {line}: {problem}")]
pub struct YamlError {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}
