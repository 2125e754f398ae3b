//! Image references, as far as the pull policy depends on them.

/// The pull policy of an image that says none: `Always` for `latest` or no tag at all.
pub(super) fn pull_policy(image: &str) -> &'static str {
    if wants_latest(image) { "Always" } else { "IfNotPresent" }
}

/// Whether the reference is well formed and its tag is `latest`, named or implied.
fn wants_latest(image: &str) -> bool {
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    let name_start = rest.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match rest[name_start..].rsplit_once(':') {
        Some((name, tag)) => (&rest[..name_start + name.len()], Some(tag)),
        None => (rest, None),
    };
    if !is_name(name) {
        return false;
    }
    match (tag, digest) {
        (Some(tag), _) => tag == "latest",
        (None, digest) => digest.is_none(),
    }
}

/// `host:port/path/of/lower-case/parts`, the host being optional.
fn is_name(name: &str) -> bool {
    let path = match name.split_once('/') {
        Some((host, path)) if is_host(host) => path,
        _ => name,
    };
    let is_id = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    !is_id && path.split('/').all(is_path_component)
}

fn is_host(text: &str) -> bool {
    text.contains(['.', ':']) || text == "localhost" || text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Lower-case letters and digits, with `.`, `_`, `__` or dashes in between.
fn is_path_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.iter().all(|end| end.is_some_and(|&byte| alphanumeric(byte)))
        && bytes.iter().all(|&byte| alphanumeric(byte) || matches!(byte, b'.' | b'_' | b'-'))
        && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pull_policy_follows_the_tag() {
        let check = |image: &str, policy: &str| assert_eq!(pull_policy(image), policy, "{image}");
        check("busybox", "Always");
        check("busybox:latest", "Always");
        check("busybox:1.36", "IfNotPresent");
        check("registry.example:5000/a/b", "Always");
        check("registry.example:5000/a/b:1", "IfNotPresent");
        check(
            "example/agent@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "IfNotPresent",
        );
        check("example/agent:latest@sha256:00000000000000000000000000000000", "Always");
        check("", "IfNotPresent");
        check("Upper/case", "Always");
        check("upper/Case", "IfNotPresent");
    }
}
