//! Checks of `metadata`, which all kinds share.

/// What a name of a kind may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// Lower-case RFC 1123 subdomain, at most 253 characters: most kinds.
    Subdomain,
    /// Lower-case RFC 1123 label, at most 63 characters: namespaces.
    Label,
    /// RFC 1035 label, at most 63 characters, begins with a letter: services.
    Label1035,
    /// Anything that can stand between two slashes of a path: RBAC.
    PathSegment,
}
